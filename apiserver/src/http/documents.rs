//! Everything that is no resource: discovery, the issuer of tokens, the version, OpenAPI, health and metrics.

use std::sync::Arc;

use arc_swap::Guard;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use machinery::{GroupResource, Status, status};
use runtime::health::Probe;
use serde::Serialize;

use super::accept::{self, Format};
use super::respond::{self, Answer};
use super::{pretty, zpages};
use crate::chain::Chain;
use crate::served::Served;

/// The media type of the keys that tokens are signed with.
const KEY_SET: &str = "application/jwk-set+json";

/// Answers a request for a path that is no resource. Only what upstream routes as it routes resources minds the method, and
/// may be asked for with a slash at the end.
pub async fn serve(chain: &Arc<Chain>, request: &Parts) -> status::Result<Answer> {
    let (path, query, headers) = (request.uri.path(), request.uri.query(), &request.headers);
    let served = Guard::into_inner(chain.api.served());
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let is_routed = matches!(
        segments.as_slice(),
        ["version" | "api"] | ["api", _] | ["apis", _, _] | [".well-known", "openid-configuration"] | ["openid", "v1", "jwks"]
    );
    if is_routed && request.method != Method::GET {
        return Err(Status::method_not_supported(&GroupResource::new("", ""), request.method.as_str()).without_details());
    }
    let has_more_slashes = path.starts_with("//") || (path.len() > 1 && path.ends_with('/'));
    if has_more_slashes && !is_routed && segments != ["apis"] && !matches!(segments.as_slice(), ["apis", _]) {
        return Ok(respond::not_found());
    }
    match segments.as_slice() {
        ["version"] if !accept::is_routed(headers, &accept::SERVED[..1]) => {
            Err(Status::not_acceptable(&accept::SERVED[..1]).without_details())
        }
        ["version"] => Ok(laid_out(&version())),
        ["healthz" | "livez" | "readyz", ..] => Ok(health(chain, &segments, query)),
        ["statusz"] => zpages::statusz(headers, chain.started),
        ["flagz"] => zpages::flagz(headers),
        [".well-known", "openid-configuration"] if !accept::is_routed(headers, &accept::SERVED[..1]) => {
            Err(Status::not_acceptable(&accept::SERVED[..1]).without_details())
        }
        ["openid", "v1", "jwks"] if !accept::is_routed(headers, &[KEY_SET]) => Err(Status::not_acceptable(&[KEY_SET]).without_details()),
        [".well-known", "openid-configuration"] => Ok(issuer(chain).unwrap_or_else(respond::not_found)),
        ["openid", "v1", "jwks"] => Ok(key_set(chain).unwrap_or_else(respond::not_found)),
        ["metrics"] => Ok(respond::text(StatusCode::OK, chain.metrics.encode())),
        ["metrics", "slis"] => Ok(respond::text(StatusCode::OK, chain.health.slis())),
        ["api"] => discovery(chain, &served, headers, true),
        ["apis"] => discovery(chain, &served, headers, false),
        ["api", version] => group_version(&served, "", version, headers),
        ["apis", group] => {
            let format = accept::negotiate_plain(headers)?;
            Ok(served
                .discovery()
                .group(group)
                .filter(|_| !group.is_empty())
                .map(|known| respond::document(&known, format))
                .or_else(|| Some(respond::document(&chain.api.registered_group(group)?, format)))
                .unwrap_or_else(respond::not_found))
        }
        ["apis", group, version] if !served.discovery().has_group(group) && chain.api.is_elsewhere(group, version) => {
            Ok(respond::elsewhere())
        }
        ["apis", group, version] => group_version(&served, group, version, headers),
        ["openapi", ..] => Ok(served.openapi().serve(&served, &segments, query, headers).await.unwrap_or_else(respond::not_found)),
        ["" | "index.html"] => Ok(index(chain, &served)),
        _ => Ok(respond::not_found()),
    }
}

/// Whether the form of the document at this path is up to the client.
pub fn is_negotiated(path: &str) -> bool {
    path.starts_with("/api")
}

/// A document for readers, whoever asks.
fn laid_out(document: &impl Serialize) -> Answer {
    let json = serde_json::to_vec(document).unwrap_or_default();
    respond::body(StatusCode::OK, HeaderValue::from_static("application/json"), pretty::laid_out(&json.into()))
}

/// Who issues the tokens of service accounts, as OpenID clients ask for it.
fn issuer(chain: &Chain) -> Option<Answer> {
    let document = chain.api.authenticator().service_accounts()?.discovery(&chain.api.advertised_address())?;
    Some(public(HeaderValue::from_static("application/json"), &document))
}

fn key_set(chain: &Chain) -> Option<Answer> {
    let keys = chain.api.authenticator().service_accounts()?.key_set();
    Some(public(HeaderValue::from_static(KEY_SET), &keys))
}

/// A document that changes with the server's keys only.
fn public(media: HeaderValue, document: &serde_json::Value) -> Answer {
    let mut answer = respond::body(StatusCode::OK, media, document.to_string());
    answer.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    answer
}

/// `/version`: the Kubernetes version whose API is served.
fn version() -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        major: &'static str,
        minor: &'static str,
        /// The version that is emulated, which is this one, and the oldest that objects can be read back by.
        emulation_major: &'static str,
        emulation_minor: &'static str,
        min_compatibility_major: &'static str,
        min_compatibility_minor: &'static str,
        git_version: String,
        git_commit: &'static str,
        git_tree_state: &'static str,
        build_date: &'static str,
        go_version: &'static str,
        compiler: &'static str,
        platform: String,
    }
    Version {
        major: "1",
        minor: "36",
        emulation_major: "1",
        emulation_minor: "36",
        min_compatibility_major: "1",
        min_compatibility_minor: "35",
        git_version: format!("v1.36.0+kybern-{}", env!("CARGO_PKG_VERSION")),
        git_commit: "",
        git_tree_state: "",
        build_date: "1970-01-01T00:00:00Z",
        go_version: "",
        compiler: "rustc",
        platform: format!("{}/{}", std::env::consts::OS, if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }),
    }
}

fn health(chain: &Chain, segments: &[&str], query: Option<&str>) -> Answer {
    let Some(probe) = segments.first().and_then(|s| Probe::of(s)) else { return respond::not_found() };
    let name = segments[1..].join("/");
    let answer = chain.health.answer(probe, Some(name.as_str()).filter(|name| !name.is_empty()), query.unwrap_or_default());
    let mut answer = respond::text(answer.code, answer.text);
    answer.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn discovery(chain: &Chain, served: &Served, headers: &HeaderMap, core: bool) -> status::Result<Answer> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Versions {
        kind: &'static str,
        versions: [&'static str; 1],
        #[serde(rename = "serverAddressByClientCIDRs")]
        server_address: [Server; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Server {
        #[serde(rename = "clientCIDR")]
        client_cidr: &'static str,
        server_address: String,
    }
    if let Some((format, media)) = aggregated(headers) {
        return aggregated_answer(&served.discovery().aggregated(core), format, media, headers);
    }
    if core {
        accept::check_routed(headers)?;
    }
    let format = accept::negotiate_plain(headers)?;
    if !core {
        return Ok(respond::document(&served.discovery().group_list(), format));
    }
    let server = Server { client_cidr: "0.0.0.0/0", server_address: chain.api.advertised_address() };
    Ok(respond::document(&Versions { kind: "APIVersions", versions: ["v1"], server_address: [server] }, format))
}

/// The media type of the aggregated document, in the format of the first clause that is served, if that one asks for it.
fn aggregated(headers: &HeaderMap) -> Option<(Format, HeaderValue)> {
    for clause in accept::clauses(headers) {
        let format = match clause {
            ref json if json.takes("application/json") => Format::Json,
            ref yaml if yaml.takes("application/yaml") => Format::Yaml,
            _ => continue,
        };
        match clause.parameter("as") {
            None => return None,
            Some("APIGroupDiscoveryList")
                if clause.parameter("g") == Some("apidiscovery.k8s.io") && clause.parameter("v") == Some("v2") =>
            {
                let media = match format {
                    Format::Yaml => "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                    _ => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                };
                return Some((format, HeaderValue::from_static(media)));
            }
            Some(_) => {}
        }
    }
    None
}

/// The aggregated document, which clients keep by its ETag.
fn aggregated_answer(document: &impl Serialize, format: Format, media: HeaderValue, headers: &HeaderMap) -> status::Result<Answer> {
    let mut answer = respond::document(document, format);
    let json = serde_json::to_vec(document).map_err(|e| Status::internal(e.to_string()))?;
    let digest = ring::digest::digest(&ring::digest::SHA512, &json);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let etag = HeaderValue::from_str(&format!("\"{hex}\"")).map_err(|e| Status::internal(e.to_string()))?;
    if headers.get(http::header::IF_NONE_MATCH) == Some(&etag) {
        answer = Answer::default();
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        answer.headers_mut().insert(http::header::CONTENT_TYPE, media);
    }
    answer.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("public"));
    answer.headers_mut().insert(http::header::ETAG, etag);
    answer.headers_mut().insert(http::header::VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

fn group_version(served: &Served, group: &str, version: &str, headers: &HeaderMap) -> status::Result<Answer> {
    accept::check_routed(headers)?;
    let format = accept::negotiate_plain(headers)?;
    match served.discovery().resources(group, version) {
        Some(document) => Ok(respond::document(&document, format)),
        // A version that a known group does not have is a Status; an unknown group is plain text.
        None if served.discovery().has_group(group) => Err(Status::path_not_found()),
        None => Ok(respond::not_found()),
    }
}

/// `/`: the paths that are served.
fn index(chain: &Chain, served: &Served) -> Answer {
    #[derive(Serialize)]
    struct Paths {
        paths: Vec<String>,
    }
    let mut paths = ["/api", "/api/v1", "/apis", "/apis/"].map(str::to_owned).to_vec();
    for (group, version) in served.discovery().group_versions().filter(|(g, _)| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.push(format!("/apis/{group}/{version}"));
    }
    for (path, probe) in [("/healthz", Probe::Healthz), ("/livez", Probe::Livez), ("/readyz", Probe::Readyz)] {
        paths.push(path.to_owned());
        paths.extend(chain.health.names(probe).into_iter().map(|name| format!("{path}/{name}")));
    }
    if chain.api.authenticator().service_accounts().is_some() {
        paths.extend(["/.well-known/openid-configuration", "/openid/v1/jwks"].map(str::to_owned));
    }
    let others = ["/flagz", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/statusz", "/version"];
    paths.extend(others.map(str::to_owned));
    paths.sort();
    paths.dedup();
    laid_out(&Paths { paths })
}
