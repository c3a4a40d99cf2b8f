//! The group `resource.k8s.io`.

use serde_json::{Value, json};

use crate::Kit;

const GROUP: &str = "resource.k8s.io";

fn request(name: &str) -> Value {
    json!({"name": name, "exactly": {"deviceClassName": "gpu"}})
}

fn claim() -> Value {
    json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"devices": {"requests": [request("a")]}}})
}

#[test]
fn device_classes() {
    let kit = Kit::of(GROUP, "v1", "deviceclasses");
    let config = json!([{"opaque": {"driver": "BAD", "parameters": {"a": 1}}}]);
    let base = json!({"metadata": {"name": "gpu"}, "spec": {"selectors": [{"cel": {"expression": "true"}}], "config": config}});
    kit.refuses(
        &base,
        &[
            (&[("spec.selectors", json!([{}]))], "Required spec.selectors[0].cel"),
            (&[("spec.config", json!([{"opaque": {"driver": "ok.example.com"}}]))], "Required spec.config[0].opaque.parameters"),
        ],
    );
    let changed = kit.updated(&*kit.created(base), "", &[("spec.config", Value::Null)]);
    assert_eq!(changed["metadata"]["generation"], 2);
}

#[test]
fn claims() {
    let kit = Kit::of(GROUP, "v1", "resourceclaims");
    let made = kit.golden(claim());
    let exactly = json!({"allocationMode": "ExactCount", "count": 1, "deviceClassName": "gpu"});
    assert_eq!((&made["spec"]["devices"]["requests"][0]["exactly"], &made["status"]), (&exactly, &json!({})));
    let devices = "spec.devices";
    let requests = |all: Value| ("spec.devices.requests", all);
    kit.refuses(
        &claim(),
        &[
            (&[requests(json!([request("a"), request("a")]))], &format!("Duplicate {devices}.requests[1]")),
            (&[requests(json!([{"name": "a"}]))], &format!("Required {devices}.requests[0]")),
            (&[requests(json!([request("Bad_Name")]))], &format!("Invalid {devices}.requests[0].name")),
            (
                &[("spec.devices.requests.0.exactly.allocationMode", json!("Some"))],
                &format!("NotSupported {devices}.requests[0].exactly.allocationMode"),
            ),
            (&[("spec.devices.requests.0.exactly.count", json!(0))], ""),
            (
                &[("spec.devices.requests.0.exactly", json!({"deviceClassName": "gpu", "allocationMode": "All", "count": 2}))],
                &format!("Invalid {devices}.requests[0].exactly.count"),
            ),
            (
                &[("spec.devices.requests.0.exactly.deviceClassName", json!(""))],
                &format!("Required {devices}.requests[0].exactly.deviceClassName"),
            ),
            (
                &[("spec.devices.constraints", json!([{"requests": ["zzz"], "matchAttribute": "example.com/x"}]))],
                &format!("Invalid {devices}.constraints[0].requests[0]"),
            ),
            (&[("spec.devices.config", json!([{"requests": ["a"]}]))], &format!("Required {devices}.config[0].opaque")),
        ],
    );
}

#[test]
fn claims_are_allocated_and_reserved() {
    let kit = Kit::of(GROUP, "v1", "resourceclaims");
    let old = kit.created(claim());
    kit.refuses_updates(&*old, "", &[(&[("spec.devices.requests.0.name", json!("two"))], "Invalid spec")]);
    let consumer = |name: &str| json!({"resource": "pods", "name": name, "uid": "u"});
    let reserve = |all: Value| ("status.reservedFor", all);
    let allocate = |request: &str| {
        let result = json!({"request": request, "driver": "gpu.example.com", "pool": "p", "device": "d0"});
        ("status.allocation", json!({"devices": {"results": [result]}}))
    };
    kit.refuses_updates(
        &*old,
        "status",
        &[
            (&[reserve(json!([consumer("p")]))], "Forbidden status.reservedFor"),
            (&[allocate("none")], "Invalid status.allocation.devices.results[0].request"),
        ],
    );
    let (old, errors) = kit.update(&*old, "status", &[allocate("a"), reserve(json!([consumer("p")]))]);
    assert!(errors.is_empty());
    assert_eq!(kit.row(&*old), json!(["c", "allocated,reserved", "<unknown>"]));
    kit.refuses_updates(
        &*old,
        "status",
        &[
            (&[allocate("none")], "Invalid status.allocation"),
            (&[reserve(json!([consumer("p"), consumer("q")]))], "Duplicate status.reservedFor[1]"),
        ],
    );
}

#[test]
fn templates_and_slices() {
    let kit = Kit::of(GROUP, "v1", "resourceclaimtemplates");
    let base = json!({"metadata": {"name": "t", "namespace": "n"}, "spec": {"spec": claim()["spec"]}});
    kit.refuses(&base, &[(&[("spec.spec.devices.requests", json!([{"name": "x"}]))], "Required spec.spec.devices.requests[0]")]);
    kit.refuses_updates(&*kit.created(base), "", &[(&[("spec.metadata.labels", json!({"a": "b"}))], "Invalid spec")]);
    let kit = Kit::of(GROUP, "v1", "resourceslices");
    let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    let base = json!({"metadata": {"name": "s"}, "spec": {"driver": "gpu.example.com", "nodeName": "n1", "pool": pool}});
    kit.refuses(
        &base,
        &[
            (&[("spec.nodeName", Value::Null)], "Required spec"),
            (&[("spec.allNodes", json!(true))], "Invalid spec"),
            (&[("spec.pool.resourceSliceCount", json!(0))], "Invalid spec.pool.resourceSliceCount"),
            (&[("spec.devices", json!([{"name": "d"}, {"name": "d"}]))], "Duplicate spec.devices[1]"),
        ],
    );
}
