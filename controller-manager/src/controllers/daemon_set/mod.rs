//! DaemonSet: one pod on each node that its template fits.

mod placement;
mod update;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};

use crate::controller::{Controller, Key, Wake};
use crate::controllers::replicas::{pod_change_matters, wake_for_pod};
use crate::controllers::revisions::{HASH_LABEL, History, Revision};
use crate::naming::Names;
use crate::ownership::claim;
use crate::plan::{BURST, Note, Plan, Write};
use crate::selection;
use crate::world::{Change, Delta, Kind, Labels, NodeRow, Phase, PodRow, Whole, World};
use placement::{Placement, Verdict};

/// How long a failed pod stays before it is replaced, in seconds: what failed at once would fail again at once.
const FAILED_STAYS: i64 = 2;

pub struct DaemonSetController;

impl Controller for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("daemon-set-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::DaemonSet, Kind::Pod, Kind::Node, Kind::ControllerRevision]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::DaemonSet(delta) => wake.key(&delta.newest().header().key),
            Change::Pod(delta) if pod_change_matters(delta) || is_bound(delta) => {
                wake_for_pod(delta, &world.daemon_sets, "DaemonSet", &|set, labels| selects(set, labels), wake);
            }
            Change::Node(delta) if fits_differently(delta) => {
                world.daemon_sets.all().for_each(|set| wake.key(&set.header().key));
            }
            Change::ControllerRevision(delta) => {
                let owner = delta.newest().header().controller().filter(|owner| owner.kind == "DaemonSet");
                if let Some(owner) = owner {
                    wake.key(&Key::new(delta.newest().header().key.namespace.clone(), owner.name.as_str()));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = world.daemon_sets.get(key) else { return plan };
        let Some(spec) = &set.spec else { return plan };
        if selection::is_empty(&spec.selector) || set.header().is_terminating() {
            return plan;
        }
        let select = |labels: &Labels| selects(set, labels);
        let pods = claim(&world.pods, &**set, &select, &|_| true, &mut plan);
        let history = History::of(world, &**set, &select, HASH_LABEL, &mut plan);
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let Some(current) = history.revision_of(world, &**set, &spec.template, collisions, &mut plan) else {
            plan.update_status(set, |set| set.status.get_or_insert_default().collision_count = Some(collisions + 1));
            return plan;
        };
        let mut live: HashSet<String> = pods.iter().filter_map(|pod| pod.label(HASH_LABEL).map(str::to_owned)).collect();
        live.insert(current.hash.clone());
        history.truncate(spec.revision_history_limit, &live, &mut plan);
        let mut daemons = Daemons::new(world, set, spec, current, pods, now);
        let before = plan.steps.iter().flatten().count();
        daemons.place(&mut plan);
        if plan.steps.iter().flatten().count() == before {
            update::roll(&mut daemons, &mut plan);
        }
        daemons.write_status(&mut plan);
        plan
    }
}

fn selects(set: &Whole<DaemonSet>, labels: &Labels) -> bool {
    set.spec.as_ref().is_some_and(|spec| !selection::is_empty(&spec.selector) && selection::selects(&spec.selector, labels))
}

fn is_bound(delta: &Delta<'_, PodRow>) -> bool {
    matches!(delta, Delta::Changed { old, new } if old.node != new.node)
}

/// Whether a change of a node can change which pods fit it.
fn fits_differently(delta: &Delta<'_, NodeRow>) -> bool {
    let Delta::Changed { old, new } = delta else { return true };
    old.labels != new.labels || old.taints != new.taints || old.unschedulable != new.unschedulable || old.uid != new.uid
}

/// A DaemonSet, and its pods by the nodes that they are on or meant for.
struct Daemons<'a> {
    world: &'a World,
    set: &'a Whole<DaemonSet>,
    spec: &'a DaemonSetSpec,
    now: Timestamp,
    current: Revision,
    placement: Placement,
    /// Oldest first.
    by_node: BTreeMap<Arc<str>, Vec<Arc<PodRow>>>,
    verdicts: BTreeMap<Arc<str>, Verdict>,
    budget: usize,
}

impl<'a> Daemons<'a> {
    fn new(
        world: &'a World,
        set: &'a Whole<DaemonSet>,
        spec: &'a DaemonSetSpec,
        current: Revision,
        mut pods: Vec<Arc<PodRow>>,
        now: Timestamp,
    ) -> Self {
        pods.sort_by(|a, b| (a.created, a.name()).cmp(&(b.created, b.name())));
        let mut by_node: BTreeMap<Arc<str>, Vec<Arc<PodRow>>> = BTreeMap::new();
        for pod in pods {
            if let Some(node) = pod.node.clone().or_else(|| pod.pinned.clone()) {
                by_node.entry(node).or_default().push(pod);
            }
        }
        let placement = Placement::of(&spec.template);
        let verdicts = world.nodes.all().map(|node| (node.key.name.clone(), placement.judge(node))).collect();
        Self { world, set, spec, now, current, placement, by_node, verdicts, budget: BURST }
    }

    fn pods_on(&self, node: &str) -> &[Arc<PodRow>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    fn is_current(&self, pod: &PodRow) -> bool {
        pod.label(HASH_LABEL) == Some(&self.current.hash)
    }

    fn is_available(&self, pod: &PodRow) -> bool {
        pod.is_available(self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    /// The nodes that are to have a pod.
    fn wanted_nodes(&self) -> Vec<Arc<str>> {
        self.verdicts.iter().filter(|(_, verdict)| verdict.run).map(|(node, _)| node.clone()).collect()
    }

    /// Creates what is missing, deletes what does not belong.
    fn place(&mut self, plan: &mut Plan) {
        let surges = update::surge(self) > 0;
        for (node, verdict) in self.verdicts.clone() {
            let pods = self.pods_on(&node).to_vec();
            if !verdict.stay {
                pods.iter().filter(|pod| !pod.is_terminating()).for_each(|pod| self.delete(pod, plan));
            } else if pods.is_empty() {
                if verdict.run {
                    self.create(&node, plan);
                }
            } else {
                self.tidy(pods, surges, plan);
            }
        }
        // Pods that wait for a node that is no more would wait for ever.
        let lost: Vec<_> =
            self.by_node.iter().filter(|(node, _)| !self.verdicts.contains_key(*node)).flat_map(|(_, pods)| pods).cloned().collect();
        lost.iter().filter(|pod| pod.node.is_none() && !pod.is_terminating()).for_each(|pod| self.delete(pod, plan));
    }

    /// Deletes finished pods and all but one of the others; while an update surges, one of each revision stays until
    /// the newer is available.
    fn tidy(&mut self, pods: Vec<Arc<PodRow>>, surges: bool, plan: &mut Plan) {
        let mut alive = Vec::new();
        for pod in pods.into_iter().filter(|pod| !pod.is_terminating()) {
            match pod.phase {
                Phase::Failed => self.replace_failed(&pod, plan),
                Phase::Succeeded => self.delete(&pod, plan),
                _ => alive.push(pod),
            }
        }
        let (new, old): (Vec<_>, Vec<_>) = alive.into_iter().partition(|pod| surges && self.is_current(pod));
        let new_serves = new.first().is_some_and(|pod| self.is_available(pod));
        let kept_old = usize::from(!new_serves);
        for pod in old.iter().skip(kept_old).chain(new.iter().skip(1)) {
            self.delete(pod, plan);
        }
    }

    fn replace_failed(&mut self, pod: &Arc<PodRow>, plan: &mut Plan) {
        let ended = pod.outcome.as_ref().and_then(|outcome| outcome.finished).or(pod.created);
        let wait = ended.map_or(0, |ended| ended.as_second() + FAILED_STAYS - self.now.as_second());
        if wait > 0 {
            plan.look_again_in(wait);
            return;
        }
        let node = pod.node.as_deref().unwrap_or_default();
        let message = format!("Found failed pod {} on node {node} and replaces it", pod.name());
        self.delete_with(pod, Note::warning(self.set, "FailedDaemonPod", message), plan);
    }

    fn delete(&mut self, pod: &Arc<PodRow>, plan: &mut Plan) {
        let note = Note::normal(self.set, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        self.delete_with(pod, note, plan);
    }

    fn delete_with(&mut self, pod: &Arc<PodRow>, note: Note, plan: &mut Plan) {
        if self.budget == 0 {
            return;
        }
        self.budget -= 1;
        let failed = Note::warning(self.set, "FailedDelete", format!("Could not delete pod {}", pod.name()));
        plan.write(Write::delete(&**pod).done(note).failed(failed));
    }

    fn create(&mut self, node: &str, plan: &mut Plan) {
        if self.budget == 0 {
            return;
        }
        self.budget -= 1;
        let head = self.set.header();
        let prefix = format!("{}-", head.name());
        let seed = format!("{}/{node}", head.uid);
        let name = Names::of_pods(self.world, head.namespace(), &prefix, &seed).next_free();
        let pod = self.placement.pod(self.set, &self.spec.template, node, name.clone(), &self.current.hash);
        let done = Note::normal(self.set, "SuccessfulCreate", format!("Created pod: {name}"));
        let failed = Note::warning(self.set, "FailedCreate", "Could not create a pod");
        plan.write(Write::create(pod).done(done).failed(failed));
    }

    fn write_status(&self, plan: &mut Plan) {
        let (mut desired, mut scheduled, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
        for (node, verdict) in &self.verdicts {
            let oldest = self.pods_on(node).first();
            if !verdict.run {
                misplaced += i32::from(oldest.is_some());
                continue;
            }
            desired += 1;
            let Some(oldest) = oldest else { continue };
            scheduled += 1;
            ready += i32::from(oldest.is_ready());
            available += i32::from(self.is_available(oldest));
            updated += i32::from(self.is_current(oldest));
            if let Some(since) = oldest.ready_since.filter(|_| !self.is_available(oldest)) {
                let min = i64::from(self.spec.min_ready_seconds.unwrap_or(0));
                plan.look_again_in(since.as_second() + min - self.now.as_second());
            }
        }
        let positive = |count: i32| Some(count).filter(|count| *count > 0);
        plan.update_status(self.set, |set| {
            let generation = set.metadata.generation;
            let status = set.status.get_or_insert_default();
            status.observed_generation = generation;
            status.desired_number_scheduled = desired;
            status.current_number_scheduled = scheduled;
            status.number_misscheduled = misplaced;
            status.number_ready = ready;
            status.number_available = positive(available);
            status.number_unavailable = positive(desired - available);
            status.updated_number_scheduled = positive(updated);
        });
    }
}

#[cfg(test)]
mod tests;
