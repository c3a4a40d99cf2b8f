//! An audit event as one line of JSON, with upstream's fields in upstream's order. Objects are spliced in as the bytes
//! that they already are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::strategy::UserInfo;
use jiff::Timestamp;
use machinery::status::{Details, ListMeta};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::policy::{Level, Stage};

/// A user, as events show one.
#[derive(Debug, Default, Serialize)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl<'a> From<&'a UserInfo> for User<'a> {
    fn from(user: &'a UserInfo) -> Self {
        let extra = Some(&user.extra).filter(|extra| !extra.is_empty());
        Self { username: &user.name, uid: &user.uid, groups: &user.groups, extra }
    }
}

/// What a request is about.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectReference {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// What came of a request.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub metadata: ListMeta,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    pub code: u16,
}

/// What stands before the objects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head<'a> {
    pub kind: &'static str,
    pub api_version: &'static str,
    #[serde(serialize_with = "level")]
    pub level: Level,
    #[serde(rename = "auditID")]
    pub audit_id: &'a str,
    #[serde(serialize_with = "stage")]
    pub stage: Stage,
    #[serde(rename = "requestURI")]
    pub request_uri: &'a str,
    pub verb: &'a str,
    pub user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_metadata: Option<AuthenticationMetadata>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub source_ips: &'a [IpAddr],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<&'a ObjectReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<&'a Outcome>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthenticationMetadata {
    pub impersonation_constraint: &'static str,
}

/// What stands behind the objects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tail<'a> {
    #[serde(serialize_with = "micro")]
    pub request_received_timestamp: Timestamp,
    #[serde(serialize_with = "micro")]
    pub stage_timestamp: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
}

fn level<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.name())
}

fn stage<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.name())
}

fn micro<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

/// The event as a line. `objects`: those of the request and of the answer, each JSON in one line.
pub(super) fn line(head: &Head<'_>, objects: [Option<&[u8]>; 2], tail: &Tail<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(1024 + objects.iter().flatten().map(|object| object.len() + 32).sum::<usize>());
    // Writing to a vector does not fail, and neither type has a key that is no string.
    let _ = serde_json::to_writer(&mut line, head);
    line.pop();
    for (name, object) in [&b",\"requestObject\":"[..], b",\"responseObject\":"].into_iter().zip(objects) {
        if let Some(object) = object {
            line.extend_from_slice(name);
            line.extend_from_slice(object);
        }
    }
    let rest = line.len();
    let _ = serde_json::to_writer(&mut line, tail);
    line[rest] = b',';
    line.push(b'\n');
    line
}

/// An object's JSON in one line. What does not read as JSON is recorded as a string: it is what was sent.
pub(super) fn one_line(json: &[u8], omit_managed_fields: bool) -> Vec<u8> {
    // The encoder writes no line breaks, nor does anybody need them within strings.
    let trimmed = json.trim_ascii();
    let fits = !trimmed.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if fits && !omit_managed_fields {
        return trimmed.to_vec();
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(trimmed) else {
        return Value::from(String::from_utf8_lossy(json)).to_string().into_bytes();
    };
    if omit_managed_fields {
        drop_managed_fields(&mut value);
    }
    value.to_string().into_bytes()
}

/// Of an object, of those in a list, and of those in a table.
fn drop_managed_fields(value: &mut Value) {
    let drop_of = |object: &mut Value| {
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
    };
    drop_of(value);
    for list in ["items", "rows"] {
        for item in value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            drop_of(item);
            if let Some(object) = item.get_mut("object") {
                drop_of(object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str, omit: bool) -> String {
        String::from_utf8_lossy(&one_line(json.as_bytes(), omit)).into_owned()
    }

    #[test]
    fn objects_are_one_line() {
        assert_eq!(text("{\"a\": 1}\n", false), "{\"a\": 1}");
        assert_eq!(text("{\n  \"a\":\r\n 1}", false), "{\"a\":1}");
        assert_eq!(text("{\n]", false), r#""{\n]""#);
    }

    #[test]
    fn managed_fields_are_left_out_wherever_they_stand() {
        let object = r#"{"metadata":{"managedFields":[1],"name":"a"}}"#;
        let bare = r#"{"metadata":{"name":"a"}}"#;
        assert_eq!(text(object, true), bare);
        assert_eq!(text(&format!(r#"{{"items":[{object}]}}"#), true), format!(r#"{{"items":[{bare}]}}"#));
        assert_eq!(text(&format!(r#"{{"rows":[{{"object":{object}}}]}}"#), true), format!(r#"{{"rows":[{{"object":{bare}}}]}}"#));
    }
}
