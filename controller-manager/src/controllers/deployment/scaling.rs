//! Sizing ReplicaSets: the change of one, and the spread of a changed `spec.replicas` over several in proportion.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::{Rollout, is_recreate};
use crate::plan::{Note, Plan, Write};
use crate::world::Whole;

/// The `spec.replicas` that a ReplicaSet was last sized for.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The most pods, with surge, that a ReplicaSet was last sized for.
pub(super) const MOST: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const EVENT: &str = "ScalingReplicaSet";

/// Which of a rollout's ReplicaSets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    New,
    Old(usize),
}

pub(super) fn noted(set: &Whole<ReplicaSet>, annotation: &str) -> Option<i32> {
    set.metadata.annotations.as_ref()?.get(annotation)?.parse().ok()
}

pub(super) fn note(annotations: &mut BTreeMap<String, String>, desired: i32, most: i32) {
    annotations.insert(DESIRED.to_owned(), desired.to_string());
    annotations.insert(MOST.to_owned(), most.to_string());
}

/// Gives a ReplicaSet a size, and notes what it was sized for. Returns whether the size changes.
pub(super) fn resize(rollout: &mut Rollout<'_>, which: Which, size: i32, plan: &mut Plan) -> bool {
    let (replicas, most, owner) = (rollout.replicas, rollout.most(), rollout.deployment);
    let member = match which {
        Which::New => rollout.new.as_mut(),
        Which::Old(at) => rollout.old.get_mut(at),
    };
    let Some(member) = member else { return false };
    let stale = noted(&member.set, DESIRED) != Some(replicas) || noted(&member.set, MOST) != Some(most);
    let before = member.size;
    if before == size && !stale {
        return false;
    }
    member.size = size;
    let mut set = member.set.to_object();
    note(set.metadata.annotations.get_or_insert_default(), replicas, most);
    if let Some(spec) = &mut set.spec {
        spec.replicas = Some(size);
    }
    let mut write = Write::update(set);
    if before != size {
        let direction = if size > before { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {before} to {size}", member.set.header().name());
        write = write.done(Note::normal(owner, EVENT, message));
    }
    replace_or_add(plan, &member.set, write);
    before != size
}

/// A pass may have planned an update of the same ReplicaSet's annotations: one write carries both.
fn replace_or_add(plan: &mut Plan, set: &Whole<ReplicaSet>, mut write: Write) {
    use crate::plan::Verb;
    let planned = plan.steps.iter_mut().flatten().find_map(|planned| match &mut planned.verb {
        Verb::Update { subresource: None, object, .. } if object.meta().uid == set.metadata.uid => Some(object),
        _ => None,
    });
    let (Some(planned), Verb::Update { object, .. }) = (planned, &mut write.verb) else { return plan.write(write) };
    let sized = object.meta().annotations.iter().flatten();
    let sized: Vec<_> = sized.filter(|(key, _)| [DESIRED, MOST].contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    if let (Some(from), Some(to)) =
        (api::object::downcast_ref::<ReplicaSet>(&**planned).cloned(), api::object::downcast_mut::<ReplicaSet>(&mut **object))
    {
        let replicas = to.spec.as_ref().and_then(|spec| spec.replicas);
        *to = from;
        to.metadata.annotations.get_or_insert_default().extend(sized);
        if let Some(spec) = &mut to.spec {
            spec.replicas = replicas;
        }
    }
    let uid = &set.metadata.uid;
    let superseded = |planned: &Write| matches!(&planned.verb, Verb::Update { subresource: None, object, .. } if object.meta().uid == *uid);
    for step in &mut plan.steps {
        step.retain(|planned| !superseded(planned));
    }
    plan.write(write);
}

/// Sizes the ReplicaSets of a Deployment that is paused, or whose `spec.replicas` changed, without rolling out.
pub(super) fn scale(rollout: &mut Rollout<'_>, plan: &mut Plan) {
    if let Some(only) = the_only_one(rollout) {
        resize(rollout, only, rollout.replicas, plan);
        return;
    }
    let saturated = rollout.new.as_ref().is_some_and(|new| {
        new.size == rollout.replicas && noted(&new.set, DESIRED) == Some(rollout.replicas) && new.available() == rollout.replicas
    });
    if saturated {
        for at in 0..rollout.old.len() {
            if rollout.old[at].size > 0 {
                resize(rollout, Which::Old(at), 0, plan);
            }
        }
    } else if !is_recreate(rollout.spec) {
        spread(rollout, plan);
    }
}

/// The one ReplicaSet with pods, or, where none has any, the one to get them.
fn the_only_one(rollout: &Rollout<'_>) -> Option<Which> {
    let mut active = active(rollout);
    match active.len() {
        1 => active.pop(),
        0 if rollout.new.is_some() => Some(Which::New),
        0 if !rollout.old.is_empty() => Some(Which::Old(rollout.old.len() - 1)),
        _ => None,
    }
}

fn active(rollout: &Rollout<'_>) -> Vec<Which> {
    let old = rollout.old.iter().enumerate().filter(|(_, m)| m.size > 0).map(|(at, _)| Which::Old(at));
    old.chain(rollout.new.as_ref().filter(|m| m.size > 0).map(|_| Which::New)).collect()
}

/// Gives each ReplicaSet its part of what is to be added or taken, larger ones first, and what rounding leaves to the
/// largest.
fn spread(rollout: &mut Rollout<'_>, plan: &mut Plan) {
    let allowed = if rollout.replicas > 0 { rollout.most() } else { 0 };
    let mut left = allowed - rollout.total_size();
    let mut sets = active(rollout);
    let size = |which: Which| match which {
        Which::New => rollout.new.as_ref().map_or(0, |m| m.size),
        Which::Old(at) => rollout.old[at].size,
    };
    // `sets` is oldest first. Growth prefers the newer of equals, shrinking the older.
    if left > 0 {
        sets.reverse();
    }
    sets.sort_by_key(|which| std::cmp::Reverse(size(*which)));
    let mut sizes: Vec<i32> = sets.iter().map(|which| size(*which)).collect();
    if left != 0 {
        for (at, which) in sets.iter().enumerate() {
            let share = share(rollout, *which, sizes[at]);
            let share = if left > 0 { share.clamp(0, left) } else { share.clamp(left, 0) };
            sizes[at] += share;
            left -= share;
        }
        if let Some(largest) = sizes.first_mut() {
            *largest = (*largest + left).max(0);
        }
    }
    for (which, size) in sets.into_iter().zip(sizes) {
        resize(rollout, which, size, plan);
    }
}

/// How much a ReplicaSet is to grow or shrink to keep its part of the whole.
fn share(rollout: &Rollout<'_>, which: Which, size: i32) -> i32 {
    if rollout.replicas == 0 {
        return -size;
    }
    let set = match which {
        Which::New => rollout.new.as_ref().map(|m| &m.set),
        Which::Old(at) => Some(&rollout.old[at].set),
    };
    let status = rollout.deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or(0);
    let before = set.and_then(|set| noted(set, MOST)).filter(|most| *most > 0).unwrap_or(status).max(1);
    let part = f64::from(size) * f64::from(rollout.most()) / f64::from(before);
    part.round() as i32 - size
}
