//! The HTTP door: the REST API as every Kubernetes client speaks it. Thin: it reads requests, crosses the chain
//! (limits, authentication, authorization), calls a verb, and writes the answer in the form that was asked for.

mod accept;
mod body;
mod connect;
mod documents;
mod gzip;
mod path;
pub(crate) mod query;
mod resource;
mod respond;
mod table;
mod watch;
mod yaml;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use http::header::ACCEPT;
use http::{HeaderValue, StatusCode};
use machinery::{Status, status};

use crate::auth::authorize::{self, ResourceAccess};
use crate::auth::{Attributes, PeerCertificate};
use crate::chain::Chain;
use path::Path;
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
    let id = Chain::request_id();
    let accept = request.headers().get(ACCEPT).cloned();
    let answered = if connect::runs_long(request.uri().path()) {
        Ok(route(&chain, request).await)
    } else {
        tokio::time::timeout(REQUEST_TIMEOUT, route(&chain, request)).await
    };
    let mut answer = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => respond::status(&status, accept::of_failures(accept.as_ref())),
        Err(_) => respond::status(&Status::timeout("the request took longer than a minute", 0), accept::of_failures(accept.as_ref())),
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(AUDIT_ID, id);
    }
    answer
}

async fn route(chain: &Arc<Chain>, request: Request) -> status::Result<Answer> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<PeerCertificate>();
    let caller = chain.caller(peer, &parts.headers).await?;
    let Some(path) = path::parse(parts.uri.path()) else {
        return Ok(respond::not_found());
    };
    match path {
        Path::Resource(found) => {
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
            authorize::check(&*chain.authorizer, &caller.user, &Attributes::Resource(access.of_selected()))?;
            if let Some(action) = connect::action(&found) {
                let passing = connect::Passing { chain, caller: &caller, path: &found, action };
                drop(query);
                return passing.serve(Request::from_parts(parts, body)).await;
            }
            let call = resource::Call { chain, caller, path: found, verb, query, method: &parts.method, headers: &parts.headers };
            let _running = chain.running(verb).await?;
            Ok(gzip::answer(&parts.headers, call.serve(body).await?))
        }
        Path::Other => {
            let method = parts.method.as_str().to_ascii_lowercase();
            let attributes = Attributes::Path { verb: &method, path: parts.uri.path() };
            authorize::check(&*chain.authorizer, &caller.user, &attributes)?;
            let answer = documents::serve(chain, &parts).await?;
            Ok(gzip::answer(&parts.headers, answer))
        }
        Path::Unclear => Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error: a watch of nothing\n")),
    }
}
