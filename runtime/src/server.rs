//! The small server of a service that is no API server: its health, and its metrics for those who may see them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::args::ServingArgs;
use crate::health::{Health, Probe};
use crate::metrics::{self, Metrics};
use crate::pki;
use crate::tls::{self, Identity};

/// More connections than this at once wait.
const MOST_CONNECTIONS: usize = 128;
/// The time that a client has for its handshake, and for its request's head.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Pki(#[from] pki::Error),
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
}

/// A bound port, not yet served.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    /// Metrics are for clients with a verified certificate only.
    guarded: bool,
    more: Option<More>,
}

/// What a service serves besides health and metrics.
#[derive(Clone)]
struct More {
    routes: Router,
    most_connections: usize,
}

/// The verified certificate of a request's connection: an extension of each request to a service's own routes.
#[derive(Clone, Debug)]
pub struct Peer(pub Option<CertificateDer<'static>>);

/// What is served.
#[derive(Clone)]
struct Content {
    health: Health,
    metrics: Option<Metrics>,
    routes: Option<Router>,
}

impl Server {
    /// Binds the port that the arguments name; None where they name none.
    ///
    /// # Errors
    /// A port that is taken; certificates that cannot be used.
    pub async fn bind(args: &ServingArgs, default_port: u16) -> Result<Option<Self>, Error> {
        match args.address(default_port) {
            Some(address) => Self::bind_at(address, args).await.map(Some),
            None => Ok(None),
        }
    }

    /// Binds a port, 0 for any that is free, with the certificates that the arguments name.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub async fn bind_at(address: SocketAddr, args: &ServingArgs) -> Result<Self, Error> {
        let identity = match (&args.tls_cert_file, &args.tls_private_key_file) {
            (Some(certificate), Some(key)) => Identity::read(certificate, key)?,
            _ => pki::self_signed(&["localhost".to_owned(), args.bind_address.to_string()])?,
        };
        let client_ca = match &args.client_ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?),
            None => None,
        };
        let tls = tls::server(&identity, client_ca.as_deref())?;
        let listener = listen(address).await?;
        Ok(Self { listener, tls: Some(TlsAcceptor::from(tls)), guarded: client_ca.is_some(), more: None })
    }

    /// Binds a port without TLS, for health alone or on a loopback address.
    ///
    /// # Errors
    /// A port that is taken.
    pub async fn bind_plain(address: SocketAddr) -> Result<Self, Error> {
        Ok(Self { listener: listen(address).await?, tls: None, guarded: false, more: None })
    }

    /// Binds a port with an identity and an authority of clients that are at hand.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub async fn bind_with(address: SocketAddr, identity: &Identity, client_ca: &[u8]) -> Result<Self, Error> {
        let tls = tls::server(identity, Some(client_ca))?;
        Ok(Self { listener: listen(address).await?, tls: Some(TlsAcceptor::from(tls)), guarded: true, more: None })
    }

    /// Serves these routes too, on up to so many connections. Their requests bring a [`Peer`], and may ask for an upgrade.
    pub fn with_routes(mut self, routes: Router, most_connections: usize) -> Self {
        self.more = Some(More { routes, most_connections });
        self
    }

    /// The address, with the port that the system chose if it was asked to.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, health: Health, metrics: Metrics, shutdown: CancellationToken) {
        let (routes, most_connections) = match self.more {
            Some(more) => (Some(more.routes), more.most_connections),
            None => (None, MOST_CONNECTIONS),
        };
        let open = Arc::new(Semaphore::new(most_connections));
        let content = Content { health, metrics: Some(metrics), routes };
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &open) => accepted,
                () = shutdown.cancelled() => return,
            };
            let Some((stream, permit)) = accepted else { continue };
            let (tls, guarded, content, shutdown) = (self.tls.clone(), self.guarded, content.clone(), shutdown.clone());
            tokio::spawn(async move {
                shutdown.run_until_cancelled(connection(stream, tls, guarded, content)).await;
                drop(permit);
            });
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

async fn accept(listener: &TcpListener, open: &Arc<Semaphore>) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = open.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::debug!(%error, "cannot accept a connection");
            // Out of file descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, guarded: bool, mut content: Content) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return respond(stream, content, Peer(None)).await };
    match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|own| own.clone().into_owned());
            if guarded && peer.is_none() {
                content.metrics = None;
            }
            respond(stream, content, Peer(peer)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => {}
    }
}

async fn respond(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, content: Content, peer: Peer) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let service = TowerToHyperService::new(router(content).layer(Extension(peer)));
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(error, "a connection broke");
    }
}

fn router(mut content: Content) -> Router {
    let routes = content.routes.take().unwrap_or_default();
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/metrics/slis", get(show_slis))
        .route("/{probe}", get(probe_all))
        .route("/{probe}/{check}", get(probe_one))
        .with_state(content)
        .merge(routes)
}

async fn show_metrics(State(content): State<Content>) -> axum::response::Response {
    figures(content.metrics.map(|metrics| metrics.encode()))
}

async fn show_slis(State(content): State<Content>) -> axum::response::Response {
    // They are for whom the metrics are.
    figures(content.metrics.map(|_| content.health.slis()))
}

fn figures(text: Option<String>) -> axum::response::Response {
    match text {
        Some(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        None => (StatusCode::UNAUTHORIZED, "Unauthorized\n").into_response(),
    }
}

async fn probe_all(State(content): State<Content>, Path(probe): Path<String>, RawQuery(query): RawQuery) -> impl IntoResponse {
    answer(&content.health, &probe, None, query)
}

async fn probe_one(
    State(content): State<Content>,
    Path((probe, check)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    answer(&content.health, &probe, Some(&check), query)
}

fn answer(health: &Health, probe: &str, check: Option<&str>, query: Option<String>) -> (StatusCode, String) {
    match Probe::of(probe) {
        Some(probe) => {
            let answer = health.answer(probe, check, &query.unwrap_or_default());
            (answer.code, answer.text)
        }
        None => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    }
}
