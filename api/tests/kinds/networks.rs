//! Services, and the addresses behind them.

use std::net::IpAddr;

use api::core::service::allocation::{self, Family, Plan, PortPlace};
use api::object::{Object, downcast_mut, downcast_ref};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use crate::{Found, Kit, expected, found, with};

fn service() -> Value {
    json!({"metadata": {"name": "web", "namespace": "n"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
}

/// Plans the object's needs and grants them: addresses from 10.0.0.0 and fd00:: up, ports from 30000 up.
fn allocate(object: &mut dyn Object, old: Option<&dyn Object>) -> Result<Plan, Found> {
    let service: &mut Service = downcast_mut(object).unwrap();
    let old = old.map(|old| downcast_ref::<Service>(old).unwrap());
    let plan = allocation::plan(service, old, &[Family::V4]).map_err(|errors| found(&errors))?;
    for request in &plan.addresses {
        let any: IpAddr = if request.family == Family::V4 { "10.0.0.1" } else { "fd00::1" }.parse().unwrap();
        request.grant(service, request.wanted.unwrap_or(any));
    }
    for (i, request) in plan.ports.iter().enumerate() {
        request.grant(service, request.wanted.unwrap_or(30_000 + i32::try_from(i).unwrap()));
    }
    Ok(plan)
}

/// What is wrong with a new Service, and the Service with all that it was given.
fn post(value: Value) -> (Box<dyn Object>, Found) {
    let kit = Kit::of("", "v1", "services");
    let mut object = kit.decode(value);
    match allocate(&mut *object, None) {
        Ok(_) => kit.create(kit.0.encode(&*object)),
        Err(errors) => (object, errors),
    }
}

fn posted(value: Value) -> (Box<dyn Object>, Value) {
    let (object, errors) = post(value);
    assert_eq!(errors, Found::new());
    let spec = Kit::of("", "v1", "services").0.encode(&*object)["spec"].clone();
    (object, spec)
}

fn refuses(cases: &[(&[(&str, Value)], &str)]) {
    for (changes, want) in cases {
        assert_eq!(post(with(&service(), changes)).1, expected(want), "{changes:?}");
    }
}

/// What is wrong with an update, the updated spec, and the plan of what it takes and releases.
fn put(old: &dyn Object, changes: &[(&str, Value)]) -> (Found, Value, Plan) {
    let kit = Kit::of("", "v1", "services");
    let mut new = kit.decode(with(&kit.0.encode(old), changes));
    let plan = allocate(&mut *new, Some(old)).unwrap();
    let allocated = kit.0.encode(&*new);
    let whole: Vec<(&str, Value)> = vec![("spec", allocated["spec"].clone())];
    let (new, errors) = kit.update(old, "", &whole);
    (errors, kit.0.encode(&*new)["spec"].clone(), plan)
}

#[test]
fn services_are_defaulted() {
    let (object, spec) = posted(service());
    assert_eq!(
        spec,
        json!({
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "selector": {"app": "web"}, "sessionAffinity": "None", "type": "ClusterIP",
        })
    );
    let kit = Kit::of("", "v1", "services");
    assert_eq!(kit.0.encode(&*object)["status"], json!({"loadBalancer": {}}));
    assert_eq!(kit.row(&*object), json!(["web", "ClusterIP", "10.0.0.1", "<none>", "80/TCP", "<unknown>", "app=web"]));
    let (_, spec) = posted(with(&service(), &[("spec.sessionAffinity", json!("ClientIP")), ("spec.externalIPs", json!(["203.0.113.9"]))]));
    assert_eq!(spec["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(spec["externalTrafficPolicy"], "Cluster");
}

#[test]
fn headless_services_take_no_address() {
    let families = |changes: &[(&str, Value)]| {
        let (_, spec) = posted(with(&service(), changes));
        assert_eq!(spec["clusterIPs"], json!(["None"]));
        (spec["ipFamilies"].clone(), spec["ipFamilyPolicy"].clone())
    };
    let none = ("spec.clusterIP", json!("None"));
    assert_eq!(families(std::slice::from_ref(&none)), (json!(["IPv4"]), json!("SingleStack")));
    assert_eq!(families(&[none, ("spec.selector", Value::Null)]), (json!(["IPv4", "IPv6"]), json!("RequireDualStack")));
}

#[test]
fn bad_services_are_refused() {
    let external = |name: &str| vec![("spec.type", json!("ExternalName")), ("spec.externalName", json!(name))];
    let mut with_address = external("x.example.com");
    with_address.push(("spec.clusterIP", json!("10.96.77.8")));
    refuses(&[
        (&[("spec.ports", Value::Null)], "Required spec.ports"),
        (&[("spec.ports", json!([{"port": 80}, {"port": 81}]))], "Required spec.ports[0].name; Required spec.ports[1].name"),
        (
            &[("spec.ports", json!([{"name": "a", "port": 80}, {"name": "a", "port": 81}, {"name": "b", "port": 80}]))],
            "Duplicate spec.ports[1].name; Duplicate spec.ports[2]",
        ),
        (
            &[("spec.ports", json!([{"name": "Web_1", "port": 0, "protocol": "ICMP", "targetPort": 70000}]))],
            "Invalid spec.ports[0].name; Invalid spec.ports[0].port; NotSupported spec.ports[0].protocol; Invalid spec.ports[0].targetPort",
        ),
        (
            &[("spec.ports", json!([{"port": 80, "targetPort": "this-name-is-too-long", "appProtocol": "a b"}]))],
            "Invalid spec.ports[0].targetPort; Invalid spec.ports[0].appProtocol",
        ),
        (&[("spec.ports.0.nodePort", json!(31555))], "Forbidden spec.ports[0].nodePort"),
        (&external("")[..], "Required spec.externalName"),
        (&external("not a name!")[..], "Invalid spec.externalName"),
        (&external("X.Example.com.")[..], "Invalid spec.externalName"),
        (&with_address[..], "Forbidden spec.clusterIPs"),
        (&[("spec.externalIPs", json!(["127.0.0.1", "not-an-ip"]))], "Invalid spec.externalIPs[0]; Invalid spec.externalIPs[1]"),
        (
            &[("spec.type", json!("LoadBalancer")), ("spec.loadBalancerSourceRanges", json!(["10.0.0.0/33"]))],
            "Invalid spec.LoadBalancerSourceRanges[0]",
        ),
        (&[("spec.loadBalancerSourceRanges", json!(["10.0.0.0/8"]))], "Forbidden spec.LoadBalancerSourceRanges"),
        (&[("spec.externalTrafficPolicy", json!("Local"))], "Invalid spec.externalTrafficPolicy"),
        (
            &[
                ("spec.type", json!("NodePort")),
                ("spec.externalTrafficPolicy", json!("Sometimes")),
                ("spec.internalTrafficPolicy", json!("Never")),
            ],
            "NotSupported spec.externalTrafficPolicy; NotSupported spec.internalTrafficPolicy",
        ),
        (
            &[("spec.loadBalancerClass", json!("example.com/fast")), ("spec.allocateLoadBalancerNodePorts", json!(true))],
            "Forbidden spec.allocateLoadBalancerNodePorts; Forbidden spec.loadBalancerClass",
        ),
        (&[("spec.selector", json!({"-bad-": "x y"}))], "Invalid spec.selector; Invalid spec.selector"),
        (&[("spec.trafficDistribution", json!("Far"))], "NotSupported spec.trafficDistribution"),
        (&[("spec.ipFamilyPolicy", json!("RequireDualStack"))], "Invalid spec.ipFamilyPolicy"),
        (&[("spec.ipFamilies", json!(["IPv6"]))], "Invalid spec.ipFamilies[0]"),
        (&[("spec.clusterIP", json!("x"))], "Invalid spec.clusterIPs[0]"),
    ]);
}

#[test]
fn what_was_allocated_stays() {
    let (old, _) = posted(service());
    let refused = |changes: &[(&str, Value)]| put(&*old, changes).0;
    assert_eq!(refused(&[("spec.clusterIP", json!("10.96.78.78"))]), expected("Invalid spec.clusterIPs[0]"));
    assert_eq!(refused(&[("spec.clusterIP", json!("None"))]), expected("Invalid spec.clusterIPs[0]"));
    let without = [("spec.clusterIP", Value::Null), ("spec.clusterIPs", Value::Null), ("spec.ports", json!([{"port": 81}]))];
    let (errors, spec, plan) = put(&*old, &without);
    assert_eq!((errors, &spec["clusterIPs"], plan), (Found::new(), &json!(["10.0.0.1"]), Plan::default()));
}

#[test]
fn node_ports_follow_the_type() {
    let (node_port, spec) = posted(with(&service(), &[("spec.type", json!("NodePort"))]));
    assert_eq!((&spec["ports"][0]["nodePort"], &spec["externalTrafficPolicy"]), (&json!(30000), &json!("Cluster")));
    let (errors, spec, plan) = put(&*node_port, &[("spec.type", json!("ClusterIP"))]);
    assert_eq!(errors, Found::new());
    assert_eq!((spec["ports"][0].get("nodePort"), spec.get("externalTrafficPolicy")), (None, None));
    assert_eq!(plan.released_ports, [30000]);
    let (errors, spec, plan) = put(&*node_port, &[("spec.type", json!("ExternalName")), ("spec.externalName", json!("a.b"))]);
    assert_eq!((errors, spec.get("clusterIPs")), (Found::new(), None));
    assert_eq!(plan.released_addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    // A port that is renamed keeps nothing, one that is not keeps its number.
    let (_, spec, plan) = put(&*node_port, &[("spec.ports", json!([{"port": 81}]))]);
    assert_eq!((&spec["ports"][0]["nodePort"], plan), (&json!(30000), Plan::default()));
}

#[test]
fn one_number_serves_two_protocols() {
    let ports = json!([{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53}, {"name": "m", "port": 90}]);
    let (_, spec) = posted(with(&service(), &[("spec.type", json!("NodePort")), ("spec.ports", ports)]));
    let numbers: Vec<&Value> = spec["ports"].as_array().unwrap().iter().map(|port| &port["nodePort"]).collect();
    assert_eq!(numbers, [30000, 30000, 30001]);
}

#[test]
fn load_balancers() {
    let balanced = [("spec.type", json!("LoadBalancer")), ("spec.externalTrafficPolicy", json!("Local"))];
    let (old, spec) = posted(with(&service(), &balanced));
    assert_eq!((&spec["allocateLoadBalancerNodePorts"], &spec["healthCheckNodePort"]), (&json!(true), &json!(30001)));
    assert_eq!(put(&*old, &[("spec.healthCheckNodePort", json!(32111))]).0, expected("Forbidden spec.healthCheckNodePort"));
    let (errors, spec, plan) = put(&*old, &[("spec.externalTrafficPolicy", json!("Cluster"))]);
    assert_eq!((errors, spec.get("healthCheckNodePort"), plan.released_ports), (Found::new(), None, vec![30001]));
    assert_eq!(put(&*old, &[("spec.loadBalancerClass", json!("a.b/c"))]).0, expected("Invalid spec.loadBalancerClass"));
    let frugal = [("spec.type", json!("LoadBalancer")), ("spec.allocateLoadBalancerNodePorts", json!(false))];
    let (old, spec) = posted(with(&service(), &frugal));
    assert_eq!(spec["ports"][0].get("nodePort"), None);
    let (_, _, plan) = put(&*old, &[("spec.allocateLoadBalancerNodePorts", json!(true))]);
    assert_eq!(plan.ports[0].place, PortPlace::Ports(vec![0]));
    let kit = Kit::of("", "v1", "services");
    kit.refuses_updates(
        &*posted(service()).0,
        "status",
        &[(&[("status.loadBalancer", json!({"ingress": [{"ip": "192.0.2.1"}]}))], "Forbidden status.loadBalancer.ingress")],
    );
}

#[test]
fn endpoints() {
    let kit = Kit::of("", "v1", "endpoints");
    let base = json!({
        "metadata": {"name": "ep", "namespace": "n"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}],
    });
    assert_eq!(kit.golden(base.clone())["subsets"][0]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
    kit.refuses(
        &base,
        &[
            (&[("subsets.0.addresses", json!([]))], "Required subsets[0]"),
            (&[("subsets.0.addresses.0.ip", json!("127.0.0.1"))], "Invalid subsets[0].addresses[0].ip"),
            (
                &[("subsets.0.ports", json!([{"port": 80}, {"port": 0, "name": "a"}]))],
                "Required subsets[0].ports[0].name; Invalid subsets[0].ports[1].port",
            ),
        ],
    );
    assert_eq!(kit.row(&*kit.created(base)), json!(["ep", "192.0.2.1:80", "<unknown>"]));
}

#[test]
fn endpoint_slices() {
    let kit = Kit::of("discovery.k8s.io", "v1", "endpointslices");
    let base = json!({
        "metadata": {"name": "a", "namespace": "n"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.5"]}], "ports": [{"port": 80}],
    });
    let old = kit.created(base.clone());
    let made = kit.0.encode(&*old);
    assert_eq!(made["endpoints"], json!([{"addresses": ["192.0.2.5"], "conditions": {}}]));
    assert_eq!(made["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    let empty = kit.golden(with(&base, &[("endpoints", json!([])), ("ports", Value::Null)]));
    assert_eq!((&empty["endpoints"], &empty["ports"]), (&Value::Null, &Value::Null));
    assert!(empty.as_object().unwrap().contains_key("ports"));
    let endpoints = json!([
        {"addresses": []}, {"addresses": ["2001:db8::1"]}, {"addresses": ["127.0.0.1"]},
        {"addresses": ["192.0.2.1"], "hostname": "Bad_Host", "nodeName": "-"},
    ]);
    kit.refuses(
        &base,
        &[
            (&[("addressType", json!(""))], "Required addressType"),
            (&[("addressType", json!("IPX"))], "NotSupported addressType"),
            (
                &[("endpoints", endpoints), ("ports", json!([{"name": "a"}, {"name": "a"}]))],
                "Duplicate ports[1].name; Required endpoints[0].addresses; Invalid endpoints[1].addresses; \
             Invalid endpoints[2].addresses[0]; Invalid endpoints[3].nodeName; Invalid endpoints[3].hostname",
            ),
            (&[("addressType", json!("FQDN")), ("endpoints.0.addresses", json!(["no spaces here"]))], "Invalid endpoints[0].addresses[0]"),
        ],
    );
    kit.refuses_updates(&*old, "", &[(&[("addressType", json!("FQDN")), ("endpoints", json!([]))], "Invalid addressType")]);
    let relabelled = kit.updated(&*old, "", &[("metadata.labels", json!({"a": "b"}))]);
    assert_eq!(relabelled["metadata"]["generation"], 2);
    assert_eq!(kit.row(&*old), json!(["a", "IPv4", "80", "192.0.2.5", "<unknown>"]));
}

#[test]
fn ingresses() {
    let kit = Kit::of("networking.k8s.io", "v1", "ingresses");
    let backend = json!({"service": {"name": "a", "port": {"number": 80}}});
    let base = json!({"metadata": {"name": "shop", "namespace": "n"}, "spec": {"defaultBackend": backend}});
    let old = kit.created(base.clone());
    let made = kit.0.encode(&*old);
    assert_eq!((&made["status"], &made["metadata"]["generation"]), (&json!({"loadBalancer": {}}), &json!(1)));
    assert_eq!(kit.row(&*old), json!(["shop", "<none>", "*", "", "80", "<unknown>"]));
    let rules = |rules: Value| ("spec", json!({"rules": rules}));
    let at = "spec.rules[0].http.paths";
    kit.refuses(
        &base,
        &[
            (&[("spec", json!({}))], "Invalid spec"),
            (
                &[rules(json!([{"host": "192.0.2.1", "http": {"paths": [
                    {"path": "relative", "pathType": "Prefix", "backend": backend},
                    {"path": "/a", "backend": backend},
                    {"path": "/b", "pathType": "", "backend": {"service": {"name": "a", "port": {"number": 80, "name": "http"}}}},
                ]}}]))],
                &format!(
                    "Invalid spec.rules[0].host; Invalid {at}[0].path; Required {at}[1].pathType; NotSupported {at}[2].pathType; \
                 Invalid {at}[2].backend"
                ),
            ),
            (
                &[rules(json!([{"host": "*", "http": {"paths": []}}, {"host": "a.*.example.com", "http": {"paths": [
                    {"path": "/a//b", "pathType": "Exact", "backend": {}},
                    {"path": "/c/../d", "pathType": "Prefix", "backend": {"service": {"name": "a"}}},
                ]}}]))],
                "Invalid spec.rules[0].host; Required spec.rules[0].http.paths; Invalid spec.rules[1].host; \
             Invalid spec.rules[1].http.paths[0].path; Invalid spec.rules[1].http.paths[0].backend; \
             Invalid spec.rules[1].http.paths[1].path; Required spec.rules[1].http.paths[1].backend",
            ),
            (
                &[("metadata.annotations", json!({"kubernetes.io/ingress.class": "old"})), ("spec.ingressClassName", json!("new"))],
                "Invalid annotations.kubernetes.io/ingress.class",
            ),
            (
                &[("spec.defaultBackend.service.port.number", json!(99999)), ("spec.tls", json!([{"hosts": ["BAD_HOST"]}]))],
                "Invalid spec.defaultBackend.service.port.number; Invalid spec.tls[0].hosts[0]",
            ),
        ],
    );
    assert_eq!(kit.updated(&*old, "", &[("spec.ingressClassName", json!("nginx"))])["metadata"]["generation"], 2);
}

#[test]
fn ingress_classes() {
    let kit = Kit::of("networking.k8s.io", "v1", "ingressclasses");
    let parameters = json!({"apiGroup": "example.com", "kind": "Params", "name": "p"});
    let base = json!({"metadata": {"name": "c"}, "spec": {"controller": "example.com/lb", "parameters": parameters}});
    let old = kit.created(base.clone());
    assert_eq!(kit.0.encode(&*old)["spec"]["parameters"]["scope"], "Cluster");
    assert_eq!(kit.row(&*old), json!(["c", "example.com/lb", "Params.example.com/p", "<unknown>"]));
    kit.refuses(
        &base,
        &[(
            &[("spec", json!({"controller": "nodomain", "parameters": {"kind": "", "name": "", "scope": "Galaxy"}}))],
            "Invalid spec.controller; Required spec.parameters.kind; Required spec.parameters.name; NotSupported spec.parameters.scope",
        )],
    );
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.controller", json!("example.com/other"))], "Invalid spec.controller"),
            (&[("spec.parameters.scope", json!("Namespace"))], "Required spec.parameters.namespace"),
        ],
    );
}

#[test]
fn network_policies() {
    let kit = Kit::of("networking.k8s.io", "v1", "networkpolicies");
    let base = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"podSelector": {}}});
    assert_eq!(kit.golden(base.clone())["spec"], json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let open = kit.golden(with(&base, &[("spec.egress", json!([{"ports": [{"port": 80}]}]))]));
    assert_eq!(open["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(open["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    let whole = "10.0.0.0/8";
    let from = json!([
        {}, {"podSelector": {}, "ipBlock": {"cidr": whole}}, {"ipBlock": {"cidr": whole, "except": ["192.168.0.0/16", "nonsense"]}},
    ]);
    let ports = json!([
        {"port": 70000}, {"port": 90, "endPort": 80}, {"endPort": 80}, {"port": "name", "endPort": 80},
        {"protocol": "ICMP", "port": 1}, {"port": "This_Is_Bad"},
    ]);
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Exists", "values": ["x"]}]});
    kit.refuses(
        &base,
        &[
            (
                &[("spec.policyTypes", json!(["Sideways"])), ("spec.ingress", json!([{"from": from}]))],
                "Required spec.ingress[0].from[0]; Forbidden spec.ingress[0].from[1]; Invalid spec.ingress[0].from[2].ipBlock.except[0]; \
             Invalid spec.ingress[0].from[2].ipBlock.except[1]; NotSupported spec.policyTypes[0]",
            ),
            (
                &[("spec.egress", json!([{"ports": ports}]))],
                "Invalid spec.egress[0].ports[0].port; Invalid spec.egress[0].ports[1].endPort; Invalid spec.egress[0].ports[2].endPort; \
             Invalid spec.egress[0].ports[3].endPort; NotSupported spec.egress[0].ports[4].protocol; Invalid spec.egress[0].ports[5].port",
            ),
            (
                &[("spec.podSelector", selector), ("spec.policyTypes", json!(["Ingress", "Egress", "Ingress"]))],
                "Required spec.podSelector.matchExpressions[0].values; Forbidden spec.podSelector.matchExpressions[1].values; \
             Invalid spec.policyTypes",
            ),
        ],
    );
}

#[test]
fn service_ranges() {
    let kit = Kit::of("networking.k8s.io", "v1", "servicecidrs");
    let base = json!({"metadata": {"name": "v6"}, "spec": {"cidrs": ["fd12:3456:789a::/112"]}});
    let old = kit.created(base.clone());
    assert_eq!(kit.0.encode(&*old)["status"], json!({}));
    kit.refuses(
        &base,
        &[
            (&[("spec", json!({}))], "Required spec.cidrs"),
            (&[("spec.cidrs", json!(["10.0.0.0/8", "11.0.0.0/8"]))], "Invalid spec.cidrs"),
            (&[("spec.cidrs", json!(["10.0.0.1/8"]))], "Invalid spec.cidrs[0]"),
        ],
    );
    kit.refuses_updates(
        &*old,
        "",
        &[
            (&[("spec.cidrs", json!(["fd12:3456:789b::/112"]))], "Invalid spec.cidrs[0]"),
            (&[("spec.cidrs", json!(["fd12:3456:789a::/112", "10.0.0.0/8"]))], ""),
        ],
    );
    let kit = Kit::of("networking.k8s.io", "v1", "ipaddresses");
    let base = json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "namespace": "n", "name": "web"}}});
    let old = kit.created(base.clone());
    assert!(kit.0.validate_name("10.0.0.01", false).len() == 1 && kit.0.validate_name("10.0.0.1", false).is_empty());
    assert_eq!(kit.row(&*old)[1], json!("services/n/web"));
    assert_eq!(kit.row(&*old).as_array().map(Vec::len), Some(3), "there is an age");
    kit.refuses(
        &base,
        &[
            (&[("spec", Value::Null)], "Required spec.parentRef"),
            (&[("spec.parentRef", json!({}))], "Required spec.parentRef.resource; Required spec.parentRef.name"),
            (&[("spec.parentRef.resource", json!(""))], "Required spec.parentRef.resource"),
        ],
    );
    kit.refuses_updates(&*old, "", &[(&[("spec.parentRef.name", json!("x"))], "Invalid spec.parentRef")]);
}
