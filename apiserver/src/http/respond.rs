//! Answers: objects, lists and Statuses as HTTP responses, in the form the client asked for. A stored object's
//! bytes are passed on as they are; a list is its entries' bytes between a header and a trailer.

use std::borrow::Cow;

use api::Resource;
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::StreamBody;
use machinery::table::Include;
use machinery::{GroupVersion, GroupVersionKind, Status, protobuf, status};
use serde_json::Value;

use super::accept::{self, Form, Format, Shape};
use super::table::{self, Tables};
use super::yaml;
use crate::verbs::{List, Shown};

pub type Answer = Response<Body>;

/// A list's body is sent in pieces of about this size, so that a large one is never held twice.
const PIECE_BYTES: usize = 128 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
const PROTOBUF: HeaderValue = HeaderValue::from_static(protobuf::MEDIA_TYPE);
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// A response with a body of this media type.
pub fn body(code: StatusCode, media: HeaderValue, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, media);
    answer.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    answer
}

/// JSON bytes, converted if the client wants YAML.
pub fn encoded(code: StatusCode, format: Format, json: Bytes) -> Answer {
    match format {
        Format::Json => body(code, JSON, json),
        Format::Yaml => match to_yaml(&json) {
            Ok(text) => body(code, YAML, text),
            Err(status) => self::status(&status, Format::Json),
        },
        // What has no protobuf form is answered in JSON, which clients of protobuf take too.
        Format::Protobuf => match protobuf_body(&json) {
            Some(bytes) => body(code, PROTOBUF, bytes),
            None => body(code, JSON, json),
        },
    }
}

/// An object's protobuf body. None: its kind has none.
pub fn protobuf_body(json: &[u8]) -> Option<Vec<u8>> {
    let (kind, value) = kind_and_value(json)?;
    protobuf::encode_object(&kind, &value)
}

fn kind_and_value(json: &[u8]) -> Option<(GroupVersionKind, Value)> {
    let value: Value = serde_json::from_slice(json).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let gv = GroupVersion::parse(&text("apiVersion")?);
    Some((GroupVersionKind { group: gv.group, version: gv.version, kind: text("kind")?.into() }, value))
}

fn to_yaml(json: &[u8]) -> status::Result<String> {
    let value: Value = serde_json::from_slice(json).map_err(|e| Status::internal(e.to_string()))?;
    Ok(yaml::document(&value))
}

/// Any serializable document as JSON.
pub fn document(document: &impl serde::Serialize, format: Format) -> Answer {
    match serde_json::to_vec(document) {
        Ok(json) => encoded(StatusCode::OK, format, json.into()),
        Err(e) => status(&Status::internal(e.to_string()), Format::Json),
    }
}

pub fn text(code: StatusCode, text: impl Into<Body>) -> Answer {
    body(code, HeaderValue::from_static("text/plain; charset=utf-8"), text)
}

/// A Status: a failure with its code, or the success of a delete.
pub fn status(status: &Status, format: Format) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::OK);
    let mut answer = encoded(code, format, serde_json::to_vec(status).unwrap_or_default().into());
    if let Some(details) = &status.details
        && details.retry_after_seconds > 0
    {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(details.retry_after_seconds));
    }
    answer
}

/// An object.
pub fn object(code: StatusCode, form: Form, resource: &'static dyn Resource, shown: &Shown, include: Include) -> Answer {
    let stored = shown.json();
    let converted = match form.shape {
        Shape::Object => return encoded(code, form.format, presented(resource, stored)),
        Shape::Table => Tables { resource, include, version: form.version }.of_object(stored),
        Shape::PartialObjectMetadata => table::partial(stored, form.version),
        // A single object is no list.
        Shape::PartialObjectMetadataList => Err(Status::not_acceptable(&accept::SERVED)),
    };
    match converted {
        Ok(json) => encoded(code, form.format, json),
        Err(failure) => status(&failure, form.format),
    }
}

/// A list.
pub fn list(form: Form, resource: &'static dyn Resource, list: List, include: Include) -> Answer {
    let converted = match form.shape {
        Shape::Object if form.format == Format::Json => return streamed(resource, list),
        Shape::Object if form.format == Format::Protobuf && protobuf_known(resource) => return protobuf_list(resource, &list),
        Shape::Object => Ok(joined(resource, list)),
        Shape::Table => Tables { resource, include, version: form.version }.of_list(&list),
        Shape::PartialObjectMetadataList => table::partial_list(&list, form.version),
        Shape::PartialObjectMetadata => Err(Status::not_acceptable(&accept::SERVED)),
    };
    match converted {
        Ok(json) => encoded(StatusCode::OK, form.format, json),
        Err(failure) => status(&failure, form.format),
    }
}

/// The stored JSON in the version that is served; no copy where the two are the same.
pub fn presented(resource: &dyn Resource, json: &Bytes) -> Bytes {
    match resource.present(json) {
        Cow::Borrowed(_) => json.clone(),
        Cow::Owned(converted) => converted.into(),
    }
}

/// A list's metadata, as JSON.
pub fn list_meta(list: &List) -> status::ListMeta {
    status::ListMeta {
        // Version 0: what is listed is not stored.
        resource_version: if list.version.0 == 0 { String::new() } else { list.version.to_string() },
        continue_token: list.continue_token.clone(),
        remaining_item_count: list.remaining,
    }
}

fn header(resource: &dyn Resource, list: &List) -> Vec<u8> {
    let kind = resource.kind();
    let meta = serde_json::to_string(&list_meta(list)).unwrap_or_default();
    format!(r#"{{"kind":"{}List","apiVersion":"{}","metadata":{meta},"items":["#, kind.kind, kind.api_version()).into_bytes()
}

fn protobuf_known(resource: &dyn Resource) -> bool {
    let names = resource.names();
    protobuf::is_known(names.group, names.version, names.kind)
}

fn protobuf_list(resource: &dyn Resource, list: &List) -> Answer {
    let kind = resource.kind();
    let items: Vec<Vec<u8>> = list
        .items
        .iter()
        .filter_map(|entry| {
            let value: Value = serde_json::from_slice(&presented(resource, &entry.json)).ok()?;
            protobuf::encode_message(&kind.group, &kind.version, &kind.kind, &value)
        })
        .collect();
    let meta = serde_json::to_value(list_meta(list)).unwrap_or_default();
    body(StatusCode::OK, PROTOBUF, protobuf::encode_list(&kind, &meta, items.iter().map(Vec::as_slice)))
}

/// An entry's JSON as a list item: without `apiVersion` and `kind`, which the list's own say.
/// Entries begin with them, in this order.
fn item_tail(json: &[u8], prefix: usize) -> &[u8] {
    json.get(prefix..).unwrap_or(json)
}

fn item_prefix(resource: &dyn Resource) -> usize {
    let kind = resource.kind();
    format!(r#"{{"apiVersion":"{}","kind":"{}","#, kind.api_version(), kind.kind).len()
}

fn joined(resource: &dyn Resource, list: List) -> Bytes {
    let prefix = item_prefix(resource);
    let mut out = header(resource, &list);
    for (index, entry) in list.items.iter().enumerate() {
        put_item(&mut out, index, &presented(resource, &entry.json), prefix);
    }
    out.extend_from_slice(b"]}\n");
    out.into()
}

fn put_item(out: &mut impl BufMut, index: usize, json: &[u8], prefix: usize) {
    if index > 0 {
        out.put_u8(b',');
    }
    out.put_u8(b'{');
    out.put_slice(item_tail(json, prefix));
}

/// The list as a body of known length that is put together piece by piece while it is sent.
fn streamed(resource: &'static dyn Resource, list: List) -> Answer {
    let prefix = item_prefix(resource);
    let head = header(resource, &list);
    let items: Vec<Bytes> = list.items.iter().map(|e| presented(resource, &e.json)).collect();
    let bytes: usize = items.iter().map(|json| 2 + item_tail(json, prefix).len()).sum();
    let length = head.len() + bytes.saturating_sub(usize::from(!items.is_empty())) + 3;
    if length <= PIECE_BYTES {
        let mut out = BytesMut::with_capacity(length);
        out.put_slice(&head);
        for (index, json) in items.iter().enumerate() {
            put_item(&mut out, index, json, prefix);
        }
        out.put_slice(b"]}\n");
        return body(StatusCode::OK, JSON, out.freeze());
    }
    let mut next = 0;
    let mut head = Some(head);
    let mut done = false;
    let pieces = std::iter::from_fn(move || {
        if done {
            return None;
        }
        let mut out = BytesMut::with_capacity(PIECE_BYTES + (8 << 10));
        if let Some(head) = head.take() {
            out.put_slice(&head);
        }
        while next < items.len() && out.len() < PIECE_BYTES {
            put_item(&mut out, next, &items[next], prefix);
            next += 1;
        }
        if next == items.len() {
            out.put_slice(b"]}\n");
            done = true;
        }
        Some(Ok::<_, std::convert::Infallible>(http_body::Frame::data(out.freeze())))
    });
    let mut answer = body(StatusCode::OK, JSON, Body::new(StreamBody::new(futures::stream::iter(pieces))));
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    answer
}

/// Adds `Warning` headers: what the client should know about a write that succeeded.
pub fn with_warnings(mut answer: Answer, warnings: &[String]) -> Answer {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(|c: char| c.is_control(), " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            answer.headers_mut().append(WARNING, value);
        }
    }
    answer
}

/// The header that names a request in the audit log.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
