//! What stands behind a Service: its pods as endpoints, grouped by the ports that they serve. EndpointSlices, the
//! older Endpoints, and the mirror from the latter to the former are made of it.

mod legacy;
mod mirror;
mod packing;
mod slices;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub use legacy::EndpointsController;
pub use mirror::EndpointSliceMirroringController;
pub use slices::EndpointSliceController;

use crate::controller::Wake;
use crate::selection;
use crate::world::{Change, Delta, Labels, PodRow, Whole, World};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const ZONE: &str = "topology.kubernetes.io/zone";

/// A port as an endpoint serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    name: String,
    port: i32,
    protocol: String,
    app_protocol: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(address: &str) -> Self {
        if address.contains(':') { Self::V6 } else { Self::V4 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// The Service's spec, if it selects pods.
fn selecting(service: &Service) -> Option<&ServiceSpec> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    (!external && spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())).then_some(spec)
}

fn selects(service: &Service, labels: &Labels) -> bool {
    let selector = selecting(service).and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selection::map_selects(selector, labels))
}

fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

fn families(spec: &ServiceSpec) -> Vec<Family> {
    let named: Vec<_> = spec.ip_families.iter().flatten().map(|f| if f == "IPv6" { Family::V6 } else { Family::V4 }).collect();
    if named.is_empty() { vec![spec.cluster_ip.as_deref().map_or(Family::V4, Family::of)] } else { named }
}

/// The labels that what is made for a Service carries: the Service's own, and the given ones.
fn labels(service: &Whole<Service>, given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut labels = (*service.header().labels).clone();
    for reserved in [SERVICE_NAME, MANAGED_BY, HEADLESS] {
        labels.remove(reserved);
    }
    if service.spec.as_ref().is_some_and(is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.extend(given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    labels
}

/// The pods that the Service selects, have an address and are not finished.
fn pods<'a>(world: &'a World, service: &'a Whole<Service>) -> impl Iterator<Item = &'a Arc<PodRow>> {
    let all = world.pods.namespace(service.header().namespace());
    all.filter(|pod| selects(service, &pod.labels) && !pod.phase.is_finished() && !pod.ips.is_empty())
}

/// Upon what the endpoints were last written, by which the delay until they are is measured: the newest among the Service's
/// creation and the changes of its pods' readiness. An annotation and its value.
fn trigger(world: &World, service: &Whole<Service>) -> Option<(String, String)> {
    let changes = pods(world, service).filter_map(|pod| pod.ready_changed);
    let newest = changes.chain(service.header().created).max()?;
    Some((TRIGGER_TIME.to_owned(), newest.to_string()))
}

fn publishes_all(spec: &ServiceSpec) -> bool {
    spec.publish_not_ready_addresses == Some(true)
}

/// The Service's ports as this pod serves them. A named port that the pod does not have is left out.
fn ports(spec: &ServiceSpec, pod: &PodRow) -> Vec<Port> {
    let resolve = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let number = match &port.target_port {
            None | Some(IntOrString::Int(0)) => Some(port.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) => {
                pod.ports.iter().find(|known| known.name == *name && known.protocol == protocol).map(|known| known.port)
            }
        };
        let name = port.name.clone().unwrap_or_default();
        number.map(|port_number| Port { name, port: port_number, protocol, app_protocol: port.app_protocol.clone() })
    };
    spec.ports.iter().flatten().filter_map(resolve).collect()
}

fn pod_reference(pod: &PodRow) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        name: Some(pod.name().to_owned()),
        uid: Some(pod.uid.to_string()),
        ..ObjectReference::default()
    }
}

/// The host name under which DNS knows the pod through this Service.
fn hostname(service: &Whole<Service>, pod: &PodRow) -> Option<String> {
    let subdomain = pod.subdomain.as_deref()?;
    (subdomain == service.header().name()).then(|| pod.hostname.as_deref().map(str::to_owned)).flatten()
}

/// Wakes the Services that a change of a pod or a node concerns.
fn wake_services(world: &World, change: &Change<'_>, wake: &mut Wake) {
    match change {
        Change::Pod(delta) if matters(delta) => delta.states().for_each(|pod| wake_for(world, pod, wake)),
        Change::Node(delta) => {
            let zone = |row: Option<&Arc<crate::world::NodeRow>>| row.map(|node| node.label(ZONE).map(str::to_owned));
            if zone(delta.before()) != zone(delta.after()) {
                let name = delta.newest().name();
                world.pods.on_node(name).for_each(|pod| wake_for(world, pod, wake));
            }
        }
        _ => {}
    }
}

fn wake_for(world: &World, pod: &PodRow, wake: &mut Wake) {
    let services = world.services.namespace(pod.namespace()).filter(|service| selects(service, &pod.labels));
    let known: BTreeSet<_> = wake.now.iter().cloned().collect();
    for service in services.filter(|service| !known.contains(&service.header().key)) {
        wake.key(&service.header().key);
    }
}

/// Whether a pod's change shows in endpoints.
fn matters(delta: &Delta<'_, PodRow>) -> bool {
    let Delta::Changed { old, new } = delta else { return true };
    old.ips != new.ips
        || old.is_ready() != new.is_ready()
        || old.deleted.is_some() != new.deleted.is_some()
        || old.phase.is_finished() != new.phase.is_finished()
        || old.labels != new.labels
        || old.node != new.node
        || old.uid != new.uid
}
