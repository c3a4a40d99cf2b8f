//! StatefulSet: pods with a name, a host name and claims of their own, made and updated in the order of their ordinals.

mod claims;
mod pods;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controller::{Controller, Key, Wake};
use crate::controllers::deployment::{Rounding, scaled};
use crate::controllers::replicas::{pod_change_matters, wake_for_pod};
use crate::controllers::revisions::{HASH_LABEL, History, Revision};
use crate::ownership::claim;
use crate::plan::{Note, Plan, Write};
use crate::selection;
use crate::world::{Change, Kind, Labels, PodRow, Whole, World};

const REVISION_HASH: &str = "controller.kubernetes.io/hash";

pub struct StatefulSetController;

impl Controller for StatefulSetController {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::StatefulSet, Kind::Pod, Kind::ControllerRevision, Kind::PersistentVolumeClaim]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::StatefulSet(delta) => wake.key(&delta.newest().header().key),
            Change::Pod(delta) if pod_change_matters(delta) => {
                wake_for_pod(delta, &world.stateful_sets, "StatefulSet", &|set, labels| selects(set, labels), wake);
            }
            Change::ControllerRevision(delta) => {
                let owner = delta.newest().header().controller().filter(|owner| owner.kind == "StatefulSet");
                if let Some(owner) = owner {
                    wake.key(&Key::new(delta.newest().header().key.namespace.clone(), owner.name.as_str()));
                }
            }
            Change::PersistentVolumeClaim(delta) => {
                let header = delta.newest().header();
                for set in world.stateful_sets.namespace(header.namespace()).filter(|set| selects(set, &header.labels)) {
                    wake.key(&set.header().key);
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = world.stateful_sets.get(key) else { return plan };
        let Some(spec) = &set.spec else { return plan };
        if selection::is_empty(&spec.selector) {
            return plan;
        }
        let select = |labels: &Labels| selects(set, labels);
        let member = |pod: &PodRow| pods::ordinal(set.header().name(), pod.name()).is_some();
        let pods = claim(&world.pods, &**set, &select, &member, &mut plan);
        let history = History::of(world, &**set, &select, REVISION_HASH, &mut plan);
        if set.header().is_terminating() {
            return plan;
        }
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let Some(update) = history.revision_of(world, &**set, &spec.template, collisions, &mut plan) else {
            plan.update_status(set, |set| set.status.get_or_insert_default().collision_count = Some(collisions + 1));
            return plan;
        };
        let known = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
        let current = known.and_then(|name| history.named(name)).unwrap_or_else(|| update.clone());
        let mut live: HashSet<String> = pods.iter().filter_map(|pod| pod.label(HASH_LABEL).map(str::to_owned)).collect();
        live.extend([current.name.clone(), update.name.clone()]);
        history.truncate(spec.revision_history_limit, &live, &mut plan);
        let states = States::new(world, set, spec, (current, update), pods, now);
        states.write_status(collisions, &mut plan);
        let mut work = Work::default();
        states.plan(&history, &mut work, &mut plan);
        work.into_plan(&mut plan);
        plan
    }
}

fn selects(set: &Whole<StatefulSet>, labels: &Labels) -> bool {
    set.spec.as_ref().is_some_and(|spec| !selection::is_empty(&spec.selector) && selection::selects(&spec.selector, labels))
}

/// Writes in the order that they depend on each other: claims before the pods that use them, and before the deletion
/// of pods that are to own them.
#[derive(Default)]
struct Work {
    claims: Vec<Write>,
    pods: Vec<Write>,
}

impl Work {
    fn into_plan(self, plan: &mut Plan) {
        plan.then(self.claims);
        plan.then(self.pods);
    }
}

/// A StatefulSet and its pods by ordinal.
struct States<'a> {
    world: &'a World,
    set: &'a Whole<StatefulSet>,
    spec: &'a StatefulSetSpec,
    now: Timestamp,
    current: Revision,
    update: Revision,
    /// The first ordinal, and the one after the last.
    range: std::ops::Range<i32>,
    pods: BTreeMap<i32, Arc<PodRow>>,
}

impl<'a> States<'a> {
    fn new(
        world: &'a World,
        set: &'a Whole<StatefulSet>,
        spec: &'a StatefulSetSpec,
        (current, update): (Revision, Revision),
        pods: Vec<Arc<PodRow>>,
        now: Timestamp,
    ) -> Self {
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
        let by_ordinal = |pod: Arc<PodRow>| Some((pods::ordinal(set.header().name(), pod.name())?, pod));
        let pods = pods.into_iter().filter_map(by_ordinal).collect();
        Self { world, set, spec, now, current, update, range: start..start + spec.replicas.unwrap_or(1), pods }
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_available(&self, pod: &PodRow) -> bool {
        pod.is_available(self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    /// Running, ready for long enough, and staying.
    fn is_healthy(&self, pod: &PodRow) -> bool {
        !pod.is_terminating() && !pod.phase.is_finished() && self.is_available(pod)
    }

    fn revision_of(pod: &PodRow) -> &str {
        pod.label(HASH_LABEL).unwrap_or_default()
    }

    /// The first ordinal that an update reaches; None where it waits for the user to delete pods.
    fn partition(&self) -> Option<i32> {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return None;
        }
        let partition = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition).unwrap_or(0);
        Some(self.range.start + partition)
    }

    /// One pass: what is missing from the lowest ordinal up, what is too many from the highest down, then the update
    /// from the highest down. An ordered set does one thing at a time.
    fn plan(&self, history: &History, work: &mut Work, plan: &mut Plan) {
        self.keep_claims(&mut work.claims);
        if !self.fill(history, work, plan) || !self.condemn(work) {
            return;
        }
        self.roll(work);
    }

    /// Returns false where the set has to wait.
    fn fill(&self, history: &History, work: &mut Work, plan: &mut Plan) -> bool {
        let ordered = self.is_ordered();
        let mut complete = true;
        for ordinal in self.range.clone() {
            let Some(pod) = self.pods.get(&ordinal) else {
                complete = false;
                self.create(ordinal, history, work);
                if ordered {
                    return false;
                }
                continue;
            };
            if pod.phase.is_finished() && !pod.is_terminating() {
                let message = format!("Pod {} has ended and is made again", pod.name());
                work.pods.push(Write::delete(&**pod).done(Note::warning(self.set, "RecreatingFailedPod", message)));
                complete = false;
            }
            if !self.is_healthy(pod) {
                if let Some(since) = pod.ready_since {
                    let min = i64::from(self.spec.min_ready_seconds.unwrap_or(0));
                    plan.look_again_in(since.as_second() + min - self.now.as_second());
                }
                if ordered {
                    return false;
                }
            }
        }
        complete
    }

    fn create(&self, ordinal: i32, history: &History, work: &mut Work) {
        let below = self.partition().is_some_and(|partition| ordinal < partition);
        let old = below.then(|| history.template(&self.current.name)).flatten();
        let (template, revision) = match &old {
            Some(template) => (template, &self.current),
            None => (&self.spec.template, &self.update),
        };
        let Some(claims) = self.missing_claims(ordinal) else { return };
        work.claims.extend(claims);
        let pod = pods::pod(self.set, self.spec, template, ordinal, &revision.name);
        let name = pod.metadata.name.clone().unwrap_or_default();
        let done = Note::normal(self.set, "SuccessfulCreate", format!("Created pod {name}"));
        let failed = Note::warning(self.set, "FailedCreate", format!("Could not create pod {name}"));
        work.pods.push(Write::create(pod).done(done).failed(failed));
    }

    /// Deletes pods outside the range, highest first. Returns false where the set has to wait.
    fn condemn(&self, work: &mut Work) -> bool {
        let condemned = self.pods.iter().rev().filter(|(ordinal, _)| !self.range.contains(ordinal));
        let mut none = true;
        for (_, pod) in condemned {
            none = false;
            if !pod.is_terminating() {
                work.pods.push(self.delete(pod));
            }
            if self.is_ordered() {
                return false;
            }
        }
        none
    }

    /// Deletes pods of an earlier revision, highest first, so that they are made again from the present template.
    fn roll(&self, work: &mut Work) {
        let Some(partition) = self.partition() else { return };
        let rolling = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let most = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&IntOrString::Int(1));
        let most = scaled(Some(most), self.spec.replicas.unwrap_or(1), Rounding::Up).max(1);
        let mut missing = 0;
        for ordinal in self.range.clone().rev().take_while(|ordinal| *ordinal >= partition) {
            let Some(pod) = self.pods.get(&ordinal) else { continue };
            if Self::revision_of(pod) != self.update.name && !pod.is_terminating() {
                work.pods.push(self.delete(pod));
                missing += 1;
            } else if !self.is_healthy(pod) {
                missing += 1;
            }
            if missing >= most {
                return;
            }
        }
    }

    fn delete(&self, pod: &PodRow) -> Write {
        let done = Note::normal(self.set, "SuccessfulDelete", format!("Deleted pod {}", pod.name()));
        let failed = Note::warning(self.set, "FailedDelete", format!("Could not delete pod {}", pod.name()));
        Write::delete(pod).done(done).failed(failed)
    }

    fn write_status(&self, collisions: i32, plan: &mut Plan) {
        let positive = |count: i32| Some(count).filter(|count| *count > 0);
        let count = |test: &dyn Fn(&PodRow) -> bool| self.pods.values().filter(|pod| test(pod)).count() as i32;
        let replicas = count(&|_| true);
        let ready = count(&PodRow::is_ready);
        let updated = count(&|pod| !pod.is_terminating() && Self::revision_of(pod) == self.update.name);
        let wanted = self.spec.replicas.unwrap_or(1);
        let rolled_out = self.partition().is_some() && [updated, ready, replicas].iter().all(|count| *count == wanted);
        let current = if rolled_out { &self.update } else { &self.current };
        let of_current = count(&|pod| !pod.is_terminating() && Self::revision_of(pod) == current.name);
        plan.update_status(self.set, |set| {
            let generation = set.metadata.generation;
            let status = set.status.get_or_insert_default();
            status.observed_generation = generation;
            status.replicas = replicas;
            status.ready_replicas = positive(ready);
            status.available_replicas = Some(count(&|pod| self.is_available(pod)));
            status.current_replicas = positive(of_current);
            status.updated_replicas = positive(updated);
            status.current_revision = Some(current.name.clone());
            status.update_revision = Some(self.update.name.clone());
            status.collision_count = Some(collisions);
        });
    }
}

#[cfg(test)]
mod tests;
