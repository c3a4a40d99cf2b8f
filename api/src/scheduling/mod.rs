//! Which pods may run on which nodes: pure predicates over the API types, shared by the scheduler, the DaemonSet
//! controller and the kubelet, so that all three agree. And the kinds of `scheduling.k8s.io`.

pub mod affinity;
pub mod ports;
pub mod priority_class;
pub mod resources;
pub mod taints;
pub mod volumes;

pub use affinity::{matches_node, preference};
pub use ports::{HostPort, host_ports};
pub use resources::Resources;
pub use taints::{first_untolerated, tolerated, tolerates_unschedulable};
