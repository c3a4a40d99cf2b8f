//! EndpointSlices of Services that select pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::packing::{Groups, Mould, pack};
use super::{
    Family, MANAGED_BY, SERVICE_NAME, ZONE, families, hostname, labels, pod_reference, pods, ports, publishes_all, selecting, trigger,
    wake_services,
};
use crate::controller::{Controller, Key, Wake};
use crate::naming::Names;
use crate::ownership::controller_reference;
use crate::plan::Plan;
use crate::world::{Change, Kind, PodRow, Whole, World};

const MANAGER: &str = "endpointslice-controller.k8s.io";

pub struct EndpointSliceController;

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Pod, Kind::Node, Kind::EndpointSlice]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Service(delta) => wake.key(&delta.newest().header().key),
            Change::EndpointSlice(delta) => {
                for slice in delta.states().filter(|slice| slice.header().label(MANAGED_BY) == Some(MANAGER)) {
                    if let Some(service) = slice.header().label(SERVICE_NAME) {
                        wake.key(&Key::new(slice.header().key.namespace.clone(), service));
                    }
                }
            }
            _ => wake_services(world, change, wake),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(service) = world.services.get(key).filter(|s| !s.header().is_terminating()) else { return plan };
        let Some(spec) = selecting(service) else { return plan };
        let metadata = ObjectMeta {
            generate_name: Some(format!("{}-", key.name)),
            namespace: Some(key.namespace.to_string()),
            labels: Some(labels(service, &[(SERVICE_NAME, &key.name), (MANAGED_BY, MANAGER)])),
            owner_references: Some(vec![controller_reference(&**service)]),
            ..ObjectMeta::default()
        };
        let taken = |name: &str| world.endpoint_slices.find(&key.namespace, name).is_some();
        let mould = Mould {
            metadata,
            trigger: trigger(world, service),
            names: Names::new(&format!("{}-", key.name), &service.header().uid, taken),
            placeholders: families(spec),
            identity: |endpoint| endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default(),
        };
        pack(managed(world, service), groups(world, service, spec), mould, &mut plan);
        plan
    }
}

fn managed(world: &World, service: &Whole<Service>) -> Vec<Arc<Whole<EndpointSlice>>> {
    let slices = world.endpoint_slices.controlled_by(&service.header().uid);
    slices.filter(|slice| slice.header().label(MANAGED_BY) == Some(MANAGER)).cloned().collect()
}

fn groups(world: &World, service: &Whole<Service>, spec: &ServiceSpec) -> Groups {
    let mut groups = Groups::new();
    // Pods on nodes that do not exist are left out, except where even pods that are not ready are published.
    let is_placed = |pod: &PodRow| pod.node.as_ref().is_some_and(|node| world.nodes.find("", node).is_some());
    for pod in pods(world, service).filter(|pod| publishes_all(spec) || is_placed(pod)) {
        let ports = ports(spec, pod);
        for family in families(spec) {
            if let Some(endpoint) = endpoint(world, service, spec, pod, family) {
                let group: &mut BTreeMap<_, _> = groups.entry((family, ports.clone())).or_default();
                group.insert(pod.uid.to_string(), endpoint);
            }
        }
    }
    groups
}

fn endpoint(world: &World, service: &Whole<Service>, spec: &ServiceSpec, pod: &PodRow, family: Family) -> Option<Endpoint> {
    let addresses: Vec<String> = pod.ips.iter().filter(|ip| Family::of(ip) == family).take(1).map(|ip| ip.to_string()).collect();
    if addresses.is_empty() {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.is_terminating());
    let node = pod.node.as_deref();
    Some(Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(publishes_all(spec) || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(service, pod),
        node_name: node.map(str::to_owned),
        target_ref: Some(pod_reference(pod)),
        zone: node.and_then(|node| world.nodes.find("", node)?.label(ZONE).map(str::to_owned)),
        ..Endpoint::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controllers::endpoints::EndpointsController;
    use crate::laws::{Scenario, check};
    use crate::simulator::Simulator;

    fn service() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        })
    }

    fn node(server: &mut Simulator) {
        server.create(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node", "labels": {ZONE: "north"}},
        }));
    }

    fn pod(name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
        })
    }

    const BOTH: [&dyn Controller; 2] = [&EndpointSliceController, &EndpointsController];

    #[test]
    fn a_service_without_pods_has_an_empty_slice() {
        let server = check(&Scenario { controllers: &BOTH, phases: &[&|s| s.create(service())], ..Scenario::default() });
        let slice = server.all("endpointslices").next().unwrap();
        assert!(slice["ports"].is_null());
        assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    }

    #[test]
    fn slices_and_endpoints_follow_the_pods() {
        let server = check(&Scenario {
            controllers: &BOTH,
            phases: &[
                &|s| {
                    node(s);
                    s.create(service());
                    s.create(pod("one"));
                    s.create(pod("two"));
                },
                &|s| s.change("pods", "two", |pod| pod["status"]["conditions"][0]["status"] = json!("False")),
            ],
            ..Scenario::default()
        });
        assert_eq!(server.all("endpointslices").count(), 1);
        let slice = server.all("endpointslices").next().unwrap();
        let ready: Vec<_> = slice["endpoints"].as_array().unwrap().iter().map(|e| e["conditions"]["ready"] == true).collect();
        assert_eq!(ready.iter().filter(|ready| **ready).count(), 1);
        assert_eq!(slice["endpoints"][0]["zone"], "north");
        assert_eq!(slice["ports"][0]["port"], 8080);
        let endpoints = server.get("endpoints", "default", "web").unwrap();
        assert_eq!(endpoints["subsets"][0]["addresses"].as_array().unwrap().len(), 1);
        assert_eq!(endpoints["subsets"][0]["notReadyAddresses"][0]["targetRef"]["name"], "two");
    }

    #[test]
    fn many_pods_take_several_slices() {
        let mut server = Simulator::new();
        node(&mut server);
        server.create(service());
        for number in 0..250 {
            server.create(pod(&format!("pod-{number:03}")));
        }
        while server.run_nodes() {}
        let world = server.world_at(server.log.len());
        let plan = EndpointSliceController.reconcile(&world, &Key::new("default", "web"), server.now);
        for write in plan.steps.into_iter().flatten() {
            server.apply(write).unwrap();
        }
        let sizes: Vec<_> = server.all("endpointslices").map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 250);
        assert_eq!(sizes.len(), 3);
    }

    #[test]
    fn pods_that_leave_take_their_ports_with_them() {
        let server = check(&Scenario {
            controllers: &BOTH,
            phases: &[
                &|s| {
                    node(s);
                    s.create(service());
                    s.create(pod("one"));
                },
                &|s| s.delete("pods", "one"),
            ],
            ..Scenario::default()
        });
        assert_eq!(server.all("endpointslices").count(), 1);
        assert!(server.all("endpointslices").next().unwrap()["ports"].is_null());
        assert!(server.get("endpoints", "default", "web").unwrap()["subsets"].is_null());
    }
}
