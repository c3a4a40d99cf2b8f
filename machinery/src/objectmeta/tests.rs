#![allow(clippy::unwrap_used)]

use rand::SeedableRng;
use serde_json::{Value, json};

use super::*;

fn meta(extra: Value) -> ObjectMeta {
    let mut value = json!({"name": "a", "namespace": "n", "uid": "u"});
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn rules() -> Rules<'static> {
    Rules { namespaced: true, finalizer_domains: true, name: &names::dns1123_subdomain }
}

fn causes(errors: &[Error]) -> Vec<(String, &'static str)> {
    errors.iter().map(|error| (error.field.to_string(), &error.kind.reason()["FieldValue".len()..])).collect()
}

#[track_caller]
fn creating(extra: Value, expected: &[(&str, &str)]) {
    let errors = validate_create(&meta(extra), rules());
    let causes = causes(&errors);
    let causes: Vec<(&str, &str)> = causes.iter().map(|(field, reason)| (field.as_str(), *reason)).collect();
    assert_eq!(causes, expected);
}

#[track_caller]
fn updating(old: Value, new: Value, expected: &[(&str, &str)]) {
    let errors = validate_update(&meta(new), &meta(old), rules(), Repeated::default(), Own::default());
    let causes = causes(&errors);
    let causes: Vec<(&str, &str)> = causes.iter().map(|(field, reason)| (field.as_str(), *reason)).collect();
    assert_eq!(causes, expected);
}

#[test]
fn names_and_namespaces() {
    creating(json!({}), &[]);
    creating(json!({"name": null}), &[("metadata.name", "Required")]);
    creating(json!({"generateName": "Bad_", "name": "Bad_x2x2x"}), &[("metadata.generateName", "Invalid"), ("metadata.name", "Invalid")]);
    creating(json!({"namespace": ""}), &[("metadata.namespace", "Required")]);
    creating(json!({"namespace": "a.b"}), &[("metadata.namespace", "Invalid")]);
    let errors = validate_create(&meta(json!({})), Rules { namespaced: false, ..rules() });
    assert_eq!(causes(&errors), [("metadata.namespace".to_owned(), "Forbidden")]);
}

#[test]
fn labels_and_annotations() {
    creating(json!({"labels": {"-x": "v"}}), &[("metadata.labels", "Invalid")]);
    creating(json!({"labels": {"ok": "not ok", "a/b/c": "v"}}), &[("metadata.labels", "Invalid"); 2]);
    creating(json!({"annotations": {"bad key": "v"}}), &[("metadata.annotations", "Invalid")]);
    creating(json!({"annotations": {"Example.ORG/x": "any thing at all!"}}), &[]);
    creating(json!({"annotations": {"big": "x".repeat(MOST_ANNOTATION_BYTES)}}), &[("metadata.annotations", "TooLong")]);
}

#[test]
fn finalizers() {
    let list = ("metadata.finalizers", "Invalid");
    let first = ("metadata.finalizers[0]", "Invalid");
    creating(json!({"finalizers": ["no spaces/x"]}), &[list]);
    creating(json!({"finalizers": [""]}), &[list, list, first]);
    creating(json!({"finalizers": ["plain"]}), &[first]);
    creating(json!({"finalizers": ["foregroundDeletion", "orphan"]}), &[list]);
    creating(json!({"finalizers": ["example.org/f", "kubernetes"]}), &[]);
}

#[test]
fn owners() {
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true});
    creating(json!({"ownerReferences": [owner]}), &[]);
    creating(json!({"ownerReferences": [owner, owner]}), &[("metadata.ownerReferences", "Invalid")]);
    creating(
        json!({"ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": "u"}]}),
        &[
            ("metadata.ownerReferences.apiVersion", "Invalid"),
            ("metadata.ownerReferences.kind", "Invalid"),
            ("metadata.ownerReferences.name", "Invalid"),
        ],
    );
    creating(
        json!({"ownerReferences": [{"apiVersion": "a/b/v1", "kind": "K", "name": "e", "uid": "u"}]}),
        &[("metadata.ownerReferences.apiVersion", "Invalid")],
    );
    creating(
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}]}),
        &[("metadata.ownerReferences", "Invalid")],
    );
}

#[test]
fn managed_fields() {
    let entry = json!({"operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}, "manager": "a\tb", "subresource": "s".repeat(257)});
    let json = json!([entry]).to_string();
    let (entries, _) = apply::read_entries(&json).unwrap();
    let found = validate_managed_fields(&entries);
    let found: Vec<String> = found.iter().map(|error| error.field.to_string()).collect();
    assert_eq!(found, ["metadata.managedFields[0].manager", "metadata.managedFields[0].subresource"]);
    assert_eq!(validate_field_manager(&"m".repeat(129), &Path::new("fieldManager")).len(), 1);
    assert!(validate_field_manager("kubectl client-side ü", &Path::new("fieldManager")).is_empty());
}

#[test]
fn changes() {
    updating(json!({}), json!({}), &[]);
    updating(json!({}), json!({"uid": "other"}), &[("metadata.uid", "Invalid"); 2]);
    updating(json!({}), json!({"deletionTimestamp": "2001-01-01T00:00:00Z"}), &[("metadata.deletionTimestamp", "Invalid"); 2]);
    updating(json!({}), json!({"labels": {"a": "not ok"}}), &[("metadata.labels", "Invalid"); 4]);
    updating(json!({"generation": 2}), json!({"generation": 1}), &[("metadata.generation", "Invalid"); 2]);
    let deleting = |finalizers: Value| json!({"deletionTimestamp": "2001-01-01T00:00:00Z", "finalizers": finalizers});
    updating(deleting(json!(["a.b/c", "a.b/d"])), deleting(json!(["a.b/d"])), &[]);
    updating(deleting(json!(["a.b/c"])), deleting(json!(["a.b/c", "a.b/d"])), &[("metadata.finalizers", "Forbidden"); 2]);
}

#[test]
fn generated_names() {
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let name = generate_name("lot-", &mut random);
    assert!(name.starts_with("lot-") && name.len() == 9, "{name}");
    let long = generate_name(&"ü".repeat(60), &mut random);
    assert_eq!(long.len(), 63);
    assert_ne!(generate_name("x", &mut random), generate_name("x", &mut random));
}
