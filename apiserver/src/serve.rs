//! The port: TLS, HTTP/1.1 and HTTP/2, and both doors behind it. Connections that do not get on with their handshake
//! or their headers are dropped; at shutdown requests are finished and watches ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use runtime::tls::{Clients, Door};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::audit::PeerAddress;
use crate::auth::PeerCertificate;
use crate::chain::Chain;
use crate::{grpc, http as rest};

/// A client has this long for its handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(15);
/// Idle HTTP/2 connections are probed this often; one that does not answer in the same time is closed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests that one HTTP/2 connection may run at once, watches included.
const STREAMS_PER_CONNECTION: u32 = 1_000;
/// At shutdown requests have this long to finish.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves both doors on `listener` until `shutdown`, then drains.
pub async fn serve(listener: TcpListener, tls: Door, chain: Arc<Chain>, shutdown: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls.config);
    let clients = Arc::new(tls.clients);
    let router = rest::router(chain.clone()).merge(grpc::router(chain.clone()));
    let is_audited = chain.api.options().audit.is_some();
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(graceful);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely; trying again at once would spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        tokio::spawn(connection(stream, peer, acceptor.clone(), clients.clone(), is_audited, router.clone(), connections.watcher()));
    }
    drop(listener);
    // They would hold their connections open; the other requests come to an end by themselves.
    chain.api.end_watches();
    let Ok(connections) = Arc::try_unwrap(connections) else { return };
    if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::info!("some requests did not finish in time");
    }
    if let Some(audit) = &chain.api.options().audit {
        audit.flush().await;
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    clients: Arc<Clients>,
    is_audited: bool,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(%address, "a TLS handshake took too long"),
    };
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| {
        let own = chain.first()?;
        let client = if clients.trust(chain) { PeerCertificate::from_der(own) } else { PeerCertificate::Refused };
        Some(if clients.trust_proxy(chain) { PeerCertificate::of_proxy(own, client) } else { client })
    });
    let told = is_audited.then(|| PeerAddress(address.ip().to_canonical()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(address) = told {
            request.extensions_mut().insert(address);
        }
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        router.clone().call(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%address, error, "a connection broke");
    }
}
