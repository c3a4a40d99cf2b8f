//! DefaultPreemption: makes room for a pod that fits no node, at the expense of less important ones. What would happen
//! without some pods is tried on the cluster itself, and taken back.

use std::cmp::Reverse;
use std::sync::Arc;

use hashbrown::HashMap;
use machinery::NamespacedName;

use crate::cache::{Cluster, NodeId};
use crate::diagnosis::counted;
use crate::framework::{Outcome, Plugin, PostFilter, Profile, Reason, Rejection};
use crate::pod::Pod;

/// Nodes on which room was found to be possible, at which the search ends.
const MOST_CANDIDATES: usize = 100;

const NO_VICTIMS: Reason = Reason::Fixed("No preemption victims found for incoming pod");
const NO_HELP: Reason = Reason::Fixed("Preemption is not helpful for scheduling");
const NO_ROOM: Reason = Reason::Fixed("Insufficient room without the less important pods");

#[derive(Clone, Copy, Debug)]
pub struct DefaultPreemption;

impl Plugin for DefaultPreemption {
    const NAME: &'static str = "DefaultPreemption";
}

/// A node on which the pod would fit without the victims.
struct Candidate {
    node: NodeId,
    /// The most important first.
    victims: Vec<Arc<Pod>>,
    /// How many of them a disruption budget protects.
    violations: usize,
}

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, pod: &Pod, cluster: &mut Cluster, profile: &Profile, rejections: &[(NodeId, Rejection)]) -> Outcome {
        if !pod.shape.preempts {
            return Outcome::Hopeless("not eligible due to preemptionPolicy=Never.".to_owned());
        }
        if awaits_victims(pod, cluster) {
            return Outcome::Hopeless("not eligible due to a terminating pod on the nominated node.".to_owned());
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut reasons: Vec<Reason> = Vec::new();
        for (node, rejection) in rejections {
            if !rejection.preemptible {
                reasons.push(NO_HELP);
                continue;
            }
            match cluster.trial(|cluster| candidate(pod, *node, cluster, profile)) {
                Ok(candidate) => candidates.push(candidate),
                Err(reason) => reasons.push(reason),
            }
            if candidates.len() == MOST_CANDIDATES {
                break;
            }
        }
        match candidates.into_iter().min_by_key(Candidate::cost) {
            Some(Candidate { node, victims, .. }) => Outcome::Nominate { node, victims },
            None => Outcome::Hopeless(format!("0/{} nodes are available: {}.", cluster.len(), counted(reasons.iter()))),
        }
    }
}

/// Whether room is being made for the pod already.
fn awaits_victims(pod: &Pod, cluster: &Cluster) -> bool {
    let node = cluster.nominated_node(&pod.key).and_then(|name| cluster.by_name(name));
    let is_victim = |other: &Arc<Pod>| other.deleting && other.shape.priority < pod.shape.priority;
    node.is_some_and(|node| node.pods().iter().any(is_victim))
}

/// More important pods first: those of higher priority, then those that have run longer.
fn importance(pod: &Arc<Pod>) -> impl Ord + use<> {
    // Those that have not started have run shortest.
    let started = if pod.started == 0 { i64::MAX } else { pod.started };
    (Reverse(pod.shape.priority), started, pod.key.clone())
}

/// The least set of less important pods without which the pod fits the node.
fn candidate(pod: &Pod, id: NodeId, cluster: &mut Cluster, profile: &Profile) -> Result<Candidate, Reason> {
    let less_important = |other: &&Arc<Pod>| other.shape.priority < pod.shape.priority;
    let mut removed: Vec<Arc<Pod>> =
        cluster.node(id).map(|node| node.pods().iter().filter(less_important).cloned().collect()).unwrap_or_default();
    if removed.is_empty() {
        return Err(NO_VICTIMS);
    }
    removed.sort_by_cached_key(importance);
    let assumed: Vec<bool> = removed.iter().map(|other| cluster.is_assumed(&other.key)).collect();
    removed.iter().for_each(|other| _ = cluster.remove_pod(&other.key));
    let found =
        if profile.fits_beside_nominated(pod, id, cluster) { Ok(reprieve(pod, id, &removed, cluster, profile)) } else { Err(NO_ROOM) };
    for (other, assumed) in removed.iter().zip(assumed) {
        if assumed { cluster.assume(other, id) } else { _ = cluster.set_pod(other) }
    }
    found
}

/// Puts pods back one by one, those first that a budget protects, as long as the pod fits still. Those that are left
/// out are the victims.
fn reprieve(pod: &Pod, id: NodeId, removed: &[Arc<Pod>], cluster: &mut Cluster, profile: &Profile) -> Candidate {
    let (protected, others): (Vec<_>, Vec<_>) = by_protection(removed, cluster);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (other, is_protected) in protected.into_iter().map(|other| (other, true)).chain(others.into_iter().map(|other| (other, false))) {
        cluster.set_pod(&other);
        if profile.fits_beside_nominated(pod, id, cluster) {
            continue;
        }
        cluster.remove_pod(&other.key);
        violations += usize::from(is_protected);
        victims.push(other);
    }
    victims.sort_by_cached_key(importance);
    Candidate { node: id, victims, violations }
}

/// Tells apart the pods whose loss would break a budget.
fn by_protection(pods: &[Arc<Pod>], cluster: &Cluster) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut spent: HashMap<NamespacedName, i64> = HashMap::new();
    pods.iter().cloned().partition(|pod| {
        let mut breaks = false;
        for (key, budget) in cluster.budgets_of(pod) {
            let spent = spent.entry(key.clone()).or_default();
            *spent += 1;
            breaks |= *spent > budget.allowed;
        }
        breaks
    })
}

impl Candidate {
    /// What is least is best: broken budgets; the priority of the most important victim; that of all together; their
    /// number; and how long the most important ones have run.
    fn cost(&self) -> impl Ord + use<> {
        let highest = self.victims.first().map_or(i32::MIN, |victim| victim.shape.priority);
        // Raised above zero, so that more victims always weigh more.
        let sum: i64 = self.victims.iter().map(|victim| i64::from(victim.shape.priority) - i64::from(i32::MIN)).sum();
        let earliest = self.victims.iter().filter(|victim| victim.shape.priority == highest && victim.started > 0).map(|v| v.started).min();
        (self.violations, highest, sum, self.victims.len(), Reverse(earliest.unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests;
