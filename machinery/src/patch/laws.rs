//! Laws of patches, on generated documents: none panics, none nests without bound, and patches that set values are
//! idempotent.
#![allow(clippy::unwrap_used)]

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{json as json_patch, merge, strategic};
use crate::schema::Schema;

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["metadata", "spec", "labels", "finalizers", "containers", "env", "name", "a", "b/~"]).prop_map(str::to_owned)
}

fn directive() -> impl Strategy<Value = (String, Value)> {
    let words = prop_oneof![
        Just(json!("delete")),
        Just(json!("replace")),
        Just(json!("merge")),
        Just(json!(["name", "a"])),
        Just(json!([{"name": "a"}]))
    ];
    let keys = prop::sample::select(vec![
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "$setElementOrder",
    ]);
    (keys.prop_map(str::to_owned), words)
}

/// A JSON document, shaped somewhat like a pod; with `directives`, somewhat like a patch of one.
fn document(directives: bool) -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from), name().prop_map(Value::from)];
    let tree = leaf.prop_recursive(5, 40, 4, move |inner| {
        let field =
            if directives { prop_oneof![6 => (name(), inner.clone()), 1 => directive()].boxed() } else { (name(), inner.clone()).boxed() };
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(field, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    let below = prop::collection::vec((name(), tree), 0..4);
    below.prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn operation() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["add", "remove", "replace", "test", "move", "copy"]);
    let token = prop::sample::select(vec!["metadata", "spec", "labels", "a", "b~1~0", "0", "1", "-", "-1"]);
    let path = prop::collection::vec(token, 0..4).prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect::<String>());
    (kind, path.clone(), path, document(false))
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

thread_local!(static POD: Schema = Schema::of::<Pod>());

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_twice_is_merging_once(object in document(false), patch in document(false)) {
        let once = merge::apply(object.clone(), &patch).unwrap();
        prop_assert!(depth(&once) <= depth(&object).max(depth(&patch)));
        prop_assert_eq!(merge::apply(once.clone(), &patch).unwrap(), once);
    }

    #[test]
    fn strategic_patches_are_bounded(object in document(false), patch in document(true)) {
        if let Ok(patched) = POD.with(|pod| strategic::apply(pod, object.clone(), &patch)) {
            prop_assert!(depth(&patched) <= depth(&object).max(depth(&patch)));
        }
    }

    #[test]
    fn strategic_patches_without_directives_come_to_rest(object in document(false), patch in document(false)) {
        let apply = |object: Value| POD.with(|pod| strategic::apply(pod, object, &patch));
        // The first time, a list may be taken over as it stands, with elements that are there twice, and merges only then.
        if let Ok(twice) = apply(object).and_then(apply) {
            // Nulls are kept where a list replaces another, and mean nothing there.
            prop_assert_eq!(without_nulls(apply(twice.clone()).unwrap()), without_nulls(twice));
        }
    }

    #[test]
    fn json_patches_are_bounded(object in document(false), operations in prop::collection::vec(operation(), 0..12)) {
        let operations = Value::from(operations);
        if let Ok(patched) = json_patch::Patch::parse(&operations).unwrap().apply(object) {
            prop_assert!(depth(&patched) <= json_patch::MAX_DEPTH);
        }
    }
}
