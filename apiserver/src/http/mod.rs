//! The HTTP door: the REST API as every Kubernetes client speaks it. Thin: it reads requests, crosses the chain
//! (limits, authentication, authorization), calls a verb, and writes the answer in the form that was asked for.

pub(crate) mod accept;
mod body;
mod connect;
mod delete_body;
mod documents;
mod gzip;
mod path;
mod pretty;
pub(crate) mod query;
mod recorded;
mod resource;
mod respond;
mod table;
mod watch;
mod yaml;
mod zpages;

use std::pin::pin;
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
    let (head, body) = request.into_parts();
    let is_pretty = pretty::is_wanted(&head);
    let patience = head.uri.query().map_or(Ok(REQUEST_TIMEOUT), |query| patience(&Query::parse(Some(query))));
    let request = Request::from_parts(head, body);
    let mut exchange = Exchange { chain: &chain, id: &id, trail: Trail::default(), runs_long, warning: None, is_pretty };
    let answered = {
        // It is large, and stays where it is.
        let route = pin!(exchange.route(request));
        match patience {
            _ if runs_long => Ok(route.await),
            Ok(patience) => tokio::time::timeout(patience, route).await,
            Err(status) => Ok(Err(status)),
        }
    };
    let failed = |status: &Status| {
        exchange.trail.answers(status);
        respond::status(status, accept::of_failures(accept.as_ref()))
    };
    let answer = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) if is_pretty => pretty::answer(failed(&status)).await,
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

/// How long the client waits, if it says so and that is less than this server does.
fn patience(query: &Query<'_>) -> status::Result<Duration> {
    if query.watch() {
        return Ok(REQUEST_TIMEOUT);
    }
    let Some(said) = query.given("timeout") else { return Ok(REQUEST_TIMEOUT) };
    let said = match said.strip_prefix('-') {
        // No time at all is no limit.
        Some(negative) => runtime::args::duration(negative).map(|_| Duration::ZERO),
        None => runtime::args::duration(&said),
    };
    let said = said.map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL: {why}")))?;
    Ok(if said.is_zero() { REQUEST_TIMEOUT } else { said.min(REQUEST_TIMEOUT) })
}

/// A request on its way to its answer.
struct Exchange<'a> {
    chain: &'a Arc<Chain>,
    id: &'a str,
    trail: Trail,
    /// The answer's body may take as long as it likes.
    runs_long: bool,
    warning: Option<&'static str>,
    /// JSON is to be laid out for readers.
    is_pretty: bool,
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
        let mut answer = call.serve(body).await?;
        if self.is_pretty && !self.runs_long {
            answer = pretty::answer(answer).await;
        }
        Ok(gzip::answer(&parts.headers, answer))
    }

    async fn document(&mut self, parts: &Parts) -> status::Result<Answer> {
        self.admit_path(parts).await?;
        let answer = documents::serve(self.chain, parts).await?;
        let mut answer = recorded::document(&self.trail, parts.uri.path(), answer).await;
        if self.is_pretty && documents::is_negotiated(parts.uri.path()) {
            answer = pretty::answer(answer).await;
        }
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
