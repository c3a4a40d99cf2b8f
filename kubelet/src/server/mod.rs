//! What a kubelet serves to the API server: logs, programs run in containers, and connections to pods' ports. Only the
//! API server is let in, by its client certificate: it has asked its own callers what they may.

mod logs;
mod port_forward;
mod ports_websocket;
mod remote_command;
mod spdy;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use ::runtime::server::Peer;
use ::runtime::tls::Subject;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Json, Router};
use client::Store;
use http::StatusCode;
use machinery::NamespacedName;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Access, Place};
use crate::pod::Pod;

/// The name by which an API server is known to kubelets, and the group of administrators.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const MASTERS: &str = "system:masters";

/// Programs, attachments and forwarded ports that are served at once.
const MOST_SESSIONS: usize = 1_000;
/// A session ends after this time, as it does upstream after so long without traffic.
const LONGEST_SESSION: Duration = Duration::from_secs(4 * 3600);

/// What requests are answered from.
#[derive(Clone)]
pub struct Served {
    pub pods: Store<Option<Arc<Pod>>>,
    pub access: Arc<dyn Access>,
    pub clock: crate::Clock,
    sessions: Arc<Semaphore>,
}

impl Served {
    pub fn new(pods: Store<Option<Arc<Pod>>>, access: Arc<dyn Access>, clock: crate::Clock) -> Self {
        Self { pods, access, clock, sessions: Arc::new(Semaphore::new(MOST_SESSIONS)) }
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refused> {
        let pod = self.pods.get(&NamespacedName::new(namespace, name)).flatten();
        pod.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("pod does not exist: {namespace}/{name}")))
    }

    fn place(&self, namespace: &str, pod: &str, container: &str) -> Result<Place, Refused> {
        let found = self.pod(namespace, pod)?;
        let index = found.containers.iter().position(|one| one.name == container);
        let missing = || Refused(StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {pod:?}"));
        Ok(Place { container: index.ok_or_else(missing)?, pod: found })
    }

    /// A place for one more session.
    fn admit(&self) -> Result<Session, Refused> {
        let place = self.sessions.clone().try_acquire_owned();
        place.map(Session).map_err(|_| Refused(StatusCode::TOO_MANY_REQUESTS, "the kubelet serves as many sessions as it can".to_owned()))
    }
}

/// The right to serve a program, an attachment or forwarded ports.
struct Session(OwnedSemaphorePermit);

impl Session {
    async fn run(self, session: impl Future<Output = ()>) {
        let _ = tokio::time::timeout(LONGEST_SESSION, session).await;
        drop(self.0);
    }
}

/// Why a request is not served, as text: the API server makes a Status of it.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// The routes, for those who may.
pub fn routes(served: Served) -> Router {
    Router::new()
        .route("/pods", get(pods))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
        .route("/exec/{namespace}/{pod}/{container}", any(remote_command::exec))
        .route("/attach/{namespace}/{pod}/{container}", any(remote_command::attach))
        .route("/portForward/{namespace}/{pod}", any(port_forward::serve))
        .layer(middleware::from_fn(authorize))
        .with_state(served)
}

async fn authorize(Extension(Peer(peer)): Extension<Peer>, request: Request, next: Next) -> Response {
    let Some(subject) = peer.as_ref().and_then(Subject::of) else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    if subject.common_name != API_SERVER && !subject.organizations.iter().any(|group| group == MASTERS) {
        return (StatusCode::FORBIDDEN, format!("Forbidden (user={})", subject.common_name)).into_response();
    }
    next.run(request).await
}

/// The pods of this kubelet, as far as it keeps them.
async fn pods(State(served): State<Served>) -> Json<Value> {
    let pods = served.pods.snapshot();
    let shown = pods.iter().filter_map(|(_, pod)| pod.as_ref()).map(|pod| {
        let containers: Vec<Value> = pod.containers.iter().map(|one| json!({ "name": one.name, "image": one.image })).collect();
        json!({
            "metadata": pod.metadata(),
            "spec": { "nodeName": &*pod.node, "containers": containers },
            "status": { "phase": pod.phase.as_deref().unwrap_or("Pending") },
        })
    });
    Json(json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": shown.collect::<Vec<_>>() }))
}

type PlacePath = Path<(String, String, String)>;
