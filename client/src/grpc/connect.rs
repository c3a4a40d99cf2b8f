//! How the connection is made: TLS with the kubeconfig's authority and identity, and pings that notice a peer
//! that has vanished.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use runtime::kubeconfig::Connection;
use runtime::tls;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use super::Grpc;
use super::identity::{Identity, bearer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Room for several streams that are not read at the moment.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0:?} is not the URL of a server")]
    Server(String),
    #[error("the token holds characters that cannot be sent")]
    Token,
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// A transport to the server that a kubeconfig names. The connection is made by the first call.
///
/// # Errors
/// A server, token or certificates that cannot be used.
pub fn connect(connection: &Connection, user_agent: &str) -> Result<Grpc, ConnectError> {
    let unusable = || ConnectError::Server(connection.server.clone());
    let uri: Uri = connection.server.trim_end_matches('/').parse().map_err(|_| unusable())?;
    let host = uri.host().ok_or_else(unusable)?.trim_matches(['[', ']']).to_owned();
    let tls = match uri.scheme_str() {
        Some("https") => {
            let name = connection.tls_server_name.clone().unwrap_or_else(|| host.clone());
            Some(Tls { config: config(connection)?, name: ServerName::try_from(name).map_err(|_| unusable())? })
        }
        Some("http") => None,
        _ => return Err(unusable()),
    };
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let dial = Dial { host: host.as_str().into(), port, tls };
    // tonic refuses `https` unless it does TLS itself; requests name the true origin all the same.
    let plain = format!("http://{}", uri.authority().map_or(host.as_str(), |authority| authority.as_str()));
    let endpoint = Endpoint::from_shared(plain)
        .map_err(|_| unusable())?
        .origin(uri)
        .user_agent(user_agent)
        .map_err(|_| unusable())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let dial = dial.clone();
        async move { dial.connect().await.map(TokioIo::new) }
    }));
    Ok(Grpc::new(channel, identity(connection)?))
}

fn identity(connection: &Connection) -> Result<Identity, ConnectError> {
    match &connection.token {
        None => Ok(Identity::Connection),
        Some(token) => bearer(token).map(Identity::Token).ok_or(ConnectError::Token),
    }
}

fn config(connection: &Connection) -> Result<Arc<ClientConfig>, tls::Error> {
    let mut config = Arc::unwrap_or_clone(tls::client(connection.ca.as_deref(), connection.identity.as_ref())?);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Where to connect to, and how.
#[derive(Clone)]
struct Dial {
    host: Arc<str>,
    port: u16,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A connected stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Dial {
    async fn connect(self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        stream.set_nodelay(true)?;
        match self.tls {
            Some(tls) => Ok(Box::new(TlsConnector::from(tls.config).connect(tls.name, stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }
}
