//! Rules of schemas: what may be stored, and what they say of objects.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps as Schema;
use serde_json::{Value as Json, json};

use super::{Rules, check, escape};
use crate::field::Path;

fn schema(value: Json) -> Schema {
    serde_json::from_value(value).unwrap()
}

/// A schema of objects whose `spec` has some properties and one rule.
fn with_rule(rule: Json) -> Schema {
    let properties = json!({
        "watt": {"type": "integer"},
        "room": {"type": "string", "maxLength": 20},
        "tags": {"type": "array", "items": {"type": "string"}},
        "pairs": {"type": "object", "additionalProperties": {"type": "string"}},
    });
    schema(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties, "x-kubernetes-validations": [rule]}}}),
    )
}

fn complaints(schema: &Schema) -> Vec<String> {
    check(&Path::new("s"), schema).iter().map(|error| format!("{} {:?}", error.field, error.kind)).collect()
}

#[test]
fn a_stored_rule_is_one_that_works() {
    let at = |field: &str, kind: &str| vec![format!("s.properties[spec].x-kubernetes-validations[0].{field} {kind}")];
    for (rule, wanted) in [
        (json!({"rule": "self.watt > 1"}), vec![]),
        (json!({"rule": "self.watt > 1", "fieldPath": ".pairs['a']", "reason": "FieldValueForbidden"}), vec![]),
        (json!({"rule": "self.watt >= oldSelf.watt"}), vec![]),
        (json!({"rule": "!oldSelf.hasValue() || self == oldSelf.value()", "optionalOldSelf": true}), vec![]),
        (json!({"rule": "self.tags.all(t, t.size() > 0)"}), vec![]),
        (json!({"rule": "self.watt >"}), at("rule", "Invalid")),
        (json!({"rule": "self.wat > 1"}), at("rule", "Invalid")),
        (json!({"rule": "self.watt + 1"}), at("rule", "Invalid")),
        (json!({"rule": "self.watt > 1", "messageExpression": "self.watt"}), at("messageExpression", "Invalid")),
        (json!({"rule": "self.watt > 1", "optionalOldSelf": true}), at("optionalOldSelf", "Invalid")),
    ] {
        assert_eq!(complaints(&with_rule(rule.clone())), wanted, "{rule}");
    }
    // A rule that costs too much by itself has a part in what all rules cost too much.
    let dear = complaints(&with_rule(json!({"rule": "self.tags.all(t, self.tags.all(u, t == u))"})));
    let rule = &at("rule", "Forbidden")[0];
    assert_eq!(dear, [rule, rule, "s Forbidden"]);
}

#[test]
fn the_old_value_can_be_told_only_where_elements_have_an_identity() {
    let list = |kind: &str| {
        let item = json!({"type": "object", "properties": {
            "k": {"type": "string"},
            "v": {"type": "string", "maxLength": 5, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
        }});
        schema(json!({"type": "object", "properties": {
            "l": {"type": "array", "maxItems": 5, "items": item, "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["k"]},
        }}))
    };
    assert_eq!(complaints(&list("map")), Vec::<String>::new());
    assert_eq!(complaints(&list("atomic")).len(), 1);
    let rules = Rules::compile(&list("map")).unwrap();
    let old = json!({"l": [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]});
    let moved = json!({"l": [{"k": "b", "v": "2"}, {"k": "c", "v": "3"}, {"k": "a", "v": "1"}]});
    assert!(rules.validate(&moved, Some(&old)).errors.is_empty());
    let changed = json!({"l": [{"k": "b", "v": "3"}]});
    assert_eq!(rules.validate(&changed, Some(&old)).errors[0].field.as_str(), "l[0].v");
}

#[test]
fn violations_are_reported_where_they_are() {
    let schema = with_rule(json!({
        "rule": "self.watt > 1", "fieldPath": ".watt", "reason": "FieldValueForbidden", "messageExpression": "'too dark in ' + self.room",
    }));
    let rules = Rules::compile(&schema).unwrap();
    assert!(rules.validate(&json!({"spec": {"watt": 2}}), None).errors.is_empty());
    let error = &rules.validate(&json!({"spec": {"watt": 1, "room": "hall"}}), None).errors[0];
    assert_eq!((error.field.as_str(), error.kind.reason()), ("spec.watt", "FieldValueForbidden"));
    assert!(error.body().contains("too dark in hall"));
    // What cannot be evaluated is not satisfied.
    assert_eq!(rules.validate(&json!({"spec": {}}), None).errors.len(), 1);
}

#[test]
fn what_was_wrong_before_may_stay_but_not_come() {
    let rules = Rules::compile(&with_rule(json!({"rule": "self.watt > 1"}))).unwrap();
    let old = json!({"spec": {"watt": 1}, "metadata": {"name": "a"}});
    let found = rules.validate(&json!({"spec": {"watt": 1}, "metadata": {"name": "b"}}), Some(&old));
    assert_eq!((found.errors.len(), found.warnings.len()), (0, 1));
    assert_eq!(rules.validate(&json!({"spec": {"watt": 0}}), Some(&old)).errors.len(), 1);
}

#[test]
fn names_are_escaped() {
    for (name, escaped) in [
        ("plain", Some("plain")),
        ("namespace", Some("__namespace__")),
        ("max-size", Some("max__dash__size")),
        ("x.y/z", Some("x__dot__y__slash__z")),
        ("a__b", Some("a__underscores__b")),
        ("1a", None),
        ("ä", None),
        ("", None),
    ] {
        assert_eq!(escape(name).as_deref(), escaped);
    }
}
