//! Explicit zeros that Kubernetes does not keep. Its types leave empty lists, empty maps and, where a field is no
//! pointer, zero scalars out of what they write (`omitempty`), so that `nodeSelector: {}` or `hostNetwork: false` in
//! a manifest is the same as nothing, to clients and to field ownership alike. The published schema does not say which
//! scalars are pointers; the messages of protobuf do ([`Shape`]).

use machinery::protobuf::Shape;
use machinery::schema::{Cursor, Field, Node, Scalar, Schema};
use serde_json::{Map, Value};

use crate::nulls::Nulls;

/// Lists and maps of which an empty one says something: managed fields are to be forgotten; an autoscaler's scaling rules
/// lack policies, rather than leaving them to the default; a slice of devices has nothing else beside them; and an overhead
/// must not be given where the runtime has none.
const KEPT: [&str; 5] = ["managedFields", "policies", "devices", "sharedCounters", "overhead"];

/// Removes the zeros of `value` that say nothing. What would be null in their place is kept, and scalars of which the shape
/// knows nothing.
pub(crate) fn prune(schema: &Schema, nulls: &Nulls, shape: Option<Shape>, value: &mut Value) {
    descend(schema.cursor(), shape, Some(nulls), value);
}

/// `nulls` are those from here on.
fn descend(cursor: Cursor<'_>, shape: Option<Shape>, nulls: Option<&Nulls>, value: &mut Value) {
    match value {
        Value::Object(entries) => prune_entries(cursor, shape, nulls, entries),
        Value::Array(items) => {
            if let Some(item) = cursor.items() {
                items.iter_mut().for_each(|value| descend(item, shape, nulls, value));
            }
        }
        _ => {}
    }
}

fn prune_entries(cursor: Cursor<'_>, shape: Option<Shape>, nulls: Option<&Nulls>, entries: &mut Map<String, Value>) {
    if !matches!(cursor.node(), Node::Struct { .. }) {
        if let Node::Map { .. } = cursor.node() {
            for (key, value) in entries {
                if let Some(child) = cursor.child(key) {
                    descend(child, shape, None, value);
                }
            }
        }
        return;
    }
    entries.retain(|name, value| {
        let Some((field, child)) = cursor.field(name) else { return true };
        if value.is_object() || value.is_array() {
            descend(child, shape.and_then(|shape| shape.below(name)), nulls.and_then(|nulls| nulls.below(name)), value);
        }
        nulls.is_some_and(|nulls| nulls.has(name)) || !says_nothing(field, child.node(), shape, name, value)
    });
}

fn says_nothing(field: &Field, node: &Node, shape: Option<Shape>, name: &str, value: &Value) -> bool {
    if field.required || field.default.is_some() || KEPT.contains(&name) {
        return false;
    }
    let is_zero = match (node, value) {
        (Node::List { .. }, Value::Array(items)) => return items.is_empty(),
        (Node::Map { .. }, Value::Object(entries)) => return entries.is_empty(),
        (Node::Scalar(Scalar::String | Scalar::Bytes), Value::String(text)) => text.is_empty(),
        (Node::Scalar(Scalar::Boolean), Value::Bool(value)) => !value,
        (Node::Scalar(Scalar::Int32 | Scalar::Int64), number) => *number == 0,
        _ => false,
    };
    is_zero && shape.and_then(|shape| shape.is_pointer(name)) == Some(false)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{LimitRange, Pod};
    use serde_json::json;

    use super::*;
    use crate::nulls;

    #[test]
    fn zeros_go_and_what_says_something_stays() {
        let mut pod = json!({
            "metadata": {"labels": {}, "annotations": {"a": ""}, "generateName": ""},
            "spec": {
                "nodeSelector": {}, "hostNetwork": false, "automountServiceAccountToken": false, "securityContext": {},
                "runtimeClassName": "", "schedulerName": "", "priority": 0, "terminationGracePeriodSeconds": 0,
                "volumes": [
                    {"name": "a", "persistentVolumeClaim": {"claimName": "c", "readOnly": false}},
                    {"name": "b", "csi": {"driver": "d", "readOnly": false}},
                    {"name": "c", "emptyDir": {}},
                ],
                "containers": [{"name": "", "args": [], "env": [{"name": "X", "value": ""}], "resources": {"limits": {}}}],
            },
        });
        prune(&Schema::of::<Pod>(), &Nulls::default(), Shape::of("", "v1", "Pod"), &mut pod);
        assert_eq!(
            pod,
            json!({
                "metadata": {"annotations": {"a": ""}},
                "spec": {
                    "automountServiceAccountToken": false, "securityContext": {},
                    "runtimeClassName": "", "priority": 0, "terminationGracePeriodSeconds": 0,
                    "volumes": [
                        {"name": "a", "persistentVolumeClaim": {"claimName": "c"}},
                        {"name": "b", "csi": {"driver": "d", "readOnly": false}},
                        {"name": "c", "emptyDir": {}},
                    ],
                    "containers": [{"name": "", "env": [{"name": "X"}], "resources": {}}],
                },
            })
        );
    }

    #[test]
    fn lists_that_are_written_as_null_stay() {
        let mut range = json!({"spec": {"limits": []}});
        prune(&Schema::of::<LimitRange>(), nulls::of("", "LimitRange"), Shape::of("", "v1", "LimitRange"), &mut range);
        assert_eq!(range, json!({"spec": {"limits": []}}));
    }
}
