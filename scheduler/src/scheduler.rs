//! [`Scheduler`]: decides which pod goes where. It is synchronous and does no I/O: events go in, decisions come out, and
//! whoever carries them out tells how that went. It has no clock and no randomness of its own either, so that a test
//! can replay everything it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machinery::NamespacedName;
use rand::rngs::SmallRng;

use crate::budget::Budget;
use crate::cache::{Cluster, NodeChange, NodeId};
use crate::framework::{ClusterEvent, Outcome, Profile};
use crate::node::NodeInfo;
use crate::placement::Placement;
use crate::plugins::{PrioritySort, volume_binding};
use crate::pod::{Labels, Pod};
use crate::queue::{Counts, Queue};
use crate::volume::{Choice, Claim, Class, Room, Volume, Volumes};

/// Placements kept, so that workloads whose pods come in turns do not drive each other out.
const MOST_PLACEMENTS: usize = 64;

/// What the server tells.
pub enum Event {
    /// A pod is there or has changed, or (with None) is gone.
    Pod { key: NamespacedName, new: Option<Arc<Pod>> },
    /// The same of a node.
    Node { name: Arc<str>, new: Option<Arc<NodeInfo>> },
    /// The same of a persistent volume.
    Volume { name: Arc<str>, new: Option<Arc<Volume>> },
    /// The same of a claim.
    Claim { key: NamespacedName, new: Option<Arc<Claim>> },
    /// The same of a storage class.
    Class { name: Arc<str>, new: Option<Arc<Class>> },
    /// The same of a storage driver: whether it publishes how much it has left.
    StorageDriver { name: Arc<str>, new: Option<bool> },
    /// The same of what is left of a class in a part of the cluster.
    Room { key: NamespacedName, new: Option<Arc<Room>> },
    /// The same of a disruption budget.
    Budget { key: NamespacedName, new: Option<Budget> },
    /// The same of a namespace, of which the labels matter.
    Namespace { name: Arc<str>, new: Option<Labels> },
}

/// What is to be done about a pod.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Bind it, after its claims have got their volumes as chosen. Until somebody says [`Scheduler::bound`] or
    /// [`Scheduler::not_bound`], it counts as if it were.
    Bind { pod: Arc<Pod>, node: Arc<str>, volumes: Vec<Choice> },
    /// Tell that it fits no node, and why.
    Unschedulable { pod: Arc<Pod>, message: Arc<str>, preemption: Option<Preemption> },
    /// Tell that its gates hold it back.
    Gated { pod: Arc<Pod>, message: Arc<str> },
}

/// Room is to be made for a pod.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// The node that its status is to name.
    pub node: Arc<str>,
    /// The pods that are to be deleted. Of one that could not be, say [`Scheduler::spared`].
    pub victims: Vec<Arc<Pod>>,
    /// Less important pods that were to have the room.
    pub displaced: Vec<Arc<Pod>>,
}

pub struct Scheduler {
    /// Pods that name another scheduler are left alone.
    name: Arc<str>,
    profile: Profile,
    cluster: Cluster,
    queue: Queue<PrioritySort>,
    /// The latest used last.
    placements: Vec<Placement>,
    random: SmallRng,
}

impl Scheduler {
    /// `patience` is the time after which a pod that fits no node is tried again though nothing has happened.
    pub fn new(name: impl Into<Arc<str>>, profile: Profile, patience: Duration, random: SmallRng) -> Self {
        Self {
            name: name.into(),
            profile,
            cluster: Cluster::default(),
            queue: Queue::new(PrioritySort, patience),
            placements: Vec::new(),
            random,
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How many pods wait.
    pub fn waiting(&self) -> Counts {
        self.queue.counts()
    }

    pub fn has_work(&self) -> bool {
        self.queue.has_active()
    }

    /// When a pod that waits out its backoff is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    /// Takes in what the server tells. Returns what is to be told about gated pods.
    pub fn apply(&mut self, event: Event, now: Instant) -> Option<Decision> {
        match event {
            Event::Pod { key, new: None } => {
                self.forget(&key, now);
                None
            }
            Event::Pod { new: Some(pod), .. } if pod.node.is_some() => {
                self.apply_bound(&pod, now);
                None
            }
            Event::Pod { new: Some(pod), .. } => self.apply_waiting(&pod, now),
            Event::Node { name, new } => {
                let change = match new {
                    Some(info) => self.cluster.set_node(&name, &info),
                    None => self.cluster.remove_node(&name),
                };
                match (change, self.cluster.by_name(&name)) {
                    (NodeChange::Added | NodeChange::Updated, Some(node)) => {
                        react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::NodeChanged { node }, now);
                    }
                    (NodeChange::Removed, _) => react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::NodeGone, now),
                    _ => {}
                }
                None
            }
            Event::Volume { name, new } => {
                self.change_volumes(|volumes| volumes.set_volume(&name, new), now);
                None
            }
            Event::Claim { key, new } => {
                self.change_volumes(|volumes| volumes.set_claim(&key, new), now);
                None
            }
            Event::Class { name, new } => {
                self.change_volumes(|volumes| volumes.set_class(&name, new), now);
                None
            }
            Event::StorageDriver { name, new } => {
                self.change_volumes(|volumes| volumes.set_driver(&name, new), now);
                None
            }
            Event::Room { key, new } => {
                self.change_volumes(|volumes| volumes.set_room(&key, new), now);
                None
            }
            Event::Budget { key, new } => {
                self.cluster.set_budget(&key, new);
                None
            }
            Event::Namespace { name, new } => {
                self.cluster.set_namespace(&name, new);
                react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::NamespaceChanged, now);
                None
            }
        }
    }

    fn change_volumes(&mut self, change: impl FnOnce(&mut Volumes), now: Instant) {
        self.cluster.change_volumes(change);
        react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::VolumesChanged, now);
    }

    fn apply_bound(&mut self, pod: &Arc<Pod>, now: Instant) {
        let news = self.cluster.is_assumed(&pod.key);
        self.queue.remove(&pod.key);
        self.cluster.withdraw_nomination(&pod.key);
        let before = self.cluster.set_pod(pod);
        let node = pod.node.as_deref().and_then(|name| self.cluster.by_name(name));
        let Some(node) = node else { return };
        let same = before.as_ref().is_some_and(|before| before.counts_as(pod) && before.node == pod.node);
        if news || !same {
            react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::PodPlaced { pod, node }, now);
        }
        if let Some(before) = before.filter(|_| !same) {
            react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::PodLeft { pod: &before, node }, now);
        }
    }

    fn apply_waiting(&mut self, pod: &Arc<Pod>, now: Instant) -> Option<Decision> {
        let same = |known: &Arc<Pod>| known.uid == pod.uid;
        let replaced = self.queue.get(&pod.key).is_some_and(|known| !same(known));
        if replaced || self.cluster.pod(&pod.key).is_some_and(|known| !same(known)) {
            self.forget(&pod.key, now);
        }
        if pod.scheduler != self.name || pod.deleting {
            self.queue.remove(&pod.key);
            self.cluster.withdraw_nomination(&pod.key);
            return None;
        }
        // Of a preemption before a restart; a nomination of our own is ahead of the status that tells of it.
        if let Some(node) = pod.nominated.as_ref().filter(|_| self.queue.get(&pod.key).is_none() && !self.cluster.is_assumed(&pod.key)) {
            self.cluster.nominate(pod, node);
        }
        let gated = self.profile.admits(pod).err();
        let is_news = self.queue.put(pod, gated.is_some(), now);
        let message = gated.filter(|_| is_news)?.reason.to_string().into();
        Some(Decision::Gated { pod: pod.clone(), message })
    }

    fn forget(&mut self, key: &NamespacedName, now: Instant) {
        self.queue.remove(key);
        if let Some(node) = self.cluster.withdraw_nomination(key).and_then(|name| self.cluster.by_name(&name)) {
            react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::NodeChanged { node }, now);
        }
        let Some(pod) = self.cluster.remove_pod(key) else { return };
        self.forget_volumes(&pod, now);
        self.profile.unreserve(&pod);
        if let Some(node) = pod.node.as_deref().and_then(|name| self.cluster.by_name(name)) {
            react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::PodLeft { pod: &pod, node }, now);
        }
    }

    /// Decides about at most so many of the pods that wait, in their order.
    pub fn decide(&mut self, most: usize, now: Instant) -> Vec<Decision> {
        self.queue.flush(now);
        let mut decisions = Vec::new();
        while decisions.len() < most
            && let Some(pod) = self.queue.pop(now)
        {
            decisions.push(self.decide_one(pod, now));
        }
        decisions
    }

    fn decide_one(&mut self, pod: Arc<Pod>, now: Instant) -> Decision {
        self.cluster.announce(&pod);
        let placement = placement(&mut self.placements, &pod, &self.profile, &self.cluster, &mut self.random);
        // The room that was made for the pod goes first.
        let nominated = self.cluster.nominated_node(&pod.key).and_then(|name| self.cluster.by_name(name)).map(|node| node.id());
        let nominated = nominated.filter(|id| placement.fits(*id));
        let (cluster, profile) = (&mut self.cluster, &self.profile);
        let mut suits = |id| cluster.nominated_on(id).is_empty() || profile.fits_beside_nominated(&pod, id, cluster);
        let best = nominated.filter(|id| suits(*id)).or_else(|| placement.best_that(suits));
        let Some(id) = best else { return self.decide_unschedulable(pod) };
        let reserved = self.profile.reserve_and_permit(&pod, id, &self.cluster);
        let volumes = match reserved.and_then(|()| volume_binding::choose(&pod, id, &self.cluster)) {
            Ok(volumes) => volumes,
            Err(rejection) => {
                self.queue.failed(&pod.key, now);
                return Decision::Unschedulable { pod, message: rejection.reason.to_string().into(), preemption: None };
            }
        };
        self.cluster.withdraw_nomination(&pod.key);
        self.cluster.assume(&pod, id);
        let node = self.cluster.node(id).map(|node| node.name().clone()).unwrap_or_default();
        if !volumes.is_empty() {
            self.cluster.change_volumes(|known| known.assume(&pod.key, &node, volumes.clone()));
        }
        Decision::Bind { pod, node, volumes }
    }

    /// What was chosen for the pod's claims has come to pass, or never will.
    fn forget_volumes(&mut self, pod: &Pod, now: Instant) {
        if pod.shape.claims.is_empty() {
            return;
        }
        let mut had_any = false;
        self.cluster.change_volumes(|volumes| had_any = volumes.forget(&pod.key));
        if had_any {
            react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::VolumesChanged, now);
        }
    }

    fn decide_unschedulable(&mut self, pod: Arc<Pod>) -> Decision {
        let placement = placement(&mut self.placements, &pod, &self.profile, &self.cluster, &mut self.random);
        let diagnosis = placement.diagnosis(&self.cluster);
        self.queue.unschedulable(&pod.key, diagnosis.rejected_by);
        let message = diagnosis.message.clone();
        let is_nominated = self.cluster.nominated_node(&pod.key).is_some();
        // No node to make room on.
        if diagnosis.nodes.is_empty() {
            return Decision::Unschedulable { pod, message, preemption: None };
        }
        if let Some(message) = placement.hopeless().filter(|_| !is_nominated).cloned() {
            return Decision::Unschedulable { pod, message, preemption: None };
        }
        match self.profile.post_filter_for(&pod, &mut self.cluster, &diagnosis.nodes) {
            None => Decision::Unschedulable { pod, message, preemption: None },
            Some(Outcome::Hopeless(why)) => {
                let message = format!("{message} preemption: {why}").into();
                if !is_nominated {
                    placement.set_hopeless(&message);
                }
                Decision::Unschedulable { pod, message, preemption: None }
            }
            Some(Outcome::Nominate { node, victims }) => {
                let preemption = self.preempt(&pod, node, victims);
                Decision::Unschedulable { pod, message, preemption }
            }
        }
    }

    /// Notes what is to be done. Victims count as being deleted from now on.
    fn preempt(&mut self, pod: &Arc<Pod>, id: NodeId, victims: Vec<Arc<Pod>>) -> Option<Preemption> {
        let node = self.cluster.node(id)?.name().clone();
        for victim in &victims {
            self.cluster.set_pod(&Arc::new(Pod { deleting: true, ..Pod::clone(victim) }));
        }
        let lesser = |other: &&Arc<Pod>| other.shape.priority < pod.shape.priority;
        let displaced: Vec<Arc<Pod>> = self.cluster.nominated_on(id).iter().filter(lesser).cloned().collect();
        displaced.iter().for_each(|other| _ = self.cluster.withdraw_nomination(&other.key));
        self.cluster.nominate(pod, &node);
        Some(Preemption { node, victims, displaced })
    }

    /// A victim could not be deleted: it counts as before.
    pub fn spared(&mut self, victim: &Arc<Pod>) {
        if self.cluster.pod(&victim.key).is_some_and(|known| known.uid == victim.uid) {
            self.cluster.set_pod(victim);
        }
    }

    /// The pod was bound, as decided.
    pub fn bound(&mut self, pod: &Pod, now: Instant) {
        self.forget_volumes(pod, now);
        if self.queue.get(&pod.key).is_some_and(|waiting| waiting.uid == pod.uid) {
            self.queue.remove(&pod.key);
        }
    }

    /// The pod could not be bound: it is tried again after its backoff, if it is still there.
    pub fn not_bound(&mut self, pod: &Pod, now: Instant) {
        if self.queue.get(&pod.key).is_none_or(|waiting| waiting.uid != pod.uid) {
            return;
        }
        self.queue.failed(&pod.key, now);
        self.forget_volumes(pod, now);
        if !self.cluster.is_assumed(&pod.key) {
            return;
        }
        self.profile.unreserve(pod);
        let Some(assumed) = self.cluster.remove_pod(&pod.key) else { return };
        if let Some(node) = assumed.node.as_deref().and_then(|name| self.cluster.by_name(name)) {
            react(&mut self.queue, &self.profile, &self.cluster, ClusterEvent::PodLeft { pod: &assumed, node }, now);
        }
    }

    /// To be called now and then: retries what has been unschedulable for too long, and drops what was kept for pods
    /// that no longer come.
    pub fn tidy(&mut self, now: Instant) {
        self.queue.flush_unschedulable(now);
        if !self.queue.has_active() {
            self.placements = Vec::new();
            self.cluster.tidy();
        }
    }
}

fn react(queue: &mut Queue<PrioritySort>, profile: &Profile, cluster: &Cluster, event: ClusterEvent<'_>, now: Instant) {
    queue.react(now, |rejected_by, pod| profile.helps(rejected_by, pod, event, cluster));
}

/// The placement of the pod's shape, up to date.
fn placement<'a>(
    placements: &'a mut Vec<Placement>,
    pod: &Arc<Pod>,
    profile: &Profile,
    cluster: &Cluster,
    random: &mut SmallRng,
) -> &'a mut Placement {
    let at = match placements.iter().position(|placement| placement.is_for(pod, cluster)) {
        Some(at) => {
            placements[at].refresh(profile, cluster, random);
            at
        }
        None => {
            if placements.len() == MOST_PLACEMENTS {
                placements.remove(0);
            }
            placements.push(Placement::new(pod.clone(), profile, cluster, random));
            placements.len() - 1
        }
    };
    placements[at..].rotate_left(1);
    let last = placements.len() - 1;
    &mut placements[last]
}

#[cfg(test)]
mod tests;
