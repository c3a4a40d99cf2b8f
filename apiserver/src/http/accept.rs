//! Content negotiation: which form of an object, a list or a document the client asked for. It has two steps, as
//! upstream's has: the route knows whole media types and `*/*` only ([`is_routed`]), and what passes it is negotiated by
//! quality and parameters ([`negotiate`]).

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
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

/// What is asked for where nothing is.
const PLAIN: Form = Form { format: Format::Json, shape: Shape::Object, version: MetaVersion::V1 };

pub const SERVED: [&str; 3] = ["application/json", "application/yaml", MEDIA_TYPE];
const FORMATS: [Format; 3] = [Format::Json, Format::Yaml, Format::Protobuf];

/// As many clauses of an Accept header are looked at.
const MOST_CLAUSES: usize = 64;

fn served(protobuf: bool) -> &'static [&'static str] {
    if protobuf { &SERVED } else { &SERVED[..2] }
}

/// One clause of an Accept header.
pub struct Clause<'a> {
    media: (&'a str, &'a str),
    quality: f64,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().rfind(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let media = parts.next().unwrap_or_default().trim_matches(' ');
        let media = match media.split_once('/') {
            None if media == "*" => ("*", "*"),
            Some((kind, sub)) if !sub.is_empty() && !sub.contains('/') => (kind.trim_matches(' '), sub.trim_matches(' ')),
            _ => return None,
        };
        let (mut quality, mut parameters) = (1.0, Vec::new());
        for (name, value) in parts.filter_map(|part| part.split_once('=')).filter(|(_, value)| !value.is_empty() && !value.contains('=')) {
            match name.trim_matches(' ') {
                "q" => quality = value.parse().unwrap_or(0.0),
                name => parameters.push((name, value.trim_matches(' '))),
            }
        }
        Some(Self { media, quality, parameters })
    }

    /// Whether this clause takes a media type.
    pub fn takes(&self, media: &str) -> bool {
        let (kind, sub) = media.split_once('/').unwrap_or((media, ""));
        match self.media {
            ("*", "*") => true,
            (wanted, "*") => wanted == kind,
            wanted => wanted == (kind, sub),
        }
    }

    /// Whether this clause goes before another that stands before it. Upstream's order is none of a kind, which is why it
    /// has to be sorted by insertion.
    fn overtakes(&self, other: &Self) -> bool {
        let wild = |part: &str| part == "*";
        self.quality > other.quality || (!wild(self.media.0) && wild(other.media.0)) || (!wild(self.media.1) && wild(other.media.1))
    }
}

fn header(headers: &HeaderMap) -> &str {
    text(headers.get(ACCEPT))
}

fn text(accept: Option<&HeaderValue>) -> &str {
    accept.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The clauses of the request's first Accept header, the preferred ones first.
pub fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    clauses_of(header(headers))
}

fn clauses_of(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = header.split(',').take(MOST_CLAUSES).filter_map(Clause::parse).collect();
    for end in 1..clauses.len() {
        let mut at = end;
        while at > 0 && clauses[at].overtakes(&clauses[at - 1]) {
            clauses.swap(at, at - 1);
            at -= 1;
        }
    }
    clauses
}

/// Whether a route that produces these media types takes the request. Parameters and qualities are none of its business.
pub fn is_routed(headers: &HeaderMap, produced: &[&str]) -> bool {
    let header = header(headers);
    header.is_empty()
        || header.split(',').any(|clause| {
            let media = clause.split(';').next().unwrap_or_default().trim();
            media == "*/*" || produced.contains(&media)
        })
}

/// Refuses a request that no route for resources takes.
pub fn check_routed(headers: &HeaderMap) -> status::Result<()> {
    if is_routed(headers, &SERVED) { Ok(()) } else { Err(Status::not_acceptable(&SERVED).without_details()) }
}

/// The forms in which some answers are there and others are not.
#[derive(Clone, Copy)]
pub struct Offer {
    pub protobuf: bool,
    pub table: bool,
}

/// The form to answer a resource request in.
pub fn negotiate(headers: &HeaderMap, Offer { protobuf, table }: Offer) -> status::Result<Form> {
    select(header(headers), |clause, format| {
        let form = shape(clause).map(|(shape, version)| Form { format, shape, version })?;
        match (format, form.shape) {
            // Tables have cells of any type, and so no protobuf form.
            (Format::Protobuf, Shape::Table) => None,
            (Format::Protobuf, Shape::Object) if !protobuf => None,
            (_, Shape::Table) if !table => None,
            _ => Some(form),
        }
    })
    .ok_or_else(|| Status::not_acceptable(served(protobuf)))
}

/// As [`negotiate`], for a watch: YAML has no frames.
pub fn negotiate_watch(headers: &HeaderMap, offer: Offer) -> status::Result<Form> {
    const STREAMED: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
    let form = negotiate(headers, offer)?;
    if form.format == Format::Yaml {
        Err(Status::not_acceptable(if offer.protobuf { &STREAMED } else { &STREAMED[..1] }))
    } else {
        Ok(form)
    }
}

/// The format of documents that have one shape only.
pub fn negotiate_plain(headers: &HeaderMap) -> status::Result<Format> {
    plain(header(headers)).ok_or_else(|| Status::not_acceptable(&SERVED))
}

/// The format of failures, by the Accept header: the one asked for, and JSON for those who take none.
pub fn of_failures(accept: Option<&HeaderValue>) -> Format {
    plain(text(accept)).unwrap_or(Format::Json)
}

fn plain(header: &str) -> Option<Format> {
    let plain = |clause: &Clause<'_>, format| (is_unshaped(clause) && streams(clause)).then_some(Form { format, ..PLAIN });
    select(header, plain).map(|form| form.format)
}

fn select(header: &str, form: impl Fn(&Clause<'_>, Format) -> Option<Form>) -> Option<Form> {
    // What nearly all clients send.
    if matches!(header, "" | "application/json" | "*/*") {
        return Some(PLAIN);
    }
    clauses_of(header).iter().find_map(|clause| {
        let mut taken = SERVED.iter().zip(FORMATS).filter(|(media, _)| clause.takes(media));
        taken.find_map(|(_, format)| form(clause, format))
    })
}

fn is_unshaped(clause: &Clause<'_>) -> bool {
    ["as", "g", "v"].iter().all(|name| clause.parameter(name).is_none())
}

fn streams(clause: &Clause<'_>) -> bool {
    clause.parameter("stream").is_none_or(|stream| stream == "watch")
}

fn shape(clause: &Clause<'_>) -> Option<(Shape, MetaVersion)> {
    if !streams(clause) || clause.parameter("sv").is_some_and(|version| version != "v1") {
        return None;
    }
    if is_unshaped(clause) {
        return Some((Shape::Object, MetaVersion::V1));
    }
    if clause.parameter("g") != Some("meta.k8s.io") {
        return None;
    }
    let version = MetaVersion::parse(clause.parameter("v")?)?;
    let shape = match clause.parameter("as")? {
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
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // A parameter without a value makes the whole type one that is not known.
    let is_well_formed = value.split(';').skip(1).all(|parameter| parameter.trim().is_empty() || parameter.contains('='));
    match content_type(headers).to_ascii_lowercase().as_str() {
        "" if value.is_empty() => Ok(Format::Json),
        "application/json" if is_well_formed => Ok(Format::Json),
        "application/yaml" if is_well_formed => Ok(Format::Yaml),
        MEDIA_TYPE if protobuf && is_well_formed => Ok(Format::Protobuf),
        _ => Err(Status::unsupported_media_type(served(protobuf))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALL: Offer = Offer { protobuf: true, table: true };

    fn accept(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn quality_and_exactness_decide() {
        for (header, format) in [
            ("application/json;q=0.1,application/yaml", Format::Yaml),
            ("*/*,application/yaml", Format::Yaml),
            ("*/*;q=0.9,application/yaml;q=0.1", Format::Yaml),
            ("application/vnd.kubernetes.protobuf,application/json", Format::Protobuf),
            ("nonsense,,;,application/yaml", Format::Yaml),
        ] {
            assert_eq!(negotiate(&accept(header), ALL).unwrap().format, format, "{header}");
        }
        assert_eq!(
            negotiate(&accept("application/vnd.kubernetes.protobuf,application/json"), Offer { protobuf: false, ..ALL }).unwrap().format,
            Format::Json
        );
    }

    #[test]
    fn a_clause_that_asks_for_what_is_not_served_is_passed_over() {
        for header in ["application/json;as=Table;g=meta.k8s.io;v=v2", "application/json;g=meta.k8s.io;v=v1", "application/json;stream=x"] {
            assert_eq!(negotiate(&accept(header), ALL).unwrap_err().code, 406, "{header}");
            assert_eq!(negotiate(&accept(&format!("{header},application/yaml")), ALL).unwrap().format, Format::Yaml, "{header}");
        }
    }

    #[test]
    fn a_table_that_is_not_there_is_passed_over() {
        let (offer, table) = (Offer { table: false, ..ALL }, "application/json;as=Table;g=meta.k8s.io;v=v1");
        assert_eq!(negotiate(&accept(table), ALL).unwrap().shape, Shape::Table);
        assert_eq!(negotiate(&accept(table), offer).unwrap_err().code, 406);
        assert_eq!(negotiate(&accept(&format!("{table},application/json")), offer).unwrap().shape, Shape::Object);
    }

    #[test]
    fn routes_take_whole_media_types() {
        assert!(is_routed(&accept("text/html, application/yaml;as=Nothing"), &SERVED));
        assert!(!is_routed(&accept("application/*"), &SERVED));
        assert_eq!(negotiate(&accept("application/*"), ALL).unwrap().format, Format::Json);
    }
}
