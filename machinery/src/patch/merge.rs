//! JSON merge patch (RFC 7386): objects merge key by key, `null` deletes, everything else replaces.

use serde_json::{Map, Value};

use super::Error;

/// The object after the patch. A patch that is not an object is refused: it would replace the whole resource by
/// something that is none.
pub fn apply(object: Value, patch: &Value) -> Result<Value, Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::Malformed("a merge patch is a JSON object".into()));
    };
    let mut fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    merge(&mut fields, patch);
    Ok(Value::Object(fields))
}

fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, change) in patch {
        match change {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(change) => match target.get_mut(name) {
                Some(Value::Object(below)) => merge(below, change),
                Some(other) => *other = without_nulls(change),
                None => {
                    target.insert(name.clone(), without_nulls(change));
                }
            },
            _ => {
                target.insert(name.clone(), change.clone());
            }
        }
    }
}

/// What merging into an empty object gives: there is nothing that a `null` could delete.
fn without_nulls(patch: &Map<String, Value>) -> Value {
    let mut fields = Map::new();
    merge(&mut fields, patch);
    Value::Object(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (object, patch, expected) in cases {
            assert_eq!(apply(object, &patch).unwrap(), expected, "{patch}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_patch() {
        for patch in [json!(["c"]), json!(null), json!("bar")] {
            assert!(matches!(apply(json!({"a": "foo"}), &patch), Err(Error::Malformed(_))));
        }
    }
}
