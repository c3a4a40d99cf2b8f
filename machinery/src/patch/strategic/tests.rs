#![allow(clippy::unwrap_used)]

use k8s_openapi::api::{apps, core, policy};
use schemars::JsonSchema;
use serde_json::json;

use super::*;

#[track_caller]
fn patched<T: JsonSchema>(object: Value, patch: Value) -> Value {
    apply(&Schema::of::<T>(), object, &patch).unwrap()
}

/// Patches the spec of a pod.
#[track_caller]
fn patched_spec(spec: Value, patch: Value) -> Value {
    patched::<core::v1::Pod>(json!({"spec": spec}), json!({"spec": patch}))["spec"].take()
}

/// Patches the metadata of a config map.
#[track_caller]
fn patched_meta(metadata: Value, patch: Value) -> Value {
    patched::<core::v1::ConfigMap>(json!({"metadata": metadata}), json!({"metadata": patch}))["metadata"].take()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn lists_of_objects_merge_by_key_and_new_ones_come_where_the_patch_has_them() {
    let spec = json!({"containers": [
        {"name": "cart", "image": "1", "args": ["a"], "env": [{"name": "MODE", "value": "slow"}, {"name": "ZONE", "value": "a"}]},
        {"name": "till", "image": "1"},
    ]});
    let patch = json!({"containers": [
        {"name": "cart", "args": ["b"], "env": [{"name": "MODE", "value": "fast"}, {"name": "DEBUG", "value": "1"}]},
        {"name": "log", "image": "3"},
    ]});
    let spec = patched_spec(spec, patch);
    assert_eq!(names(&spec["containers"]), ["cart", "log", "till"]);
    assert_eq!(names(&spec["containers"][0]["env"]), ["MODE", "DEBUG", "ZONE"]);
    assert_eq!(spec["containers"][0]["env"][0]["value"], "fast");
    assert_eq!(spec["containers"][0]["args"], json!(["b"]));
    let spec = patched_spec(spec, json!({"containers": [{"name": "till", "image": "2"}]}));
    assert_eq!(names(&spec["containers"]), ["cart", "log", "till"]);
    assert_eq!(spec["containers"][2]["image"], "2");
}

#[test]
fn lists_of_scalars_are_sets() {
    let finalizers = |list: Value| json!({"finalizers": list});
    let merged = patched_meta(finalizers(json!(["one", "two"])), finalizers(json!(["three", "one"])));
    assert_eq!(merged, finalizers(json!(["three", "one", "two"])));
    let merged = patched_meta(merged, json!({"$deleteFromPrimitiveList/finalizers": ["one"]}));
    assert_eq!(merged, finalizers(json!(["three", "two"])));
    let patch = json!({
        "$setElementOrder/finalizers": ["four", "three"],
        "$deleteFromPrimitiveList/finalizers": ["two"],
        "finalizers": ["four"],
    });
    let merged = patched_meta(merged, patch);
    assert_eq!(merged, finalizers(json!(["four", "three"])));
    assert_eq!(patched_meta(merged, finalizers(Value::Null)), json!({}));
}

#[test]
fn element_order_can_be_set_alone() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    let spec = patched_spec(spec, json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}));
    assert_eq!(names(&spec["containers"]), ["b", "c", "a"]);
}

#[test]
fn directives_in_lists() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let patch = json!({"containers": [
        {"$patch": "delete", "name": "a"},
        {"name": "c", "env": [{"$patch": "delete", "name": "X"}]},
    ]});
    let new = json!({"name": "c", "env": [{"$patch": "delete", "name": "X"}]});
    assert_eq!(patched_spec(spec.clone(), patch), json!({"containers": [new, {"name": "b"}]}), "a new element is not looked into");
    let patch = json!({"containers": [{"$patch": "replace"}, {"name": "c"}]});
    assert_eq!(patched_spec(spec, patch), json!({"containers": [{"name": "c"}]}));
}

#[test]
fn directives_in_objects() {
    let labels = json!({"labels": {"a": "1"}});
    assert_eq!(patched_meta(labels.clone(), json!({"labels": {"$patch": "replace", "c": "3"}})), json!({"labels": {"c": "3"}}));
    assert_eq!(patched_meta(labels, json!({"labels": {"$patch": "delete"}})), json!({"labels": {}}));
    let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let recreated = patched::<apps::v1::Deployment>(
        strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}})),
        strategy(json!({"$retainKeys": ["type"], "type": "Recreate"})),
    );
    assert_eq!(recreated, strategy(json!({"type": "Recreate"})));
}

#[test]
fn where_nothing_stands_the_patch_is_taken_as_it_is() {
    let twice = json!({"finalizers": ["a", "a"]});
    assert_eq!(patched_meta(json!({}), twice.clone()), twice);
    let volumes = json!({"volumes": [{"emptyDir": {}}, {"name": "v", "secret": null}]});
    assert_eq!(patched_spec(json!({}), volumes), json!({"volumes": [{"emptyDir": {}}, {"name": "v"}]}));
    let directed = json!({"affinity": {"$patch": "replace", "nodeAffinity": {}}, "volumes": [{"$patch": "delete", "name": "v"}]});
    assert_eq!(patched_spec(json!({}), directed), json!({"volumes": []}));
    let kept = json!({"affinity": {"$retainKeys": ["x"]}});
    assert_eq!(patched_spec(json!({}), kept.clone()), kept, "it is no field, and validation says so");
    assert_eq!(patched_meta(json!({"finalizers": ["x"]}), json!({"$deleteFromPrimitiveList/finalizers": null})), json!({}));
    assert_eq!(
        patched_meta(json!({"finalizers": ["x"]}), json!({"$deleteFromPrimitiveList/finalizers": "x"})),
        json!({"finalizers": ["x"]})
    );
}

#[test]
fn some_objects_are_replaced() {
    let selector = |labels: Value| json!({"spec": {"selector": {"matchLabels": labels}}});
    let budget = patched::<policy::v1::PodDisruptionBudget>(selector(json!({"a": "1"})), selector(json!({"b": "2"})));
    assert_eq!(budget, selector(json!({"b": "2"})));
}

#[test]
fn nonsense_is_answered_as_upstream_answers_it() {
    let schema = Schema::of::<core::v1::Pod>();
    let object = json!({"metadata": {"labels": {}, "finalizers": ["x"]}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
    let spec = |patch: Value| json!({"spec": patch});
    let meta = |patch: Value| json!({"metadata": patch});
    for (patch, code) in [
        (meta(json!({"labels": {"$patch": "merge"}})), 500),
        (spec(json!({"containers": [{"image": "x"}]})), 500),
        (spec(json!({"containers": [{"$patch": "keep", "name": "a"}]})), 500),
        (spec(json!({"containers": [{"$patch": "delete"}]})), 500),
        (spec(json!({"containers": ["a"]})), 500),
        (spec(json!({"containers": [["a"]]})), 500),
        (spec(json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]})), 500),
        (spec(json!({"$setElementOrder/nothing": ["x"]})), 500),
        (spec(json!({"$setElementOrder/containers": ["x"]})), 500),
        (spec(json!({"$setElementOrder/containers": [{}]})), 500),
        (spec(json!({"$setElementOrder": ["x"]})), 400),
        (spec(json!({"$deleteFromPrimitiveList/containers": ["x"]})), 500),
        (spec(json!({"$retainKeys": ["containers"], "nodeName": "n"})), 400),
        (spec(json!({"$retainKeys": "containers"})), 400),
        (json!([]), 400),
    ] {
        let error = apply(&schema, object.clone(), &patch).unwrap_err();
        assert_eq!(crate::Status::from(error).code, code, "{patch}");
    }
}
