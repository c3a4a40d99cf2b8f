//! Services: themselves, their node ports, and their load balancers.

use k8s_openapi::api::core::v1::Service;

use super::{Amounts, ONE, whole};

pub(super) const NODE_PORTS: &str = "services.nodeports";
pub(super) const LOAD_BALANCERS: &str = "services.loadbalancers";

pub(super) fn amounts(service: &Service) -> Amounts {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let balanced = spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let node_ports = match spec.and_then(|spec| spec.type_.as_deref()) {
        Some("NodePort") => ports.len(),
        // Without allocation only ports that were asked for by number are taken.
        Some("LoadBalancer") if spec.and_then(|spec| spec.allocate_load_balancer_node_ports) == Some(false) => {
            ports.iter().filter(|port| port.node_port.is_some_and(|number| number != 0)).count()
        }
        Some("LoadBalancer") => ports.len(),
        _ => 0,
    };
    Amounts::from([
        ("count/services".to_owned(), ONE),
        ("services".to_owned(), ONE),
        (NODE_PORTS.to_owned(), whole(node_ports)),
        (LOAD_BALANCERS.to_owned(), whole(usize::from(balanced))),
    ])
}
