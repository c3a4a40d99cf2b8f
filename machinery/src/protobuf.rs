//! `application/vnd.kubernetes.protobuf`: objects between JSON and the protobuf messages that Kubernetes' own clients
//! prefer. One codec walks JSON beside the table of messages (`fields.tsv`), so that a kind needs no code
//! of its own.
//!
//! Go writes scalars without presence even where they are empty, and pointers only where they are set; the table
//! says which are which, so that `replicas: 0` survives and an unset string stays unset.

mod decode;
mod encode;
mod messages;
mod special;

use serde_json::Value;

use crate::tape::Tape;
use crate::{GroupVersion, GroupVersionKind};

/// The bytes before every body.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Messages within messages; deeper input is refused.
const MOST_NESTING: usize = 100;

/// Why bytes do not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the body does not begin with the protobuf magic number")]
    Magic,
    #[error("the body ends within a field, or a length exceeds it")]
    Truncated,
    #[error("field {0} has a wire type that does not fit")]
    WireType(u32),
    #[error("a string is not UTF-8")]
    Text,
    #[error("messages are nested too deeply")]
    Nesting,
    #[error("embedded JSON does not parse")]
    Json,
    #[error("no message is known for {0}")]
    Unknown(String),
    #[error("a time is out of range")]
    Time,
}

/// A body's frame: what kind it says it is, and the message's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    pub raw: &'a [u8],
}

/// Reads the frame of a body.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let mut rest = body.strip_prefix(MAGIC.as_slice()).ok_or(Error::Magic)?;
    let mut envelope = Envelope::default();
    while let Some((number, field)) = decode::next(&mut rest)? {
        match (number, field) {
            (1, decode::Wire::Bytes(mut meta)) => {
                while let Some((number, field)) = decode::next(&mut meta)? {
                    match (number, field) {
                        (1, decode::Wire::Bytes(text)) => envelope.api_version = decode::text(text)?.to_owned(),
                        (2, decode::Wire::Bytes(text)) => envelope.kind = decode::text(text)?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, decode::Wire::Bytes(raw)) => envelope.raw = raw,
            _ => {}
        }
    }
    Ok(envelope)
}

/// What a body ends with: contentEncoding and contentType, which are empty and written nevertheless, as Go does.
const TAIL: &[u8] = &[0x1a, 0, 0x22, 0];

/// What a body begins with, up to its message.
fn envelope(api_version: &str, kind: &str) -> Vec<u8> {
    let mut meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    encode::put_bytes(&mut meta, 1, api_version.as_bytes());
    encode::put_bytes(&mut meta, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(meta.len() + 24);
    out.extend_from_slice(MAGIC);
    encode::put_bytes(&mut out, 1, &meta);
    out
}

/// The message within a body that [`encode_json`] made, by its place.
pub fn message_of(body: &[u8]) -> Option<std::ops::Range<usize>> {
    let raw = open(body).ok()?.raw;
    let end = body.len() - TAIL.len();
    Some(end.checked_sub(raw.len())?..end)
}

/// A body as a JSON value with `apiVersion` and `kind`. Where the body names no kind it is taken for `expected`.
pub fn decode_object(body: &[u8], expected: &GroupVersionKind) -> Result<Value, Error> {
    let envelope = open(body)?;
    let (api_version, kind) =
        if envelope.kind.is_empty() { (expected.api_version(), expected.kind.to_string()) } else { (envelope.api_version, envelope.kind) };
    let gv = GroupVersion::parse(&api_version);
    let name = message_name(&gv.group, &gv.version, &kind);
    let message = messages::find(&name).ok_or_else(|| Error::Unknown(format!("{api_version} {kind}")))?;
    let mut value = decode::message(envelope.raw, message, MOST_NESTING)?;
    value.insert("apiVersion".to_owned(), Value::String(api_version));
    value.insert("kind".to_owned(), Value::String(kind));
    Ok(Value::Object(value))
}

/// The whole body of an object that is JSON and says its kind. None: no message is known for that.
pub fn encode_json(json: &[u8]) -> Option<Vec<u8>> {
    // Fields of managers stay JSON, too.
    let tape = Tape::read_but(std::str::from_utf8(json).ok()?, "fieldsV1")?;
    let object = tape.root();
    let text = |field| object.get(field).map(|value| value.text().unquoted());
    // The oldest documents say no version.
    let (api_version, kind) = (text("apiVersion").unwrap_or_default(), text("kind")?);
    let gv = GroupVersion::parse(&api_version);
    let message = messages::find(&message_name(&gv.group, &gv.version, &kind))?;
    let mut out = envelope(&api_version, &kind);
    out.reserve(json.len());
    encode::put_nested(&mut out, 2, |out| encode::message(out, Some(object), message));
    out.extend_from_slice(TAIL);
    Some(out)
}

/// The bytes that a list's body has around its items, each of which comes behind its [`item_head`]; `meta` is JSON, and `items`
/// are the lengths of their messages. The body is not put together here, since it may be large.
pub fn list_frame(kind: &GroupVersionKind, meta: &str, items: impl Iterator<Item = usize>) -> (Vec<u8>, &'static [u8]) {
    let mut list = Vec::new();
    if let Some(meta) = Tape::read(meta)
        && let Some(message) = messages::find("apimachinery.pkg.apis.meta.v1.ListMeta")
    {
        encode::put_nested(&mut list, 1, |out| encode::message(out, Some(meta.root()), message));
    }
    let length = list.len() + items.map(item_length).sum::<usize>();
    let mut head = envelope(&kind.api_version(), &format!("{}List", kind.kind));
    encode::put_length(&mut head, 2, length);
    head.extend_from_slice(&list);
    (head, TAIL)
}

/// How many bytes a message takes as an item of a list.
pub fn item_length(message: usize) -> usize {
    item_head(message).len() + message
}

/// What stands before a message in a list.
pub fn item_head(message: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(12);
    encode::put_length(&mut head, 2, message);
    head
}

/// What stands before the body in a watch event's frame: the frame's length in four bytes, and a `WatchEvent` that ends in
/// a whole body.
pub fn event_head(kind: &str, body: usize) -> Vec<u8> {
    let mut object = Vec::with_capacity(12);
    encode::put_length(&mut object, 1, body);
    let mut event = Vec::with_capacity(kind.len() + 40);
    event.extend_from_slice(&[0; 4]);
    encode::put_bytes(&mut event, 1, kind.as_bytes());
    encode::put_length(&mut event, 2, object.len() + body);
    event.extend_from_slice(&object);
    // A frame is far below 4 GiB: objects are bounded by the store.
    let length = u32::try_from(event.len() - 4 + body).unwrap_or(u32::MAX);
    event[..4].copy_from_slice(&length.to_be_bytes());
    event
}

/// Whether objects of this kind have a protobuf form.
pub fn is_known(group: &str, version: &str, kind: &str) -> bool {
    messages::find(&message_name(group, version, kind)).is_some()
}

/// What Go's types say of a kind's fields, and JSON schemas do not: which of them are pointers.
#[derive(Clone, Copy, Debug)]
pub struct Shape(&'static messages::Message);

impl Shape {
    /// The shape of a kind; None where no message is known for it.
    pub fn of(group: &str, version: &str, kind: &str) -> Option<Self> {
        messages::find(&message_name(group, version, kind)).map(Self)
    }

    /// Whether a field is a pointer, so that its zero is not the same as nothing. None where it is not known.
    pub fn is_pointer(self, json: &str) -> Option<bool> {
        self.0.find(json).map(|field| field.pointer)
    }

    /// The shape of what is in a field: of its elements, if it is a list or a map.
    pub fn below(self, json: &str) -> Option<Self> {
        match self.0.find(json)?.kind {
            messages::Kind::Message(index) => Some(Self(messages::get(index))),
            _ => None,
        }
    }
}

fn message_name(group: &str, version: &str, kind: &str) -> String {
    const META: [&str; 11] = [
        "Status",
        "DeleteOptions",
        "CreateOptions",
        "UpdateOptions",
        "PatchOptions",
        "ListOptions",
        "WatchEvent",
        "APIVersions",
        "APIGroup",
        "APIGroupList",
        "APIResourceList",
    ];
    if group == "meta.k8s.io" || META.contains(&kind) {
        return format!("apimachinery.pkg.apis.meta.v1.{kind}");
    }
    match group {
        "" => format!("api.core.{version}.{kind}"),
        "apiextensions.k8s.io" => format!("apiextensions_apiserver.pkg.apis.apiextensions.{version}.{kind}"),
        "apiregistration.k8s.io" => format!("kube_aggregator.pkg.apis.apiregistration.{version}.{kind}"),
        _ => format!("api.{}.{version}.{kind}", group.split('.').next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
