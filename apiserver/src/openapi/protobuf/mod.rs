//! OpenAPI documents in protobuf: the messages of gnostic, as far as these documents use them, filled from the JSON form.

pub mod v2;
pub mod v3;

use prost::Message;
use serde_json::{Map, Value};

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    /// The value as YAML; JSON is YAML.
    #[prost(string, tag = "2")]
    yaml: String,
}

fn text(value: Option<&Value>, key: &str) -> String {
    value.and_then(|v| v.get(key)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    value.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn any(value: &Value) -> Any {
    Any { yaml: value.to_string() }
}

fn extensions(map: Option<&Map<String, Value>>) -> Vec<NamedAny> {
    let named = map.into_iter().flatten().filter(|(name, _)| name.starts_with("x-"));
    named.map(|(name, value)| NamedAny { name: name.clone(), value: Some(any(value)) }).collect()
}
