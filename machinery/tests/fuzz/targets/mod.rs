//! The targets: each a function from bytes that panics where a law does not hold.

pub mod amounts;
pub mod decoders;
pub mod expressions;
pub mod fields;
pub mod patches;
pub mod selectors;
pub mod structural;
pub mod text;

use std::sync::LazyLock;

use k8s_openapi::api::{apps, batch, core, networking};
use machinery::schema::Schema;
use serde_json::Value;

/// Schemas by kind, of types that have between them every way in which lists and maps merge.
static SCHEMAS: LazyLock<[(&str, Schema); 9]> = LazyLock::new(|| {
    [
        ("Pod", Schema::of::<core::v1::Pod>()),
        ("ConfigMap", Schema::of::<core::v1::ConfigMap>()),
        ("Service", Schema::of::<core::v1::Service>()),
        ("Node", Schema::of::<core::v1::Node>()),
        ("PersistentVolume", Schema::of::<core::v1::PersistentVolume>()),
        ("Deployment", Schema::of::<apps::v1::Deployment>()),
        ("ControllerRevision", Schema::of::<apps::v1::ControllerRevision>()),
        ("CronJob", Schema::of::<batch::v1::CronJob>()),
        ("NetworkPolicy", Schema::of::<networking::v1::NetworkPolicy>()),
    ]
});

/// The schema of an object's kind, or of a pod.
fn schema_of(object: &Value) -> &'static Schema {
    let kind = object["kind"].as_str().unwrap_or_default();
    SCHEMAS.iter().find(|(name, _)| *name == kind).map_or(&SCHEMAS[0].1, |(_, schema)| schema)
}

/// The lines of an input, as JSON; None where there are fewer, or one is none.
fn trees<const N: usize>(input: &[u8]) -> Option<[Value; N]> {
    let mut lines = input.splitn(N, |byte| *byte == b'\n');
    let mut trees = [const { Value::Null }; N];
    for tree in &mut trees {
        *tree = machinery::json::parse(lines.next()?).ok()?.value;
    }
    Some(trees)
}

/// How deep a value nests.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A value without the fields that are null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, field)| !field.is_null());
            Value::Object(fields.map(|(name, field)| (name, without_nulls(field))).collect::<serde_json::Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The length of a value's text.
fn size(value: &Value) -> usize {
    value.to_string().len()
}
