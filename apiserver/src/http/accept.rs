//! Content negotiation: which form of an object, a list or a document the client asked for.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use machinery::partial::MetaVersion;
use machinery::protobuf::MEDIA_TYPE;
use machinery::{Status, status};

/// How bytes are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// What objects are turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Object,
    Table,
    PartialObjectMetadata,
    PartialObjectMetadataList,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub format: Format,
    pub shape: Shape,
    /// The version of `meta.k8s.io` that tables and bare metadata were asked for in.
    pub version: MetaVersion,
}

pub const SERVED: [&str; 3] = ["application/json", "application/yaml", MEDIA_TYPE];

fn served(protobuf: bool) -> &'static [&'static str] {
    if protobuf { &SERVED } else { &SERVED[..2] }
}

/// One clause of an Accept header.
pub struct Clause<'a> {
    pub media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }
}

/// The clauses of the request's Accept headers, in order of preference as written.
pub fn clauses(headers: &HeaderMap) -> impl Iterator<Item = Clause<'_>> {
    headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        Clause { media, parameters: parts.filter_map(|p| p.split_once('=')).collect() }
    })
}

/// The form to answer a resource request in. Objects of some resources have no `protobuf` form. Only whole media types and `*/*` are known: `application/*` is refused,
/// as upstream does.
pub fn negotiate(headers: &HeaderMap, protobuf: bool) -> status::Result<Form> {
    let mut any = false;
    for clause in clauses(headers).filter(|c| !c.media.is_empty()) {
        any = true;
        let format = match clause.media {
            "application/json" | "*/*" => Format::Json,
            "application/yaml" => Format::Yaml,
            MEDIA_TYPE => Format::Protobuf,
            _ => continue,
        };
        let Some((shape, version)) = shape(&clause) else { continue };
        if format == Format::Protobuf && shape == Shape::Table {
            // Tables have cells of any type, and so no protobuf form.
            continue;
        }
        if format == Format::Protobuf && shape == Shape::Object && !protobuf {
            continue;
        }
        return Ok(Form { format, shape, version });
    }
    if any {
        Err(Status::not_acceptable(served(protobuf)))
    } else {
        Ok(Form { format: Format::Json, shape: Shape::Object, version: MetaVersion::V1 })
    }
}

fn shape(clause: &Clause<'_>) -> Option<(Shape, MetaVersion)> {
    let Some(kind) = clause.parameter("as") else { return Some((Shape::Object, MetaVersion::V1)) };
    if clause.parameter("g") != Some("meta.k8s.io") {
        return None;
    }
    let version = MetaVersion::parse(clause.parameter("v")?)?;
    let shape = match kind {
        "Table" => Shape::Table,
        "PartialObjectMetadata" => Shape::PartialObjectMetadata,
        "PartialObjectMetadataList" => Shape::PartialObjectMetadataList,
        _ => return None,
    };
    Some((shape, version))
}

/// The media type of the request's body, without parameters; empty if there is none.
pub fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// How the body of a POST, PUT or DELETE is encoded. One without a content type is JSON.
pub fn body_format(headers: &HeaderMap, protobuf: bool) -> status::Result<Format> {
    match content_type(headers) {
        "" | "application/json" | "*/*" => Ok(Format::Json),
        "application/yaml" | "application/x-yaml" => Ok(Format::Yaml),
        MEDIA_TYPE if protobuf => Ok(Format::Protobuf),
        _ => Err(Status::unsupported_media_type(served(protobuf))),
    }
}
