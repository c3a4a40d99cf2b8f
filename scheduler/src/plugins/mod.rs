//! The plugins, one file each, under the names that Kubernetes gives them, and the profile that runs them.

mod default_binder;
mod default_preemption;
mod domains;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod priority_sort;
mod scheduling_gates;
mod taint_toleration;
pub mod volume_binding;

pub use self::default_binder::DefaultBinder;
pub use self::default_preemption::DefaultPreemption;
pub use self::inter_pod_affinity::InterPodAffinity;
pub use self::node_affinity::NodeAffinity;
pub use self::node_name::NodeName;
pub use self::node_ports::NodePorts;
pub use self::node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
pub use self::node_resources_fit::NodeResourcesFit;
pub use self::node_unschedulable::NodeUnschedulable;
pub use self::pod_topology_spread::PodTopologySpread;
pub use self::priority_sort::PrioritySort;
pub use self::scheduling_gates::SchedulingGates;
pub use self::taint_toleration::TaintToleration;
pub use self::volume_binding::VolumeBinding;
use crate::framework::Profile;

/// What Kubernetes runs unless told otherwise. Cheap filters, and those that no other pod can help, come first.
pub fn default_profile() -> Profile {
    Profile::default()
        .pre_enqueue(SchedulingGates)
        .filter(NodeUnschedulable)
        .filter(NodeName)
        .filter(TaintToleration)
        .filter(NodeAffinity)
        .filter(NodePorts)
        .filter(NodeResourcesFit)
        .filter(VolumeBinding)
        .filter(PodTopologySpread)
        .filter(InterPodAffinity)
        .post_filter(DefaultPreemption)
        .score(TaintToleration)
        .score(NodeAffinity)
        .score(NodeResourcesFit)
        .score(NodeResourcesBalancedAllocation)
        .score(PodTopologySpread)
        .score(InterPodAffinity)
}
