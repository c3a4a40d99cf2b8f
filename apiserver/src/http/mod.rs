//! The HTTP door: the REST API as every Kubernetes client speaks it. Thin: it reads requests, crosses the chain
//! (limits, authentication, authorization), calls a verb, and writes the answer in the form that was asked for.

mod accept;
mod body;
mod connect;
mod documents;
mod gzip;
mod path;
pub(crate) mod query;
mod recorded;
mod resource;
mod respond;
mod table;
mod watch;
mod yaml;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use machinery::{Status, status};

use crate::audit::{Incoming, PeerAddress, Trail};
use crate::auth::authorize::ResourceAccess;
use crate::auth::{Attributes, PeerCertificate};
use crate::chain::{Chain, Wanted};
use crate::verbs::Caller;
use path::{Path, ResourcePath};
use query::Query;
use respond::{AUDIT_ID, Answer};

pub use body::MOST_BYTES as MOST_BODY_BYTES;

/// A request that is no watch and is not passed on is answered within this time, or with 504.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The routes of the HTTP door.
pub fn router(chain: Arc<Chain>) -> axum::Router {
    axum::Router::new().fallback(serve).with_state(chain)
}

async fn serve(State(chain): State<Arc<Chain>>, request: Request) -> Answer {
    let id = Chain::request_id(request.headers());
    let runs_long = connect::runs_long(request.uri().path());
    let accept = request.headers().get(ACCEPT).cloned();
    let mut exchange = Exchange { chain: &chain, id: &id, trail: Trail::default(), runs_long, warning: None };
    let answered =
        if runs_long { Ok(exchange.route(request).await) } else { tokio::time::timeout(REQUEST_TIMEOUT, exchange.route(request)).await };
    let failed = |status: &Status| {
        exchange.trail.answers(status);
        respond::status(status, accept::of_failures(accept.as_ref()))
    };
    let answer = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => failed(&status),
        Err(_) => failed(&Status::timeout("the request took longer than a minute", 0)),
    };
    let warning = exchange.warning;
    let mut answer = recorded::answer(exchange.trail, answer, exchange.runs_long).await;
    if let Some(warning) = warning {
        answer = respond::with_warnings(answer, &[warning.to_owned()]);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(AUDIT_ID, id);
    }
    answer
}

/// A request on its way to its answer.
struct Exchange<'a> {
    chain: &'a Arc<Chain>,
    id: &'a str,
    trail: Trail,
    /// The answer's body may take as long as it likes.
    runs_long: bool,
    warning: Option<&'static str>,
}

impl Exchange<'_> {
    async fn route(&mut self, request: Request) -> status::Result<Answer> {
        let (parts, body) = request.into_parts();
        match path::parse(parts.uri.path()) {
            Some(Path::Resource(found)) => self.resource(found, parts, body).await,
            Some(Path::Other) => self.document(&parts).await,
            Some(Path::Unclear) => {
                self.admit_path(&parts).await?;
                Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error: a watch of nothing\n"))
            }
            None => Ok(respond::not_found()),
        }
    }

    async fn resource(&mut self, found: ResourcePath, parts: Parts, body: Body) -> status::Result<Answer> {
        let chain = self.chain;
        let query = Query::parse(parts.uri.query());
        let verb = path::verb(&parts.method, &found, query.watch());
        let access = ResourceAccess {
            verb,
            group: &found.group,
            resource: &found.resource,
            subresource: found.subresource.as_deref(),
            namespace: &found.namespace,
            name: &found.name,
            field_selector: query.get("fieldSelector").unwrap_or_default(),
        };
        let wanted = Wanted { attributes: Attributes::Resource(access.of_selected()), version: &found.version };
        let caller = self.admit(&parts, &wanted).await?;
        if let Some(action) = connect::action(&found) {
            let passing = connect::Passing { chain, caller: &caller, path: &found, action };
            drop(query);
            return passing.serve(Request::from_parts(parts, body)).await;
        }
        self.runs_long = verb == "watch";
        let call = resource::Call { chain, caller, path: found, verb, query, method: &parts.method, headers: &parts.headers };
        let _running = chain.running(verb).await?;
        Ok(gzip::answer(&parts.headers, call.serve(body).await?))
    }

    async fn document(&mut self, parts: &Parts) -> status::Result<Answer> {
        self.admit_path(parts).await?;
        let answer = documents::serve(self.chain, parts).await?;
        let answer = recorded::document(&self.trail, parts.uri.path(), answer).await;
        Ok(gzip::answer(&parts.headers, answer))
    }

    async fn admit_path(&mut self, parts: &Parts) -> status::Result<Caller> {
        let method = parts.method.as_str().to_ascii_lowercase();
        let attributes = Attributes::Path { verb: &method, path: parts.uri.path() };
        self.admit(parts, &Wanted { attributes, version: "" }).await
    }

    async fn admit(&mut self, parts: &Parts, wanted: &Wanted<'_>) -> status::Result<Caller> {
        let incoming = Incoming {
            id: self.id,
            uri: parts.uri.path_and_query().map_or("/", |uri| uri.as_str()),
            headers: &parts.headers,
            address: parts.extensions.get::<PeerAddress>().map(|address| address.0),
        };
        let peer = parts.extensions.get::<PeerCertificate>();
        let caller = self.chain.admit(&incoming, peer, wanted, &mut self.trail).await?;
        self.warning = caller.warning;
        Ok(caller)
    }
}
