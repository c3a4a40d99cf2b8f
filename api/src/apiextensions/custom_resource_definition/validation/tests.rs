#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path as File;

use machinery::yaml;
use serde_json::{Value, json};

use super::super::{CustomResourceDefinitions, defaults, note_stored_version};
use super::*;
use crate::kind::Kind;

/// The paths and reasons of what is wrong with a new definition.
fn wrong(definition: Value) -> Vec<(String, &'static str)> {
    let definition = made(definition);
    let name = definition.metadata.name.as_deref().unwrap_or_default();
    let named =
        CustomResourceDefinitions::validate_name(name, false).into_iter().map(|_| ("metadata.name".to_owned(), "FieldValueInvalid"));
    named.chain(causes(check_new(&definition))).collect()
}

fn made(definition: Value) -> CustomResourceDefinition {
    let mut definition: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
    defaults::fill(&mut definition);
    note_stored_version(&mut definition);
    definition
}

fn causes(errors: Errors) -> Vec<(String, &'static str)> {
    errors.into_iter().map(|error| (error.field.as_str().to_owned(), error.kind.reason())).collect()
}

/// A definition with one version.
fn lamps(version: &Value) -> Value {
    let mut of_version = json!({"name": "v1", "served": true, "storage": true});
    of_version.as_object_mut().unwrap().extend(version.as_object().unwrap().clone());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "lamps.a.b"},
        "spec": {"group": "a.b", "scope": "Namespaced", "names": {"plural": "lamps", "kind": "Lamp"}, "versions": [of_version]},
    })
}

/// What is wrong with a schema for the spec of an object, with paths from there.
fn wrong_spec(spec: &Value) -> Vec<(String, &'static str)> {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
    let within = |path: String| path.strip_prefix("spec.validation.openAPIV3Schema.properties[spec]").unwrap_or(&path).to_owned();
    wrong(lamps(&json!({ "schema": schema }))).into_iter().map(|(path, reason)| (within(path), reason)).collect()
}

/// What Kubernetes answered to definitions that it did not accept, and to those that it did.
#[test]
fn the_reference_agrees() {
    let reference = File::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference");
    let mut checked = 0;
    for file in std::fs::read_dir(reference.join("cases/extensions")).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("crd-") {
            continue;
        }
        let case = yaml::parse(&std::fs::read(&file).unwrap()).unwrap().value;
        let expected = std::fs::read(reference.join(format!("expected/extensions/{name}.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for (at, (step, answer)) in case["steps"].as_array().unwrap().iter().zip(expected.as_array().unwrap()).enumerate() {
            let is_new = step["POST"].as_str().is_some_and(|path| path.ends_with("/customresourcedefinitions"));
            if !is_new {
                continue;
            }
            let body = step["body"].to_string().replace("$NS", "ns");
            let mut found = wrong(serde_json::from_str(&body).unwrap());
            let causes = answer.pointer("/body/details/causes").and_then(Value::as_array).cloned().unwrap_or_default();
            let text = |cause: &Value, key: &str| cause[key].as_str().unwrap().to_owned();
            let mut wanted: Vec<_> = causes.iter().map(|cause| (text(cause, "field"), text(cause, "reason"))).collect();
            found.sort();
            wanted.sort();
            let found: Vec<_> = found.into_iter().map(|(field, reason)| (field, reason.to_owned())).collect();
            assert_eq!(found, wanted, "{name}, step {at}");
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn structure() {
    let required = |path: &str| (path.to_owned(), "FieldValueRequired");
    let forbidden = |path: &str| (path.to_owned(), "FieldValueForbidden");
    let invalid = |path: &str| (path.to_owned(), "FieldValueInvalid");
    assert_eq!(wrong_spec(&json!({"type": "array"})), [required(".items")]);
    assert_eq!(wrong_spec(&json!({"type": "array", "items": {}})), [required(".items.type")]);
    assert_eq!(wrong_spec(&json!({"properties": {"a": {}}})), [required(".properties[a].type"), required(".type")]);
    assert_eq!(wrong_spec(&json!({"type": "string", "pattern": "("})), [invalid(".pattern")]);
    let nested = json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [
        {"properties": {"a": {"type": "string", "nullable": true, "minLength": 1}}}, {"not": {"description": "x", "default": 1}},
    ]});
    assert_eq!(
        wrong_spec(&nested),
        [
            forbidden(".anyOf[0].properties[a].nullable"),
            forbidden(".anyOf[0].properties[a].type"),
            forbidden(".anyOf[1].not.default"),
            forbidden(".anyOf[1].not.description"),
        ]
    );
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    assert_eq!(wrong_spec(&json!({"x-kubernetes-int-or-string": true, "anyOf": either})), []);
    assert_eq!(wrong_spec(&json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": either}, {"minimum": 1}]})), []);
    assert_eq!(wrong_spec(&json!({"x-kubernetes-int-or-string": true, "oneOf": either})).len(), 2);
    let both = json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(wrong_spec(&both), [invalid(".x-kubernetes-preserve-unknown-fields")]);
    assert_eq!(wrong_spec(&json!({"type": "money"})), [(".type".to_owned(), "FieldValueNotSupported")]);
    assert_eq!(wrong_spec(&json!({"type": "null"})), [(".type".to_owned(), "FieldValueNotSupported"), forbidden(".type")]);
    let root = |schema: Value| wrong(lamps(&json!({"schema": {"openAPIV3Schema": schema}})));
    let at = |path: &str| format!("spec.validation.openAPIV3Schema.{path}");
    let meta = json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}});
    assert_eq!(root(meta), [(at("properties[metadata]"), "FieldValueForbidden")]);
    let names = json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}}});
    assert_eq!(root(names), []);
    assert_eq!(root(json!({"type": "object", "nullable": true})), [(at("nullable"), "FieldValueForbidden")]);
    let open = json!({"type": "object", "additionalProperties": {"type": "string"}});
    assert_eq!(root(open), [(at("additionalProperties"), "FieldValueForbidden")]);
    let undescribed = json!({"type": "object", "anyOf": [{"properties": {"spec": {"minProperties": 1}}}]});
    assert_eq!(root(undescribed), [(at("properties[spec]"), "FieldValueRequired")]);
}

#[test]
fn defaults_fit_their_schemas() {
    let of = |default: Value| {
        json!({"type": "object", "properties": {"a": {"type": "object", "default": default, "properties": {
            "n": {"type": "integer", "maximum": 5}, "l": {"type": "array", "items": {"type": "string"}},
        }}}})
    };
    assert_eq!(wrong_spec(&of(json!({"n": 5, "l": ["x"]}))), []);
    assert_eq!(wrong_spec(&of(json!({"n": 6}))), [(".properties[a].default.n".to_owned(), "FieldValueInvalid")]);
    assert_eq!(wrong_spec(&of(json!({"l": [1]}))), [(".properties[a].default.l[0]".to_owned(), "FieldValueTypeInvalid")]);
    assert_eq!(wrong_spec(&of(json!({"odd": 6}))), [(".properties[a].default".to_owned(), "FieldValueInvalid")]);
    assert_eq!(wrong_spec(&of(json!(5))), [(".properties[a].default".to_owned(), "FieldValueTypeInvalid")]);
    let object = json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
        "default": {"kind": "Pod"}});
    assert_eq!(wrong_spec(&object), [(".default.apiVersion".to_owned(), "FieldValueRequired")]);
}

#[test]
fn subresources_and_fields() {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"n": {"type": "integer"}, "o": {"type": "object"}, "l": {"type": "array", "items": {"type": "string"}}}},
    }}});
    let of = |key: &str, value: Value| wrong(lamps(&json!({"schema": schema.clone(), key: value})));
    let scale = |spec: &str, status: &str, selector: &str| {
        let scale = json!({"specReplicasPath": spec, "statusReplicasPath": status, "labelSelectorPath": selector});
        of("subresources", json!({ "scale": scale }))
            .into_iter()
            .map(|(path, _)| path.rsplit('.').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(scale(".spec.n", ".status.n", ".status.s").is_empty());
    assert_eq!(scale("", "status.n", ".metadata.s"), ["specReplicasPath", "statusReplicasPath", "labelSelectorPath"]);
    let fields = |paths: &[&str]| {
        let fields: Vec<Value> = paths.iter().map(|path| json!({"jsonPath": path})).collect();
        of("selectableFields", fields.into()).into_iter().map(|(_, reason)| reason).collect::<Vec<_>>()
    };
    assert!(fields(&[".spec.n"]).is_empty());
    for bad in ["spec.n", ".spec.m", ".spec.o", ".spec.l[0]", ".spec..n", ".spec['n']", ".kind"] {
        assert_eq!(fields(&[bad]), ["FieldValueInvalid"], "{bad}");
    }
    assert_eq!(fields(&["", ".spec.n", ".spec.n"]), ["FieldValueRequired", "FieldValueDuplicate"]);
    let status = json!({"subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object", "minProperties": 1}}});
    assert_eq!(wrong(lamps(&status)), [("spec.validation.openAPIV3Schema".to_owned(), "FieldValueInvalid")]);
}

#[test]
fn versions_that_differ_have_paths_of_their_own() {
    let mut definition = lamps(&json!({"schema": {"openAPIV3Schema": {"type": "object"}}}));
    let second = json!({"name": "v2", "served": true, "storage": false, "deprecationWarning": "old", "schema": {"openAPIV3Schema": {"type": "string"}}});
    definition["spec"]["versions"].as_array_mut().unwrap().push(second);
    let at = |path: &str| (format!("spec.versions[1].{path}"), "FieldValueInvalid");
    assert_eq!(wrong(definition), [at("deprecationWarning"), at("schema.openAPIV3Schema.type")]);
}

#[test]
fn conversion_by_webhook() {
    let of = |conversion: Value| {
        let mut definition = lamps(&json!({"schema": {"openAPIV3Schema": {"type": "object"}}}));
        definition["spec"]["conversion"] = conversion;
        let at = |path: String| path.strip_prefix("spec.conversion.").unwrap_or(&path).to_owned();
        wrong(definition).into_iter().map(|(path, reason)| (at(path), reason)).collect::<Vec<_>>()
    };
    let required = |path: &str| (path.to_owned(), "FieldValueRequired");
    assert_eq!(of(json!({"strategy": "Webhook"})), [required("webhookClientConfig"), required("conversionReviewVersions")]);
    let webhook = |client: Value| json!({"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}});
    assert_eq!(of(webhook(json!({"service": {"namespace": "a", "name": "b"}}))), []);
    assert_eq!(of(webhook(json!({"url": "https://a.b/c"}))), []);
    assert_eq!(of(webhook(json!({"url": "http://a.b/c"}))), [("webhookClientConfig.url".to_owned(), "FieldValueInvalid")]);
    assert_eq!(of(webhook(json!({}))), [required("webhookClientConfig")]);
    assert_eq!(of(json!({"strategy": "Magic"})), [("strategy".to_owned(), "FieldValueNotSupported")]);
    let unused = json!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}});
    assert_eq!(of(unused), [("conversionReviewVersions".to_owned(), "FieldValueForbidden")]);
}

#[test]
fn what_stays_as_it_was_created() {
    let old = made(lamps(&json!({"schema": {"openAPIV3Schema": {"type": "object"}}})));
    let mut new = old.clone();
    new.spec.scope = "Cluster".to_owned();
    new.spec.names.kind = "Light".to_owned();
    assert_eq!(check_update(&new, &old), []);
    let mut established = old.clone();
    let condition = |kind: &str| k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        ..Default::default()
    };
    super::super::set_condition(established.status.as_mut().unwrap(), condition("Established"));
    let invalid = |path: &str| (path.to_owned(), "FieldValueInvalid");
    assert_eq!(causes(check_update(&new, &established)), [invalid("spec.scope"), invalid("spec.names.kind")]);
    new = old.clone();
    new.spec.group = "c.d".to_owned();
    new.spec.versions[0].name = "v2".to_owned();
    new.spec.preserve_unknown_fields = Some(true);
    let found = causes(check_update(&new, &old));
    let stored = [invalid("status.storedVersions"), invalid("status.storedVersions[0]")];
    assert_eq!(found, [invalid("spec.group"), stored[0].clone(), stored[1].clone(), invalid("spec.preserveUnknownFields")]);
}
