//! The scheduling framework: a trait for each extension point, as Kubernetes has them. A plugin is a type in a file of
//! its own that implements those it needs; [`Profile`] puts plugins together.
//!
//! Plugins are pure: they look at a pod and at the [`Cluster`], and answer. What a plugin works out about a pod once,
//! before it looks at nodes, is of a type of its own (`State`). Pods of one shape share it; see [`crate::placement`].

mod event;
mod profile;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;
use client::transport::{Binding, Result as TransportResult};
use machinery::ResourceVersion;

pub use self::event::{ClusterEvent, Help};
pub use self::profile::{PluginSet, PreparedFilter, PreparedFilters, PreparedScore, Profile};
pub use self::verdict::{Reason, Rejection};
use crate::cache::{Cluster, Node, NodeId};
use crate::pod::Pod;

/// Whatever a node's score is made of, it ends between 0 and this.
pub const MOST_SCORE: i64 = 100;
/// The raw score of a node that a plugin cannot rate: it ends with 0, and others are not measured by it.
pub const UNRATED: i64 = i64::MIN;

/// What all plugins have.
pub trait Plugin: Send + Sync + 'static {
    /// As Kubernetes calls it.
    const NAME: &'static str;
}

/// In what order pods are tried.
pub trait QueueSort: Plugin {
    /// The lowest comes first.
    type Key: Ord + Clone + Send;

    /// `arrival` rises with every pod that comes in.
    fn key(&self, pod: &Pod, arrival: u64) -> Self::Key;
}

/// Whether a pod is to be tried at all.
pub trait PreEnqueue: Plugin {
    /// # Errors
    /// What holds the pod back until it is changed.
    fn pre_enqueue(&self, pod: &Pod) -> Result<(), Rejection>;
}

/// How far a plugin looks when it judges a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// At the pod and the node alone: its judgement of a node holds until the node is touched.
    Node,
    /// At other nodes too: its judgement holds until anything is touched.
    Cluster,
}

/// What a plugin has worked out about a pod.
pub enum PreFilter<S> {
    /// The plugin has nothing to say on this pod.
    Skip,
    Check {
        state: S,
        reach: Reach,
        /// The only nodes that can pass, where the plugin knows them.
        only: Option<Vec<NodeId>>,
    },
}

impl<S> PreFilter<S> {
    /// Judges nodes one by one, each by itself.
    pub fn each(state: S) -> Self {
        Self::Check { state, reach: Reach::Node, only: None }
    }
}

/// Works out, once for a pod, what the filter needs.
pub trait PreFilterPlugin: Plugin {
    type State: Send + 'static;

    /// # Errors
    /// Why the pod fits no node at all.
    fn pre_filter(&self, pod: &Pod, cluster: &Cluster) -> Result<PreFilter<Self::State>, Rejection>;
}

/// Which nodes a pod can run on.
pub trait Filter: PreFilterPlugin {
    /// # Errors
    /// Why the pod does not fit the node.
    fn filter(&self, state: &Self::State, pod: &Pod, node: Node<'_>) -> Result<(), Rejection>;

    /// Whether the event may help a pod that this plugin has rejected. By default an event on a node helps where the
    /// node passes now.
    fn helps(&self, pod: &Pod, event: ClusterEvent<'_>, cluster: &Cluster) -> Help {
        let Some(node) = event.node() else { return Help::No };
        match self.pre_filter(pod, cluster) {
            Ok(PreFilter::Skip) => Help::ThisNode,
            Ok(PreFilter::Check { state, only, .. })
                if only.as_ref().is_none_or(|only| only.contains(&node.id())) && self.filter(&state, pod, node).is_ok() =>
            {
                Help::ThisNode
            }
            _ => Help::No,
        }
    }
}

/// What can be done for a pod that fits no node.
pub trait PostFilter: Plugin {
    /// `rejections` are the nodes' answers. The plugin may try changes to the cluster, and must take them back.
    fn post_filter(&self, pod: &Pod, cluster: &mut Cluster, profile: &Profile, rejections: &[(NodeId, Rejection)]) -> Outcome;
}

/// What a [`PostFilter`] proposes.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The pod will fit the node when the victims are gone.
    Nominate { node: NodeId, victims: Vec<Arc<Pod>> },
    /// Nothing can be done. The text goes to the end of the message that tells why the pod fits no node.
    Hopeless(String),
}

/// Works out, once for a pod, what its scoring needs. None where all nodes are alike to the plugin.
pub trait PreScore: Plugin {
    type State: Send + 'static;

    fn pre_score(&self, pod: &Pod, cluster: &Cluster) -> Option<Scoring<Self::State>>;
}

/// See [`PreScore`].
pub struct Scoring<S> {
    pub state: S,
    pub reach: Reach,
}

/// The least and the greatest raw score of the nodes that a pod fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub least: i64,
    pub most: i64,
}

/// Which of the nodes that a pod fits is best.
pub trait Score: PreScore {
    /// What the plugin's word counts among the others'.
    const WEIGHT: i64;
    /// Whether scores depend on those of other nodes, by [`normalize`](Self::normalize).
    const NORMALIZES: bool = false;

    /// The node's raw score. Without normalization it is between 0 and [`MOST_SCORE`].
    fn score(&self, state: &Self::State, pod: &Pod, node: Node<'_>) -> i64;

    /// A score between 0 and [`MOST_SCORE`], of a raw one and the range of all.
    fn normalize(&self, raw: i64, _range: Range) -> i64 {
        raw
    }
}

/// Told of a decision before it is carried out.
pub trait Reserve: Plugin {
    /// # Errors
    /// Why the pod cannot have the node after all.
    fn reserve(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection>;

    /// The decision has failed. Called also where `reserve` was not.
    fn unreserve(&self, pod: &Pod);
}

/// Has the last word on a decision.
pub trait Permit: Plugin {
    /// # Errors
    /// Why the pod must not be bound now.
    fn permit(&self, pod: &Pod, node: NodeId, cluster: &Cluster) -> Result<(), Rejection>;
}

/// Carries decisions out.
#[async_trait]
pub trait Bind: Send + Sync + 'static {
    /// Binds pods to nodes; one result for each, in order.
    async fn bind(&self, bindings: Vec<Binding>) -> Vec<TransportResult<ResourceVersion>>;
}
