//! OpenAPI documents, v2 and v3, made from the registry: which is why they cannot disagree with what is served.
//! A document is made when it is first asked for and kept compressed; clients cache them by ETag.

mod everywhere;
mod operation;
mod parameters;
mod paths;
mod protobuf;
mod schemas;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::catalogue;
use crate::http::accept;
use crate::served::Served;

const JSON: &str = "application/json";

/// Which of the two forms of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    V2,
    V3,
}

impl Flavor {
    /// The media type of its protobuf form, and the one that it had before, by which clients still ask.
    fn protobuf(self) -> [&'static str; 2] {
        match self {
            Self::V2 => {
                ["application/com.github.proto-openapi.spec.v2.v1.0+protobuf", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"]
            }
            Self::V3 => {
                ["application/com.github.proto-openapi.spec.v3.v1.0+protobuf", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"]
            }
        }
    }

    fn encode(self, document: &Value) -> Vec<u8> {
        match self {
            Self::V2 => protobuf::v2::encode(document),
            Self::V3 => protobuf::v3::encode(document),
        }
    }

    /// The media type that the client likes best of those that a document has; None where it takes none of them.
    fn negotiate(self, headers: &HeaderMap) -> Option<&'static str> {
        if headers.get(ACCEPT).is_none_or(HeaderValue::is_empty) {
            return Some(JSON);
        }
        let protobuf = self.protobuf();
        accept::clauses(headers).iter().find_map(|clause| {
            let served = if clause.takes(JSON) { JSON } else { protobuf[0] };
            [JSON, protobuf[0], protobuf[1]].iter().any(|media| clause.takes(media)).then_some(served)
        })
    }
}

/// A finished document.
#[derive(Clone)]
struct Document {
    gzip: Bytes,
    etag: String,
}

/// The documents made so far, by path; protobuf forms under names of their own.
pub struct OpenApi {
    made: Mutex<HashMap<String, Document>>,
    /// Of what is served now, for clients' caches.
    id: u64,
}

impl Default for OpenApi {
    fn default() -> Self {
        Self { made: Mutex::default(), id: rand::random() }
    }
}

type Answer = Response<axum::body::Body>;

impl OpenApi {
    /// The documents of built-in groups, which no definition changes, as others have made them already.
    pub fn adopt(&self, others: &Self) {
        let is_built_in = |path: &str| path.strip_prefix("v3/").and_then(|rest| rest.split('/').next()).is_some_and(catalogue::is_built_in);
        let adopted = others
            .made
            .lock()
            .iter()
            .filter(|(path, _)| is_built_in(path))
            .map(|(path, one)| (path.clone(), one.clone()))
            .collect::<Vec<_>>();
        self.made.lock().extend(adopted);
    }

    /// Answers `/openapi/v2`, `/openapi/v3` and below. None: there is no such document.
    pub async fn serve(&self, served: &Arc<Served>, segments: &[&str], query: Option<&str>, headers: &HeaderMap) -> Option<Answer> {
        let flavor = if segments == ["openapi", "v2"] { Flavor::V2 } else { Flavor::V3 };
        let Some(media) = flavor.negotiate(headers).or_else(|| (segments == ["openapi", "v3"]).then_some(JSON)) else {
            let mut refused = Answer::default();
            *refused.status_mut() = StatusCode::NOT_ACCEPTABLE;
            refused.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
            return Some(refused);
        };
        let (name, document) = match segments {
            ["openapi", "v2"] => ("v2".to_owned(), self.document(served, "v2", |one| v2(one).to_string().into_bytes()).await),
            // The index is in one form, whatever is asked for.
            ["openapi", "v3"] => return Some(self.index(served, headers).await),
            ["openapi", "v3", "api", version] => match self.of_group(served, "", version, segments, query).await {
                Ok(named) => named,
                Err(elsewhere) => return Some(elsewhere),
            },
            ["openapi", "v3", "apis", group, version] => match self.of_group(served, group, version, segments, query).await {
                Ok(named) => named,
                Err(elsewhere) => return Some(elsewhere),
            },
            ["openapi", "v3", rest @ ..] => {
                let path = rest.join("/");
                let is_there = document_paths(served).any(|known| known == path);
                let document = if is_there { self.about(served, &path).await } else { None };
                (format!("v3/-/{path}"), document)
            }
            _ => return None,
        };
        let document = match document {
            Some(document) if media != JSON => self.in_protobuf(name, document, flavor).await,
            document => document,
        };
        Some(document.map_or_else(nothing, |document| answer(&document, media, headers, query)))
    }

    /// The document about a group and its name; or what is answered instead, where it is not there or was asked for by an old hash.
    async fn of_group(
        &self,
        served: &Arc<Served>,
        group: &str,
        version: &str,
        segments: &[&str],
        query: Option<&str>,
    ) -> Result<(String, Option<Document>), Answer> {
        if !served.discovery().group_versions().any(|(g, v)| g == group && v == version) {
            return Err(nothing());
        }
        let hash = self.hash(group);
        if let Some(asked) = query.and_then(asked_hash).filter(|asked| *asked != hash) {
            return Err(moved(segments, asked, &hash));
        }
        Ok((format!("v3/{group}/{version}"), self.group_version(served, group, version).await))
    }

    /// By which clients tell whether the document about a group that they have is still the one that is served. What is said
    /// of built-in groups follows from the program alone; of others, it changes whenever a definition does.
    fn hash(&self, group: &str) -> String {
        if catalogue::is_built_in(group) { program_hash() } else { format!("{:016X}", self.id) }
    }

    /// The document about a document of discovery, or of the server's own.
    async fn about(&self, served: &Arc<Served>, path: &str) -> Option<Document> {
        let about = path.to_owned();
        self.document(served, &format!("v3/-/{path}"), move |_| v3_about(&about).to_string().into_bytes()).await
    }

    async fn group_version(&self, served: &Arc<Served>, group: &str, version: &str) -> Option<Document> {
        let (g, v) = (group.to_owned(), version.to_owned());
        self.document(served, &format!("v3/{group}/{version}"), move |one| v3(one, &g, &v).to_string().into_bytes()).await
    }

    /// `/openapi/v3`: where the documents are, with a hash by which clients cache them.
    async fn index(&self, served: &Arc<Served>, headers: &HeaderMap) -> Answer {
        let mut paths = Map::new();
        for (group, version) in served.discovery().group_versions() {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let hash = self.hash(group);
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({ "serverRelativeURL": url }));
        }
        for path in document_paths(served) {
            let url = format!("/openapi/v3/{path}?hash={}", program_hash());
            paths.insert(path, json!({ "serverRelativeURL": url }));
        }
        let document = self.document(served, "v3", move |_| json!({ "paths": paths }).to_string().into_bytes()).await;
        document.map_or_else(Answer::default, |d| answer(&d, JSON, headers, None))
    }

    async fn document(&self, served: &Arc<Served>, name: &str, make: impl FnOnce(&Served) -> Vec<u8> + Send + 'static) -> Option<Document> {
        let served = served.clone();
        self.kept(name.to_owned(), move || Document::of(&make(&served))).await
    }

    /// The protobuf form of a document, which has its ETag: clients tell the two apart by what they asked for.
    async fn in_protobuf(&self, name: String, json: Document, flavor: Flavor) -> Option<Document> {
        let make = move || {
            let document: Value = serde_json::from_slice(&json.plain()).unwrap_or_default();
            Document { gzip: compress(&flavor.encode(&document)), etag: json.etag }
        };
        self.kept(format!("{name}.pb"), make).await
    }

    async fn kept(&self, name: String, make: impl FnOnce() -> Document + Send + 'static) -> Option<Document> {
        if let Some(document) = self.made.lock().get(&name) {
            return Some(document.clone());
        }
        let document = tokio::task::spawn_blocking(make).await.ok()?;
        self.made.lock().insert(name, document.clone());
        Some(document)
    }
}

impl Document {
    fn of(plain: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA512, plain);
        let etag: String = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        Self { gzip: compress(plain), etag: format!("\"{etag}\"") }
    }

    fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        // What this module compressed decompresses.
        let _ = GzDecoder::new(&*self.gzip).read_to_end(&mut plain);
        plain
    }
}

fn program_hash() -> String {
    // A program serves the same documents for its whole life; another build may serve others.
    static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HASH.get_or_init(|| format!("{}-{:08X}", env!("CARGO_PKG_VERSION"), rand::random::<u32>())).clone()
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::default());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default().into()
}

fn asked_hash(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("hash=")).filter(|hash| !hash.is_empty())
}

/// The answer to who asks for a document by a hash that is not its own any more.
fn moved(segments: &[&str], asked: &str, hash: &str) -> Answer {
    tracing::debug!(asked, hash, "a document was asked for by another hash");
    let mut response = Answer::default();
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("/{}?hash={hash}", segments.join("/"))) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn answer(document: &Document, media: &'static str, headers: &HeaderMap, query: Option<&str>) -> Answer {
    let mut response = Response::new(axum::body::Body::empty());
    let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    let kept = if query.is_some_and(|q| q.contains("hash=")) { "public, immutable" } else { "no-cache, private" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    if known == Some(document.etag.as_str()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    let zipped = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"));
    if zipped {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = document.gzip.clone().into();
    } else {
        *response.body_mut() = document.plain().into();
    }
    response
}

/// There is no such document, of which nothing more is said.
fn nothing() -> Answer {
    let mut response = Answer::default();
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The documents of v3 about what is no resource: discovery of built-in groups, the version, the issuer of tokens.
fn document_paths(served: &Served) -> impl Iterator<Item = String> {
    let mut groups: Vec<&str> = served.discovery().group_versions().map(|(group, _)| group).collect();
    groups.dedup();
    let groups = groups.into_iter().filter(|group| !group.is_empty() && catalogue::is_built_in(group)).map(|group| format!("apis/{group}"));
    let others = [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"].map(str::to_owned);
    groups.chain(others)
}

fn info() -> Value {
    json!({ "title": "Kubernetes", "version": "1.36" })
}

fn security() -> Value {
    json!({ "BearerToken": { "type": "apiKey", "description": "A bearer token.", "name": "authorization", "in": "header" } })
}

fn v3_document(paths: Map<String, Value>, schemas: Map<String, Value>) -> Value {
    let mut components = json!({ "securitySchemes": security() });
    if !schemas.is_empty() {
        components["schemas"] = schemas.into();
    }
    json!({ "openapi": "3.0.0", "info": info(), "paths": paths, "components": components })
}

fn v3(served: &Served, group: &str, version: &str) -> Value {
    let mut schemas = schemas::Schemas::new(Flavor::V3, Some((group.to_owned(), version.to_owned())));
    let paths = paths::paths(served.registry(), &mut schemas, |l| l.group == group && l.version == version);
    v3_document(paths, schemas.finish())
}

fn v3_about(path: &str) -> Value {
    let mut schemas = schemas::Schemas::new(Flavor::V3, None);
    let paths = paths::document(&mut schemas, path).into_iter().collect();
    v3_document(paths, schemas.finish())
}

fn v2(served: &Served) -> Value {
    let mut schemas = schemas::Schemas::new(Flavor::V2, None);
    let mut paths = paths::paths(served.registry(), &mut schemas, |_| true);
    paths.extend(document_paths(served).filter_map(|path| paths::document(&mut schemas, &path)));
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": schemas.finish(),
        "securityDefinitions": security(),
        "security": [{ "BearerToken": [] }],
    })
}
