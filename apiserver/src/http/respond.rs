//! Answers: objects, lists and Statuses as HTTP responses, in the form the client asked for. A stored object's
//! bytes are passed on as they are; a list is its entries' bytes between a header and a trailer.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use api::Resource;
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WARNING, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::StreamBody;
use machinery::table::Include;
use machinery::{Status, protobuf, status};
use serde_json::Value;

use super::accept::{self, Form, Format, Shape};
use super::table::{self, Tables};
use super::yaml;
use crate::log::Entry;
use crate::verbs::{List, Shown, Target};

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
        Format::Json => body(code, JSON, line(json)),
        Format::Yaml => match to_yaml(&json) {
            Ok(text) => body(code, YAML, text),
            Err(status) => self::status(&status, Format::Json),
        },
        // What has no protobuf form is answered in JSON, which clients of protobuf take too.
        Format::Protobuf => match protobuf::encode_json(&json) {
            Some(bytes) => body(code, PROTOBUF, bytes),
            None => body(code, JSON, line(json)),
        },
    }
}

/// JSON as the one line that it is.
fn line(json: Bytes) -> Bytes {
    if json.ends_with(b"\n") { json } else { [&json, &b"\n"[..]].concat().into() }
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

/// There is nothing at this path.
pub fn not_found() -> Answer {
    let mut answer = text(StatusCode::NOT_FOUND, "404 page not found\n");
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// What is at this path is another server's, which is not reached.
pub fn elsewhere() -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n");
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
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
    with_warnings(answer, &status.warnings)
}

/// An object, as what was asked for at `target`.
pub fn object(code: StatusCode, form: Form, target: &Target, shown: &Shown, include: Include) -> Answer {
    let (resource, stored) = (&*target.resource, shown.json());
    if let (Format::Protobuf, Shape::Object, Shown::Entry(entry)) = (form.format, form.shape, shown)
        && let Some(bytes) = entry_protobuf(resource, entry)
    {
        return body(code, PROTOBUF, bytes);
    }
    let converted = match form.shape {
        Shape::Object => return encoded(code, form.format, presented(resource, stored)),
        Shape::Table if target.subresource.as_deref() == Some("scale") => {
            Tables { resource, include, version: form.version }.of_scale(stored)
        }
        Shape::Table => Tables { resource, include, version: form.version }.of_object(stored),
        Shape::PartialObjectMetadata => table::partial(resource, stored, form.version),
        // A single object is no list.
        Shape::PartialObjectMetadataList => Err(Status::not_acceptable(&accept::SERVED)),
    };
    match converted {
        Ok(json) => encoded(code, form.format, json),
        Err(failure) => status(&failure, Format::Json),
    }
}

/// A list.
pub fn list(form: Form, resource: &dyn Resource, list: List, include: Include) -> Answer {
    let converted = match form.shape {
        Shape::Object if form.format == Format::Json => return streamed(resource, list),
        Shape::Object if form.format == Format::Protobuf && protobuf_known(resource) => return protobuf_list(resource, &list),
        Shape::Object => Ok(joined(resource, list)),
        Shape::Table => Tables { resource, include, version: form.version }.of_list(&list),
        Shape::PartialObjectMetadataList => table::partial_list(resource, &list, form.version),
        Shape::PartialObjectMetadata => Err(Status::not_acceptable(&accept::SERVED)),
    };
    match converted {
        Ok(json) => encoded(StatusCode::OK, form.format, json),
        Err(failure) => status(&failure, Format::Json),
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
    let mut meta = serde_json::to_value(list_meta(list)).unwrap_or_default();
    if resource.is_custom() {
        // Lists of custom objects always tell where they go on.
        meta["continue"] = Value::from(list.continue_token.as_str());
    }
    format!(r#"{{"kind":"{}","apiVersion":"{}","metadata":{meta},"items":["#, resource.list_kind(), kind.api_version()).into_bytes()
}

fn protobuf_known(resource: &dyn Resource) -> bool {
    let names = resource.names();
    protobuf::is_known(names.group, names.version, names.kind)
}

/// An entry's protobuf body in the version that is served. Kept with the entry where that is the stored one.
pub fn entry_protobuf(resource: &dyn Resource, entry: &Entry) -> Option<Bytes> {
    match resource.present(&entry.json) {
        Cow::Borrowed(_) => entry.protobuf(),
        Cow::Owned(converted) => protobuf::encode_json(&converted).map(Bytes::from),
    }
}

fn protobuf_list(resource: &dyn Resource, list: &List) -> Answer {
    let kind = resource.kind();
    let message = |entry: &Arc<Entry>| {
        let body = entry_protobuf(resource, entry)?;
        protobuf::message_of(&body).map(|message| body.slice(message))
    };
    let items: Vec<Bytes> = list.items.iter().filter_map(message).collect();
    let meta = serde_json::to_string(&list_meta(list)).unwrap_or_default();
    let (head, tail) = protobuf::list_frame(&kind, &meta, items.iter().map(Bytes::len));
    let length = head.len() + tail.len() + items.iter().map(|item| protobuf::item_length(item.len())).sum::<usize>();
    let put = |out: &mut BytesMut, _: usize, item: &Bytes| {
        out.put_slice(&protobuf::item_head(item.len()));
        out.put_slice(item);
    };
    in_pieces(PROTOBUF, Pieces { head, items, tail, length, put })
}

/// An entry's JSON as a list item: without `apiVersion` and `kind`, which the list's own say.
/// Entries begin with them, in this order.
fn item_tail(json: &[u8], prefix: usize) -> &[u8] {
    json.get(prefix..).unwrap_or(json)
}

fn item_prefix(resource: &dyn Resource) -> usize {
    if resource.is_custom() {
        // Custom objects say what they are, in lists too.
        return "{".len();
    }
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

fn streamed(resource: &dyn Resource, list: List) -> Answer {
    let prefix = item_prefix(resource);
    let head = header(resource, &list);
    let items: Vec<Bytes> = list.items.iter().map(|e| presented(resource, &e.json)).collect();
    let bytes: usize = items.iter().map(|json| 2 + item_tail(json, prefix).len()).sum();
    let length = head.len() + bytes.saturating_sub(usize::from(!items.is_empty())) + 3;
    let put = move |out: &mut BytesMut, index: usize, json: &Bytes| put_item(out, index, json, prefix);
    in_pieces(JSON, Pieces { head, items, tail: b"]}\n", length, put })
}

/// A list's body: its items between a head and a tail.
struct Pieces<P> {
    head: Vec<u8>,
    items: Vec<Bytes>,
    tail: &'static [u8],
    /// Of all of it.
    length: usize,
    put: P,
}

/// The list as a body of known length that is put together piece by piece while it is sent.
fn in_pieces<P: FnMut(&mut BytesMut, usize, &Bytes) + Send + 'static>(media: HeaderValue, mut list: Pieces<P>) -> Answer {
    let length = list.length;
    let (mut next, mut done) = (0, false);
    let mut piece = move |most: usize| {
        if done {
            return None;
        }
        let mut out = BytesMut::with_capacity(length.min(most.saturating_add(8 << 10)));
        out.put_slice(&std::mem::take(&mut list.head));
        while next < list.items.len() && out.len() < most {
            (list.put)(&mut out, next, &list.items[next]);
            next += 1;
        }
        if next == list.items.len() {
            out.put_slice(list.tail);
            done = true;
        }
        Some(out.freeze())
    };
    if length <= PIECE_BYTES {
        return body(StatusCode::OK, media, piece(usize::MAX).unwrap_or_default());
    }
    let pieces =
        std::iter::from_fn(move || piece(PIECE_BYTES).map(|piece| Ok::<_, std::convert::Infallible>(http_body::Frame::data(piece))));
    let mut answer = body(StatusCode::OK, media, Body::new(StreamBody::new(futures::stream::iter(pieces))));
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    answer
}

/// How many characters warnings may have together; if they have more, each is cut.
const MOST_WARNED: usize = 4096;
const MOST_CUT: usize = 256;

/// Adds `Warning` headers: what the client should know about a request, whether it succeeded or not. Nothing is said twice,
/// nor what has control characters.
pub fn with_warnings(mut answer: Answer, warnings: &[String]) -> Answer {
    let mut told = HashSet::new();
    let plain: Vec<&String> =
        warnings.iter().filter(|text| !text.is_empty() && !text.contains(char::is_control) && told.insert(*text)).collect();
    let cuts = plain.iter().map(|text| text.chars().count()).sum::<usize>() > MOST_WARNED;
    let mut written = 0;
    for text in plain {
        if cuts && written >= MOST_WARNED {
            break;
        }
        let text: String = text.chars().take(if cuts { MOST_CUT } else { usize::MAX }).collect();
        written += text.chars().count();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            answer.headers_mut().append(WARNING, value);
        }
    }
    answer
}

/// The header that names a request in the audit log.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_line() {
        assert_eq!(line(Bytes::from_static(b"{}")), "{}\n");
        assert_eq!(line(Bytes::from_static(b"{}\n")), "{}\n");
    }

    #[test]
    fn warnings_are_told_once_and_cut_where_they_are_many() {
        let told = |warnings: &[String]| -> Vec<String> {
            let answer = with_warnings(text(StatusCode::OK, ""), warnings);
            answer.headers().get_all(WARNING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
        };
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(told(&texts(&["a \"é\"", "b\nc", "", "a \"é\"", "d"])), [r#"299 - "a \"é\"""#, r#"299 - "d""#]);
        let many: Vec<String> = (0..30).map(|number| format!("{number}{}", "x".repeat(300))).collect();
        assert_eq!(told(&many).iter().map(String::len).collect::<Vec<_>>(), vec![256 + 8; 16]);
        assert_eq!(told(&many[..13]).len(), 13);
        assert!(told(&many[..13])[0].len() > 300);
    }
}
