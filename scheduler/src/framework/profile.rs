//! [`Profile`]: the plugins that a scheduler runs, in order. States of plugins are erased here, once for each shape of
//! pods and not once for each node.

use std::sync::Arc;

use super::{
    ClusterEvent, Filter, Help, Outcome, Permit, PostFilter, PreEnqueue, PreFilter, Range, Reach, Rejection, Reserve, Score, UNRATED,
};
use crate::cache::{Cluster, Node, NodeId};
use crate::pod::Pod;

/// A set of a profile's filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PluginSet(u32);

impl PluginSet {
    pub fn insert(&mut self, plugin: usize) {
        self.0 |= 1 << plugin;
    }

    pub fn contains(self, plugin: usize) -> bool {
        self.0 & (1 << plugin) != 0
    }
}

/// The plugins of a scheduler.
#[derive(Default)]
pub struct Profile {
    pre_enqueue: Vec<Box<dyn GateKeeper>>,
    filters: Vec<Box<dyn AnyFilter>>,
    post_filter: Option<Box<dyn AnyPostFilter>>,
    scores: Vec<Box<dyn AnyScore>>,
    reserve: Vec<Box<dyn AnyReserve>>,
    permit: Vec<Box<dyn AnyPermit>>,
}

/// A filter with what it has worked out about a pod.
pub trait PreparedFilter: Send {
    /// # Errors
    /// Why the pod does not fit the node.
    fn filter(&self, pod: &Pod, node: Node<'_>) -> Result<(), Rejection>;
}

/// A scorer with what it has worked out about a pod.
pub trait PreparedScore: Send {
    fn score(&self, pod: &Pod, node: Node<'_>) -> i64;
    /// The weighted score of a raw one.
    fn weighted(&self, raw: i64, range: Range) -> i64;
    fn normalizes(&self) -> bool;
    fn reach(&self) -> Reach;
}

/// What all filters have worked out about a pod.
pub struct PreparedFilters {
    /// With their place in the profile.
    pub filters: Vec<(usize, Box<dyn PreparedFilter>)>,
    pub reach: Reach,
    /// The only nodes that can pass, where that is known.
    pub only: Option<Vec<NodeId>>,
}

impl Profile {
    pub fn pre_enqueue(mut self, plugin: impl PreEnqueue) -> Self {
        self.pre_enqueue.push(Box::new(plugin));
        self
    }

    pub fn filter(mut self, plugin: impl Filter) -> Self {
        self.filters.push(Box::new(Erased(Arc::new(plugin))));
        self
    }

    pub fn post_filter(mut self, plugin: impl PostFilter) -> Self {
        self.post_filter = Some(Box::new(plugin));
        self
    }

    pub fn score(mut self, plugin: impl Score) -> Self {
        self.scores.push(Box::new(Erased(Arc::new(plugin))));
        self
    }

    pub fn reserve(mut self, plugin: impl Reserve) -> Self {
        self.reserve.push(Box::new(plugin));
        self
    }

    pub fn permit(mut self, plugin: impl Permit) -> Self {
        self.permit.push(Box::new(plugin));
        self
    }

    /// # Errors
    /// What holds the pod back.
    pub fn admits(&self, pod: &Pod) -> Result<(), Rejection> {
        self.pre_enqueue.iter().try_for_each(|plugin| plugin.pre_enqueue(pod))
    }

    /// Lets all filters work out what they need.
    ///
    /// # Errors
    /// Why the pod fits no node at all, and the filter's place in the profile.
    pub fn prepare_filters(&self, pod: &Pod, cluster: &Cluster) -> Result<PreparedFilters, (usize, Rejection)> {
        let mut prepared = PreparedFilters { filters: Vec::new(), reach: Reach::Node, only: None };
        for (at, plugin) in self.filters.iter().enumerate() {
            let Some((filter, reach, only)) = plugin.prepare(pod, cluster).map_err(|rejection| (at, rejection))? else { continue };
            prepared.filters.push((at, filter));
            prepared.reach = prepared.reach.max(reach);
            prepared.only = match (prepared.only, only) {
                (Some(mut a), Some(b)) => {
                    a.retain(|node| b.contains(node));
                    Some(a)
                }
                (a, b) => a.or(b),
            };
        }
        Ok(prepared)
    }

    pub fn prepare_scores(&self, pod: &Pod, cluster: &Cluster) -> Vec<Box<dyn PreparedScore>> {
        self.scores.iter().filter_map(|plugin| plugin.prepare(pod, cluster)).collect()
    }

    /// Whether the pod fits the node as it stands.
    pub fn fits(&self, pod: &Pod, id: NodeId, cluster: &Cluster) -> bool {
        let (Ok(prepared), Some(node)) = (self.prepare_filters(pod, cluster), cluster.node(id)) else { return false };
        prepared.only.is_none_or(|only| only.contains(&id)) && prepared.filters.iter().all(|(_, filter)| filter.filter(pod, node).is_ok())
    }

    /// Whether the pod fits the node, and would also fit if those were there already for whom room is being made.
    pub fn fits_beside_nominated(&self, pod: &Pod, id: NodeId, cluster: &mut Cluster) -> bool {
        let goes_first = |other: &&Arc<Pod>| other.shape.priority >= pod.shape.priority && other.key != pod.key;
        let nominated: Vec<Arc<Pod>> = cluster.nominated_on(id).iter().filter(goes_first).cloned().collect();
        if nominated.is_empty() {
            return self.fits(pod, id, cluster);
        }
        let beside = cluster.trial(|cluster| {
            nominated.iter().for_each(|other| cluster.assume(other, id));
            let fits = self.fits(pod, id, cluster);
            nominated.iter().for_each(|other| _ = cluster.remove_pod(&other.key));
            fits
        });
        // Affinity may be to one that is not there yet.
        beside && self.fits(pod, id, cluster)
    }

    /// What can be done for a pod that fits no node. None where no plugin does anything.
    pub fn post_filter_for(&self, pod: &Pod, cluster: &mut Cluster, rejections: &[(NodeId, Rejection)]) -> Option<Outcome> {
        self.post_filter.as_ref().map(|plugin| plugin.post_filter(pod, cluster, self, rejections))
    }

    /// Whether an event may help a pod that these filters have rejected: it must let its node pass all of them, or
    /// other nodes pass one.
    pub fn helps(&self, rejected_by: PluginSet, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> bool {
        let filters = self.filters.iter().enumerate().filter(|(at, _)| rejected_by.contains(*at));
        let mut all = true;
        for (_, filter) in filters {
            match filter.helps(pod, event, cluster) {
                Help::OtherNodes => return true,
                Help::ThisNode => {}
                Help::No => all = false,
            }
        }
        all
    }

    /// Takes what a decision needs, and asks whether it may be carried out.
    ///
    /// # Errors
    /// Why it must not; what was taken is given back then.
    pub fn reserve_and_permit(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection> {
        let reserved = self.reserve.iter().try_for_each(|plugin| plugin.reserve(pod, node, cluster));
        let permitted = reserved.and_then(|()| self.permit.iter().try_for_each(|plugin| plugin.permit(pod, node, cluster)));
        if permitted.is_err() {
            self.unreserve(pod);
        }
        permitted
    }

    /// Gives back what a decision has taken.
    pub fn unreserve(&self, pod: &Pod) {
        self.reserve.iter().rev().for_each(|plugin| plugin.unreserve(pod));
    }
}

/// [`PreEnqueue`], object-safe.
trait GateKeeper: Send + Sync {
    fn pre_enqueue(&self, pod: &Pod) -> Result<(), Rejection>;
}

impl<P: PreEnqueue> GateKeeper for P {
    fn pre_enqueue(&self, pod: &Pod) -> Result<(), Rejection> {
        PreEnqueue::pre_enqueue(self, pod)
    }
}

/// [`PostFilter`], object-safe.
trait AnyPostFilter: Send + Sync {
    fn post_filter(&self, pod: &Pod, cluster: &mut Cluster, profile: &Profile, rejections: &[(NodeId, Rejection)]) -> Outcome;
}

impl<P: PostFilter> AnyPostFilter for P {
    fn post_filter(&self, pod: &Pod, cluster: &mut Cluster, profile: &Profile, rejections: &[(NodeId, Rejection)]) -> Outcome {
        PostFilter::post_filter(self, pod, cluster, profile, rejections)
    }
}

/// [`Reserve`], object-safe.
trait AnyReserve: Send + Sync {
    fn reserve(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection>;
    fn unreserve(&self, pod: &Pod);
}

impl<P: Reserve> AnyReserve for P {
    fn reserve(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection> {
        Reserve::reserve(self, pod, node, cluster)
    }

    fn unreserve(&self, pod: &Pod) {
        Reserve::unreserve(self, pod);
    }
}

/// [`Permit`], object-safe.
trait AnyPermit: Send + Sync {
    fn permit(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection>;
}

impl<P: Permit> AnyPermit for P {
    fn permit(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection> {
        Permit::permit(self, pod, node, cluster)
    }
}

/// A plugin whose state's type is hidden behind what it is erased to.
struct Erased<P>(Arc<P>);

/// A plugin and its state.
struct Prepared<P, S> {
    plugin: Arc<P>,
    state: S,
    reach: Reach,
}

type PreparedParts = (Box<dyn PreparedFilter>, Reach, Option<Vec<NodeId>>);

trait AnyFilter: Send + Sync {
    fn prepare(&self, pod: &Pod, cluster: &Cluster) -> Result<Option<PreparedParts>, Rejection>;
    fn helps(&self, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> Help;
}

impl<P: Filter> AnyFilter for Erased<P> {
    fn prepare(&self, pod: &Pod, cluster: &Cluster) -> Result<Option<PreparedParts>, Rejection> {
        Ok(match self.0.pre_filter(pod, cluster)? {
            PreFilter::Skip => None,
            PreFilter::Check { state, reach, only } => Some((Box::new(Prepared { plugin: self.0.clone(), state, reach }), reach, only)),
        })
    }

    fn helps(&self, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> Help {
        self.0.helps(pod, event, cluster)
    }
}

impl<P: Filter> PreparedFilter for Prepared<P, P::State> {
    fn filter(&self, pod: &Pod, node: Node<'_>) -> Result<(), Rejection> {
        self.plugin.filter(&self.state, pod, node)
    }
}

trait AnyScore: Send + Sync {
    fn prepare(&self, pod: &Pod, cluster: &Cluster) -> Option<Box<dyn PreparedScore>>;
}

impl<P: Score> AnyScore for Erased<P> {
    fn prepare(&self, pod: &Pod, cluster: &Cluster) -> Option<Box<dyn PreparedScore>> {
        let scoring = self.0.pre_score(pod, cluster)?;
        Some(Box::new(Prepared { plugin: self.0.clone(), state: scoring.state, reach: scoring.reach }))
    }
}

impl<P: Score> PreparedScore for Prepared<P, P::State> {
    fn score(&self, pod: &Pod, node: Node<'_>) -> i64 {
        self.plugin.score(&self.state, pod, node)
    }

    fn weighted(&self, raw: i64, range: Range) -> i64 {
        if raw == UNRATED { 0 } else { self.plugin.normalize(raw, range) * P::WEIGHT }
    }

    fn normalizes(&self) -> bool {
        P::NORMALIZES
    }

    fn reach(&self) -> Reach {
        self.reach
    }
}
