//! Mirrors Endpoints that somebody keeps by hand, for a Service without a selector, to EndpointSlices, which is what
//! readers look at.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::packing::{Groups, Mould, pack};
use super::{Family, HEADLESS, MANAGED_BY, Port, SERVICE_NAME, legacy};
use crate::controller::{Controller, Key, Wake};
use crate::naming::Names;
use crate::ownership::controller_reference;
use crate::plan::{Plan, Write};
use crate::world::{Change, Kind, Whole, World};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints that served as a lock in days of old.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How many addresses of a subset are mirrored.
const MOST: usize = 1000;

pub struct EndpointSliceMirroringController;

impl Controller for EndpointSliceMirroringController {
    fn name(&self) -> &'static str {
        "endpointslice-mirroring-controller"
    }

    fn account(&self) -> Option<&'static str> {
        Some("endpointslicemirroring-controller")
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Endpoints, Kind::EndpointSlice]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Service(delta) => wake.key(&delta.newest().header().key),
            Change::Endpoints(delta) => wake.key(&delta.newest().header().key),
            Change::EndpointSlice(delta) => {
                for slice in delta.states().filter(|slice| slice.header().label(MANAGED_BY) == Some(MANAGER)) {
                    if let Some(service) = slice.header().label(SERVICE_NAME) {
                        wake.key(&Key::new(slice.header().key.namespace.clone(), service));
                    }
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mirrored = world.endpoints.get(key).filter(|endpoints| is_mirrored(world, endpoints, key));
        let existing: Vec<Arc<Whole<EndpointSlice>>> = world
            .endpoint_slices
            .namespace(&key.namespace)
            .filter(|slice| slice.header().label(MANAGED_BY) == Some(MANAGER))
            .filter(|slice| slice.header().label(SERVICE_NAME) == Some(&*key.name))
            .cloned()
            .collect();
        let Some(endpoints) = mirrored else {
            existing.iter().filter(|slice| !slice.header().is_terminating()).for_each(|slice| plan.write(Write::delete(&**slice)));
            return plan;
        };
        let taken = |name: &str| world.endpoint_slices.find(&key.namespace, name).is_some();
        let mould = Mould {
            metadata: metadata(endpoints),
            trigger: None,
            names: Names::new(&format!("{}-", key.name), &endpoints.header().uid, taken),
            placeholders: Vec::new(),
            identity: |endpoint| endpoint.addresses.join(","),
        };
        pack(existing, groups(endpoints), mould, &mut plan);
        plan
    }
}

fn is_mirrored(world: &World, endpoints: &Whole<Endpoints>, key: &Key) -> bool {
    let header = endpoints.header();
    let lock = endpoints.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER));
    let by_hand =
        |service: &Service| service.spec.as_ref().is_some_and(|spec| spec.selector.as_ref().is_none_or(|selector| selector.is_empty()));
    !header.is_terminating()
        && !lock
        && header.label(SKIP) != Some("true")
        && header.label(legacy::LABEL.0) != Some(legacy::LABEL.1)
        && world.services.get(key).is_some_and(|service| by_hand(service))
}

fn metadata(endpoints: &Whole<Endpoints>) -> ObjectMeta {
    let header = endpoints.header();
    let mut labels = (*header.labels).clone();
    labels.remove(HEADLESS);
    labels.insert(SERVICE_NAME.to_owned(), header.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    ObjectMeta {
        generate_name: Some(format!("{}-", header.name())),
        namespace: Some(header.namespace().to_owned()),
        labels: Some(labels),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![controller_reference(endpoints)]),
        ..ObjectMeta::default()
    }
}

fn groups(endpoints: &Endpoints) -> Groups {
    let mut groups = Groups::new();
    for subset in endpoints.subsets.iter().flatten() {
        let of = |port: &k8s_openapi::api::core::v1::EndpointPort| Port {
            name: port.name.clone().unwrap_or_default(),
            port: port.port,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: port.app_protocol.clone(),
        };
        let ports: Vec<Port> = subset.ports.iter().flatten().map(of).collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(not_ready).take(MOST) {
            let group = groups.entry((Family::of(&address.ip), ports.clone())).or_default();
            group.insert(address.ip.clone(), endpoint(address, ready));
        }
    }
    groups
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::laws::{Scenario, check};

    #[test]
    fn hand_made_endpoints_are_mirrored_while_they_exist() {
        let scenario = |phases: &[&dyn Fn(&mut crate::simulator::Simulator)]| {
            check(&Scenario { controllers: &[&EndpointSliceMirroringController], phases, ..Scenario::default() })
        };
        let make = |s: &mut crate::simulator::Simulator| {
            s.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sql"}, "spec": {"ports": [{"port": 5432}]}}));
            s.create(json!({
                "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "sql"},
                "subsets": [{
                    "addresses": [{"ip": "203.0.113.7"}], "notReadyAddresses": [{"ip": "203.0.113.8"}, {"ip": "2001:db8::1"}],
                    "ports": [{"name": "sql", "port": 15432, "protocol": "TCP"}],
                }],
            }));
        };
        let server = scenario(&[&make]);
        assert_eq!(server.all("endpointslices").count(), 2);
        let slice = server.all("endpointslices").find(|slice| slice["addressType"] == "IPv4").unwrap();
        assert_eq!(slice["endpoints"].as_array().unwrap().len(), 2);
        assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Endpoints");
        let server = scenario(&[&make, &|s| s.delete("endpoints", "sql")]);
        assert_eq!(server.all("endpointslices").count(), 0);
    }
}
