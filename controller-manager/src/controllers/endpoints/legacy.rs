//! Endpoints, the elder of EndpointSlices: all addresses of a Service in one object, cut at a thousand.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Family, Port, families, hostname, labels, pod_reference, pods, ports, publishes_all, selecting, trigger, wake_services};
use crate::controller::{Controller, Key, Wake};
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Whole, World};

pub(super) const LABEL: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// How many addresses the object holds at most.
const MOST: usize = 1000;

pub struct EndpointsController;

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("endpoint-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Pod, Kind::Node, Kind::Endpoints]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Service(delta) => wake.key(&delta.newest().header().key),
            Change::Endpoints(delta) => wake.key(&delta.newest().header().key),
            _ => wake_services(world, change, wake),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let known = world.endpoints.get(key);
        let Some(service) = world.services.get(key) else {
            if let Some(known) = known.filter(|known| known.header().label(LABEL.0) == Some(LABEL.1)) {
                plan.write(Write::delete(&**known));
            }
            return plan;
        };
        let Some(spec) = selecting(service).filter(|_| !service.header().is_terminating()) else { return plan };
        let (subsets, truncated) = subsets(world, service, spec);
        let mut object = known.map(|known| known.to_object()).unwrap_or_default();
        object.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
        object.metadata.labels = Some(labels(service, &[LABEL]));
        let mut annotations = object.metadata.annotations.take().unwrap_or_default();
        if truncated {
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        } else {
            annotations.remove(OVER_CAPACITY);
        }
        object.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
        let noted = |mut object: Endpoints| {
            object.metadata.annotations.get_or_insert_default().extend(trigger(world, service));
            object
        };
        match known {
            None => {
                let (name, namespace) = (Some(key.name.to_string()), Some(key.namespace.to_string()));
                object.metadata = ObjectMeta { name, namespace, ..object.metadata };
                plan.write(Write::create(noted(object)));
            }
            Some(known) if object != ***known => plan.write(Write::update(noted(object))),
            Some(_) => {}
        }
        plan
    }
}

type Addresses = (Vec<EndpointAddress>, Vec<EndpointAddress>);

/// The addresses by the ports that they serve, and whether some had to be left out.
fn subsets(world: &World, service: &Whole<Service>, spec: &ServiceSpec) -> (Vec<EndpointSubset>, bool) {
    let family = families(spec).first().copied().unwrap_or(Family::V4);
    let mut by_ports: BTreeMap<Vec<Port>, Addresses> = BTreeMap::new();
    let (mut count, mut truncated) = (0, false);
    for pod in pods(world, service).filter(|pod| publishes_all(spec) || !pod.is_terminating()) {
        let Some(ip) = pod.ips.iter().find(|ip| Family::of(ip) == family) else { continue };
        let mut ports = ports(spec, pod);
        if ports.is_empty() && spec.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
            continue;
        }
        if count == MOST {
            truncated = true;
            break;
        }
        count += 1;
        ports.sort();
        let (ready, not_ready) = by_ports.entry(ports).or_default();
        let list = if publishes_all(spec) || pod.is_ready() { ready } else { not_ready };
        list.push(EndpointAddress {
            ip: ip.to_string(),
            hostname: hostname(service, pod),
            node_name: pod.node.as_deref().map(str::to_owned),
            target_ref: Some(pod_reference(pod)),
        });
    }
    (by_ports.into_iter().map(subset).collect(), truncated)
}

fn subset((mut ports, (mut ready, mut not_ready)): (Vec<Port>, Addresses)) -> EndpointSubset {
    ports.sort_by_cached_key(|port| fnv128a(&printed(port)));
    let uid = |address: &EndpointAddress| address.target_ref.as_ref().and_then(|target| target.uid.clone());
    for list in [&mut ready, &mut not_ready] {
        list.sort_by_key(|address| (address.ip.clone(), uid(address)));
    }
    let of = |port: Port| EndpointPort {
        name: Some(port.name).filter(|name| !name.is_empty()),
        port: port.port,
        protocol: Some(port.protocol),
        app_protocol: port.app_protocol,
    };
    EndpointSubset {
        addresses: Some(ready).filter(|list| !list.is_empty()),
        not_ready_addresses: Some(not_ready).filter(|list| !list.is_empty()),
        ports: Some(ports.into_iter().map(of).collect::<Vec<_>>()).filter(|ports| !ports.is_empty()),
    }
}

/// A port as upstream prints it to make the hash that it orders ports by.
fn printed(port: &Port) -> String {
    let app_protocol = port.app_protocol.as_deref().unwrap_or("<nil>");
    format!(
        "(v1.EndpointPort){{Name:(string){} Port:(int32){} Protocol:(v1.Protocol){} AppProtocol:(*string){app_protocol}}}",
        port.name, port.port, port.protocol
    )
}

/// FNV-1a of 128 bits.
fn fnv128a(text: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
    text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_in_the_order_of_their_hashes() {
        let port = |number: u16| Port {
            name: format!("p{number}"),
            port: 80 + i32::from(number),
            protocol: ["TCP", "UDP", "SCTP"][usize::from(number) % 3].to_owned(),
            app_protocol: (number % 2 == 1).then(|| "http".to_owned()),
        };
        let subset = subset(((0..8).map(port).collect(), Addresses::default()));
        let names: Vec<String> = subset.ports.into_iter().flatten().filter_map(|port| port.name).collect();
        assert_eq!(names, ["p3", "p7", "p2", "p6", "p4", "p0", "p1", "p5"], "as Kubernetes orders them");
    }
}
