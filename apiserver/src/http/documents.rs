//! Everything that is no resource: discovery, the issuer of tokens, the version, OpenAPI, health and metrics.

use std::sync::Arc;

use arc_swap::Guard;
use http::{HeaderMap, StatusCode};
use machinery::{Status, status};
use runtime::health::Probe;
use serde::Serialize;

use super::accept::{self, Format};
use super::respond::{self, Answer};
use crate::chain::Chain;
use crate::served::Served;

/// Answers a GET of a path that is no resource.
pub async fn serve(chain: &Arc<Chain>, path: &str, query: Option<&str>, headers: &HeaderMap) -> status::Result<Answer> {
    let served = Guard::into_inner(chain.api.served());
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["version"] => Ok(respond::document(&version(), Format::Json)),
        ["healthz" | "livez" | "readyz", ..] => Ok(health(chain, &segments, query)),
        [".well-known", "openid-configuration"] => Ok(issuer(chain).unwrap_or_else(respond::not_found)),
        ["openid", "v1", "jwks"] => Ok(key_set(chain).unwrap_or_else(respond::not_found)),
        ["metrics"] => Ok(respond::text(StatusCode::OK, chain.metrics.encode())),
        ["api"] => discovery(chain, &served, headers, true),
        ["apis"] => discovery(chain, &served, headers, false),
        ["api", version] => group_version(&served, "", version, headers),
        ["apis", group] => {
            let format = accept::negotiate(headers, true)?.format;
            Ok(served
                .discovery()
                .group(group)
                .filter(|_| !group.is_empty())
                .map_or_else(respond::not_found, |g| respond::document(&g, format)))
        }
        ["apis", group, version] => group_version(&served, group, version, headers),
        ["openapi", ..] => Ok(served.openapi().serve(&served, &segments, query, headers).await.unwrap_or_else(respond::not_found)),
        [""] => Ok(index(&served)),
        _ => Ok(respond::not_found()),
    }
}

/// Who issues the tokens of service accounts, as OpenID clients ask for it.
fn issuer(chain: &Chain) -> Option<Answer> {
    let document = chain.api.authenticator().service_accounts()?.discovery(&chain.api.advertised_address())?;
    Some(public(http::HeaderValue::from_static("application/json"), &document))
}

fn key_set(chain: &Chain) -> Option<Answer> {
    let keys = chain.api.authenticator().service_accounts()?.key_set();
    Some(public(http::HeaderValue::from_static("application/jwk-set+json"), &keys))
}

/// A document that changes with the server's keys only.
fn public(media: http::HeaderValue, document: &serde_json::Value) -> Answer {
    let mut answer = respond::body(StatusCode::OK, media, document.to_string());
    answer.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("public, max-age=3600"));
    answer
}

/// `/version`: the Kubernetes version whose API is served.
fn version() -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        major: &'static str,
        minor: &'static str,
        /// The version that is emulated, and the oldest that objects can be read back by: this one.
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
        min_compatibility_minor: "36",
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
    let answer = chain.health.answer(probe, segments.get(1).copied(), query.unwrap_or_default());
    respond::text(answer.code, answer.text)
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
    if wants_aggregated(headers) {
        let json = serde_json::to_vec(&served.discovery().aggregated(core)).map_err(|e| Status::internal(e.to_string()))?;
        let media = http::HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        let mut answer = respond::body(StatusCode::OK, media, json);
        answer.headers_mut().insert(http::header::VARY, http::HeaderValue::from_static("Accept"));
        return Ok(answer);
    }
    let format = legacy_format(headers)?;
    if !core {
        return Ok(respond::document(&served.discovery().group_list(), format));
    }
    let server = Server { client_cidr: "0.0.0.0/0", server_address: chain.api.advertised_address() };
    Ok(respond::document(&Versions { kind: "APIVersions", versions: ["v1"], server_address: [server] }, format))
}

/// Whether the first clause that is served asks for the aggregated document. A version that is not known falls
/// back to the legacy one.
fn wants_aggregated(headers: &HeaderMap) -> bool {
    for clause in accept::clauses(headers) {
        if clause.media != "application/json" {
            continue;
        }
        match clause.parameter("as") {
            None => return false,
            Some("APIGroupDiscoveryList")
                if clause.parameter("g") == Some("apidiscovery.k8s.io") && clause.parameter("v") == Some("v2") =>
            {
                return true;
            }
            Some(_) => {}
        }
    }
    false
}

fn legacy_format(headers: &HeaderMap) -> status::Result<Format> {
    let mut clauses = accept::clauses(headers).filter(|c| !c.media.is_empty()).peekable();
    if clauses.peek().is_none() {
        return Ok(Format::Json);
    }
    for clause in clauses {
        match clause.media {
            "application/json" | "*/*" => return Ok(Format::Json),
            "application/yaml" => return Ok(Format::Yaml),
            _ => {}
        }
    }
    Err(Status::not_acceptable(&accept::SERVED))
}

fn group_version(served: &Served, group: &str, version: &str, headers: &HeaderMap) -> status::Result<Answer> {
    let format = accept::negotiate(headers, true)?.format;
    match served.discovery().resources(group, version) {
        Some(document) => Ok(respond::document(&document, format)),
        // A version that a known group does not have is a Status; an unknown group is plain text.
        None if served.discovery().has_group(group) => Err(Status::path_not_found()),
        None => Ok(respond::not_found()),
    }
}

/// `/`: the paths that are served.
fn index(served: &Served) -> Answer {
    #[derive(Serialize)]
    struct Paths {
        paths: Vec<String>,
    }
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, version) in served.discovery().group_versions().filter(|(g, _)| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.push(format!("/apis/{group}/{version}"));
    }
    paths.extend(["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    paths.sort();
    paths.dedup();
    respond::document(&Paths { paths }, Format::Json)
}
