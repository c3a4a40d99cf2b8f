//! What ReplicaSets and ReplicationControllers have in common: keeping a number of pods of one template, and
//! counting them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::Wake;
use crate::naming::Names;
use crate::ownership::{claim, controller_reference};
use crate::plan::{BURST, Note, Plan, Write};
use crate::world::{Change, Delta, Header, Labels, PodRow, Row, World};

/// What an owner asks for.
pub struct Wanted<'a> {
    pub replicas: i32,
    pub template: &'a PodTemplateSpec,
    pub min_ready_seconds: i32,
    pub selects: &'a dyn Fn(&Labels) -> bool,
    /// Pods on nodes that hold many of these go first when pods are to be deleted.
    pub siblings: Vec<Arc<PodRow>>,
}

/// How many pods an owner has, for its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: i32,
}

/// Plans what brings the owner's pods to the wanted number, and counts those there are.
pub fn plan_replicas<O: Row>(world: &World, owner: &O, wanted: &Wanted<'_>, now: Timestamp, plan: &mut Plan) -> Counts {
    let head = owner.header();
    let pods = claim(&world.pods, owner, wanted.selects, &PodRow::is_active, plan);
    let counts = count(world, head, &pods, wanted, now);
    if counts.ready > counts.available {
        let soonest = pods
            .iter()
            .filter(|pod| !pod.is_available(wanted.min_ready_seconds, now))
            .filter_map(|pod| Some(pod.ready_since?.as_second() + i64::from(wanted.min_ready_seconds) - now.as_second()))
            .min();
        plan.look_again_in(soonest.unwrap_or(1));
    }
    if head.is_terminating() {
        return counts;
    }
    let want = usize::try_from(wanted.replicas).unwrap_or(0);
    if pods.len() < want {
        create(world, owner, wanted.template, (want - pods.len()).min(BURST), plan);
    } else if pods.len() > want {
        let excess = (pods.len() - want).min(BURST);
        for pod in most_expendable(pods, &wanted.siblings, excess) {
            let note = Note::normal(owner, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
            let failed = Note::warning(owner, "FailedDelete", format!("Could not delete pod {}", pod.name()));
            plan.write(Write::delete(&*pod).done(note).failed(failed));
        }
    }
    counts
}

fn count(world: &World, head: &Header, pods: &[Arc<PodRow>], wanted: &Wanted<'_>, now: Timestamp) -> Counts {
    let template_labels = wanted.template.metadata.as_ref().and_then(|m| m.labels.as_ref());
    let carries = |pod: &PodRow| template_labels.into_iter().flatten().all(|(key, value)| pod.labels.get(key) == Some(value));
    let of = |test: &dyn Fn(&PodRow) -> bool| pods.iter().filter(|pod| test(pod)).count() as i32;
    let terminating =
        world.pods.controlled_by(&head.uid).filter(|pod| pod.is_terminating() && !pod.phase.is_finished() && (wanted.selects)(&pod.labels));
    Counts {
        replicas: pods.len() as i32,
        fully_labeled: of(&carries),
        ready: of(&PodRow::is_ready),
        available: of(&|pod| pod.is_available(wanted.min_ready_seconds, now)),
        terminating: terminating.count() as i32,
    }
}

fn create<O: Row>(world: &World, owner: &O, template: &PodTemplateSpec, count: usize, plan: &mut Plan) {
    let head = owner.header();
    let prefix = format!("{}-", head.name());
    let mut names = Names::of_pods(world, head.namespace(), &prefix, &head.uid);
    for _ in 0..count {
        let name = names.next_free();
        let done = Note::normal(owner, "SuccessfulCreate", format!("Created pod: {name}"));
        let failed = Note::warning(owner, "FailedCreate", "Could not create a pod");
        let pod = pod_of(template, owner, name, &prefix);
        plan.write(Write::create(pod).done(done).failed(failed));
    }
}

/// A pod of the template, controlled by `owner`.
pub fn pod_of<O: Row>(template: &PodTemplateSpec, owner: &O, name: String, generate_name: &str) -> Pod {
    let given = template.metadata.as_ref();
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: Some(generate_name.to_owned()),
            namespace: Some(owner.header().namespace().to_owned()),
            labels: given.and_then(|m| m.labels.clone()),
            annotations: given.and_then(|m| m.annotations.clone()),
            finalizers: given.and_then(|m| m.finalizers.clone()),
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The `count` pods whose loss costs least: unbound before bound, pending before running, not ready before ready,
/// low deletion cost before high, crowded nodes before others, lately ready before long ready, often restarted
/// before stable, young before old.
fn most_expendable(mut pods: Vec<Arc<PodRow>>, siblings: &[Arc<PodRow>], count: usize) -> Vec<Arc<PodRow>> {
    if count >= pods.len() {
        return pods;
    }
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for node in siblings.iter().filter_map(|pod| pod.node.as_deref()) {
        *crowd.entry(node).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        (
            (pod.node.is_some(), pod.phase, pod.is_ready(), pod.deletion_cost),
            Reverse(pod.node.as_deref().and_then(|node| crowd.get(node).copied()).unwrap_or(0)),
            Reverse(pod.ready_since),
            Reverse(pod.most_restarts),
            Reverse(pod.created),
            pod.key.name.clone(),
        )
    });
    pods.truncate(count);
    pods
}

/// Whether a pod's change can matter to who keeps a number of it: being bound, or getting an address, cannot.
pub fn pod_change_matters(delta: &Delta<'_, PodRow>) -> bool {
    let Delta::Changed { old, new } = delta else { return true };
    old.phase != new.phase
        || old.ready_since != new.ready_since
        || old.deleted != new.deleted
        || old.labels != new.labels
        || old.owners != new.owners
        || old.uid != new.uid
}

/// Wakes the controllers of kind `kind` that a pod's change concerns: its controller, before and after; for a pod
/// without one, whoever in its namespace could adopt it.
pub fn wake_for_pod<O: Row>(
    delta: &Delta<'_, PodRow>,
    owners: &crate::world::Table<O>,
    kind: &str,
    selects: &dyn Fn(&O, &Labels) -> bool,
    wake: &mut Wake,
) {
    for state in delta.states() {
        if let Some(owner) = state.controller()
            && owner.kind == kind
            && let Some(found) = owners.find(state.namespace(), &owner.name)
            && *found.header().uid == *owner.uid
        {
            wake.key(&found.header().key);
        }
    }
    let Some(orphan) = delta.after().filter(|pod| pod.controller().is_none() && pod.is_active()) else { return };
    for owner in owners.namespace(orphan.namespace()).filter(|owner| selects(owner, &orphan.labels)) {
        wake.key(&owner.header().key);
    }
}

/// Whether the change is of the pod table, and what it is.
pub fn pod_delta<'a>(change: &Change<'a>) -> Option<Delta<'a, PodRow>> {
    match change {
        Change::Pod(delta) => Some(*delta),
        _ => None,
    }
}
