#![allow(clippy::unwrap_used)]

use k8s_openapi::api::{apps, batch, core, policy};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;

use super::*;

fn at<'s>(schema: &'s Schema, path: &[&str]) -> Cursor<'s> {
    path.iter().fold(schema.cursor(), |cursor, step| if *step == "[]" { cursor.items().unwrap() } else { cursor.child(step).unwrap() })
}

fn scalar(schema: &Schema, path: &[&str]) -> Scalar {
    match at(schema, path).node() {
        Node::Scalar(scalar) => *scalar,
        other => panic!("{path:?} is {other:?}"),
    }
}

#[test]
fn scalars_of_a_pod() {
    let pod = Schema::of::<core::v1::Pod>();
    assert_eq!(scalar(&pod, &["metadata", "name"]), Scalar::String);
    assert_eq!(scalar(&pod, &["metadata", "creationTimestamp"]), Scalar::Time);
    assert_eq!(scalar(&pod, &["metadata", "generation"]), Scalar::Int64);
    assert_eq!(scalar(&pod, &["metadata", "labels", "any"]), Scalar::String);
    assert_eq!(scalar(&pod, &["spec", "priority"]), Scalar::Int32);
    assert_eq!(scalar(&pod, &["spec", "hostNetwork"]), Scalar::Boolean);
    assert_eq!(scalar(&pod, &["spec", "containers", "[]", "resources", "limits", "cpu"]), Scalar::Quantity);
    assert_eq!(scalar(&pod, &["spec", "containers", "[]", "livenessProbe", "httpGet", "port"]), Scalar::IntOrString);
    assert!(matches!(at(&pod, &["metadata", "managedFields", "[]", "fieldsV1"]).node(), Node::Any));
    assert_eq!(scalar(&Schema::of::<core::v1::Secret>(), &["data", "k"]), Scalar::Bytes);
    assert_eq!(scalar(&Schema::of::<k8s_openapi::api::coordination::v1::Lease>(), &["spec", "renewTime"]), Scalar::MicroTime);
    assert!(at(&pod, &["spec"]).child("container").is_none());
}

#[test]
fn merge_rules_of_a_pod() {
    let pod = Schema::of::<core::v1::Pod>();
    let keys = |keys: &[&str]| ListMerge::Map { keys: keys.iter().copied().map(Box::from).collect() };
    let container = at(&pod, &["spec", "containers", "[]"]);
    assert_eq!(at(&pod, &["spec", "containers"]).list_merge(), Some(&keys(&["name"])));
    assert_eq!(container.child("ports").unwrap().list_merge(), Some(&keys(&["containerPort", "protocol"])));
    assert_eq!(container.child("args").unwrap().list_merge(), Some(&ListMerge::Atomic));
    assert_eq!(at(&pod, &["metadata", "finalizers"]).list_merge(), Some(&ListMerge::Set));
    assert_eq!(container.child("ports").unwrap().items().unwrap().default_of("protocol"), Some(&"TCP".into()));
    let (volumes, _) = at(&pod, &["spec"]).field("volumes").unwrap();
    let expected = PatchStrategy { merge: true, retain_keys: true, merge_key: Some("name".into()), replace: false };
    assert_eq!(volumes.strategy, expected);
    assert!(at(&pod, &["spec"]).field("containers").unwrap().0.required);
    assert!(!pod.cursor().field("metadata").unwrap().0.required);
}

#[test]
fn atomicity_of_a_type_and_of_a_field() {
    let is_atomic = |cursor: Cursor<'_>| match cursor.node() {
        Node::Struct { atomic, .. } | Node::Map { atomic, .. } => *atomic,
        other => panic!("{other:?}"),
    };
    let volume = Schema::of::<core::v1::PersistentVolume>();
    assert!(!is_atomic(at(&volume, &["spec", "claimRef"])), "granular at the field overrides the type");
    assert!(is_atomic(at(&Schema::of::<core::v1::Event>(), &["involvedObject"])));
    assert!(is_atomic(at(&Schema::of::<core::v1::Service>(), &["spec", "selector"])));
    assert!(is_atomic(at(&Schema::of::<apps::v1::Deployment>(), &["spec", "selector"])));
    assert!(!is_atomic(at(&Schema::of::<batch::v1::Job>(), &["metadata", "labels"])));
    let budget = Schema::of::<policy::v1::PodDisruptionBudget>();
    assert!(at(&budget, &["spec"]).field("selector").unwrap().0.strategy.replace);
}

#[test]
fn recursive_types_are_finite() {
    let definition = Schema::of::<apiextensions::v1::CustomResourceDefinition>();
    let schema = at(&definition, &["spec", "versions", "[]", "schema", "openAPIV3Schema"]);
    let deeper = schema.child("properties").unwrap().child("x").unwrap().child("not").unwrap();
    assert_eq!(scalar(&definition, &["spec", "scope"]), Scalar::String);
    assert!(deeper.child("maxLength").is_some());
}

#[test]
fn definitions_carry_extensions_and_descriptions() {
    let mut definitions = Definitions::new();
    definitions.add::<core::v1::Pod>();
    definitions.add::<core::v1::Service>();
    let map = definitions.into_map();
    let pod_spec = &map["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(pod_spec["volumes"]["x-kubernetes-patch-strategy"], "merge,retainKeys");
    assert_eq!(pod_spec["containers"]["x-kubernetes-list-map-keys"], serde_json::json!(["name"]));
    assert_eq!(map["io.k8s.api.core.v1.ServicePort"]["properties"]["protocol"]["default"], "TCP");
    assert!(pod_spec["volumes"]["description"].is_string());
}

/// Schemas are kept for every kind that was used; a pod's is the largest but one.
#[test]
fn a_large_schema_is_small_in_memory() {
    let pod = Schema::of::<core::v1::Pod>();
    let fields = |node: &Node| match node {
        Node::Struct { fields, .. } => fields.iter().map(|(name, _)| name.len() + size_of::<(Box<str>, Field)>()).sum(),
        _ => 0,
    };
    let bytes: usize = pod.nodes.iter().map(|node| size_of::<Node>() + fields(node)).sum();
    assert!(bytes < 100 << 10, "{} nodes, {bytes} bytes", pod.nodes.len());
}

#[test]
fn parts_of_custom_resources() {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let mut definitions = Definitions::new();
    definitions.add::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
    let mut definitions = definitions.into_map();
    let schema = serde_json::json!({"type": "object", "properties": {
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
        "either": {"type": "integer", "x-kubernetes-int-or-string": true},
        "tpl": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"data": {"type": "string"}}},
    }});
    definitions.insert("Thing".to_owned(), schema);
    assert!(definitions.contains_key(meta));
    let schema = Schema::build(&definitions, "Thing");
    assert_eq!(scalar(&schema, &["free", "a"]), Scalar::String);
    assert!(matches!(at(&schema, &["free", "b", "c"]).node(), Node::Any));
    assert_eq!(scalar(&schema, &["either"]), Scalar::IntOrString);
    assert_eq!(scalar(&schema, &["tpl", "kind"]), Scalar::String);
    assert_eq!(scalar(&schema, &["tpl", "metadata", "labels", "x"]), Scalar::String);
    assert!(at(&schema, &["tpl"]).child("other").is_none());
}
