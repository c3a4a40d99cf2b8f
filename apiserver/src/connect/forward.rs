//! Passing a request on, and its answer back, as streams: what one side does not read, the other side cannot send. A
//! connection is made for each request. One that is upgraded (SPDY, WebSocket) becomes a tunnel of bytes.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::Status;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{Connector, Destination};

/// A connection, with its TLS handshake, is made within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After both sides have agreed on another protocol, their connections are there within this time.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of an answer is no larger, and has no more headers.
const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_HEADERS: usize = 128;
/// When one side of a tunnel has ended, the other has so long to say its last.
const FAREWELL: Duration = Duration::from_secs(10);

const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];

/// Why a request could not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error("{0} did not answer: {1}")]
    Answer(String, hyper::Error),
    #[error("{0} switched protocols without being asked to")]
    Unasked(String),
    #[error(transparent)]
    Status(#[from] Status),
}

/// How the answers of a proxied server are made to fit the path under which it is seen here.
pub struct Rewrite<'a> {
    /// The path that stands for the server's root, without a slash at its end.
    pub prefix: &'a str,
}

/// Passes a request on to `path` (with its query) and gives the answer back. Ends when `end` says so.
///
/// # Errors
/// A server that cannot be reached or does not speak HTTP. What it answers is no error, whatever it is.
pub async fn forward(
    connector: &Connector,
    destination: &Destination,
    path: Uri,
    mut request: Request<Body>,
    rewrite: Option<Rewrite<'_>>,
    end: &CancellationToken,
) -> Result<Response<Body>, Failure> {
    let authority = destination.authority();
    let wanted = asked_upgrade(request.headers());
    let client = wanted.is_some().then(|| hyper::upgrade::on(&mut request));
    if let Some(rewrite) = &rewrite {
        say_from_where(&mut request, rewrite);
    }
    clean(request.headers_mut());
    without_credentials(request.headers_mut());
    if let Some(wanted) = wanted {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, wanted);
    }
    if let Ok(host) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert(HOST, host);
    }
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = path;
    let stream = connect(connector, destination).await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_HEAD_BYTES).max_headers(MOST_HEADERS);
    let broke = |error| Failure::Answer(authority.clone(), error);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broke)?;
    tokio::spawn(end.clone().run_until_cancelled_owned(connection.with_upgrades()));
    let mut answer = sender.send_request(request).await.map_err(broke)?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = client else { return Err(Failure::Unasked(authority)) };
        let server = hyper::upgrade::on(&mut answer);
        tokio::spawn(end.clone().run_until_cancelled_owned(tunnel(client, server)));
        return Ok(answer.map(|_| Body::empty()));
    }
    clean(answer.headers_mut());
    answer.headers_mut().remove(UPGRADE);
    if let Some(rewrite) = rewrite {
        rewrite_location(answer.headers_mut(), destination, &rewrite);
    }
    // Streams end with the server, so that it need not wait for them.
    let until = end.clone().cancelled_owned();
    Ok(answer.map(|body| Body::from_stream(Body::new(body).into_data_stream().take_until(until))))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(connector: &Connector, destination: &Destination) -> Result<Box<dyn Stream>, Failure> {
    let tls = connector.tls(destination.security)?;
    let failed = |error| Failure::Connect(destination.authority(), error);
    if destination.is_simulated {
        return Err(failed(std::io::ErrorKind::ConnectionRefused.into()));
    }
    let connecting = async {
        let stream = TcpStream::connect((destination.host.as_str(), destination.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Box::new(stream) as Box<dyn Stream>) };
        let name = ServerName::try_from(destination.host.clone()).map_err(std::io::Error::other)?;
        Ok(Box::new(TlsConnector::from(tls).connect(name, stream).await?) as Box<dyn Stream>)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(failed(std::io::ErrorKind::TimedOut.into())),
    }
}

/// The protocol that a client asks to switch to.
pub(crate) fn asked_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let tokens = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let asks = tokens.into_iter().any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// Takes away what is between two neighbours only.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What tells this server who calls is nobody else's business.
fn without_credentials(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    let others: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

/// Says in `X-Forwarded-*` what the client sees.
fn say_from_where(request: &mut Request<Body>, rewrite: &Rewrite<'_>) {
    let host = request.headers().get(HOST).cloned().or_else(|| HeaderValue::from_str(request.uri().authority()?.as_str()).ok());
    let uri = HeaderValue::from_str(rewrite.prefix).ok();
    let proto = Some(HeaderValue::from_static("https"));
    for (name, value) in [("x-forwarded-host", host), ("x-forwarded-uri", uri), ("x-forwarded-proto", proto)] {
        if let Some(value) = value {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// A redirect within the proxied server stays under the path by which it is seen here.
fn rewrite_location(headers: &mut HeaderMap, destination: &Destination, rewrite: &Rewrite<'_>) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let path = match location.parse::<Uri>() {
        Ok(uri)
            if uri
                .authority()
                .is_some_and(|authority| authority.as_str() == destination.authority() || authority.as_str() == destination.host) =>
        {
            uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()
        }
        _ if location.starts_with('/') && !location.starts_with("//") => location.to_owned(),
        _ => return,
    };
    if let Ok(value) = HeaderValue::from_str(&format!("{}{path}", rewrite.prefix)) {
        headers.insert(LOCATION, value);
    }
}

/// Carries bytes between two connections until one of them ends.
async fn tunnel(client: OnUpgrade, server: OnUpgrade) {
    let both = tokio::time::timeout(UPGRADE_TIMEOUT, async { tokio::try_join!(client, server) });
    let (client, server) = match both.await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection could not be upgraded"),
        Err(_) => return tracing::debug!("a connection was not upgraded in time"),
    };
    let ((from_client, to_client), (from_server, to_server)) = (split(TokioIo::new(client)), split(TokioIo::new(server)));
    let (mut up, mut down) = (pin!(carry(from_client, to_server)), pin!(carry(from_server, to_client)));
    tokio::select! {
        () = &mut up => drop(tokio::time::timeout(FAREWELL, down).await),
        () = &mut down => drop(tokio::time::timeout(FAREWELL, up).await),
    }
}

/// Carries bytes one way, to their end.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Security;
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_is_between_neighbours_is_not_passed_on() {
        let mut sent = headers(&[
            ("connection", "keep-alive, x-mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("authorization", "Bearer secret"),
            ("impersonate-user", "ann"),
            ("accept", "*/*"),
        ]);
        clean(&mut sent);
        without_credentials(&mut sent);
        assert_eq!(sent, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_is_asked_for_in_two_headers() {
        assert!(asked_upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "SPDY/3.1")])).is_some());
        assert!(asked_upgrade(&headers(&[("upgrade", "SPDY/3.1")])).is_none());
        assert!(asked_upgrade(&headers(&[("connection", "upgrade")])).is_none());
    }

    #[test]
    fn redirects_stay_under_the_path_of_the_proxy() {
        let destination = Destination { security: Security::Plain, host: "10.1.2.3".into(), port: 8080, is_simulated: false };
        let rewrite = Rewrite { prefix: "/api/v1/namespaces/a/pods/p/proxy" };
        let to = |location: &'static str| {
            let mut sent = headers(&[("location", location)]);
            rewrite_location(&mut sent, &destination, &rewrite);
            sent[LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(to("/login?next=/"), "/api/v1/namespaces/a/pods/p/proxy/login?next=/");
        assert_eq!(to("http://10.1.2.3:8080/x"), "/api/v1/namespaces/a/pods/p/proxy/x");
        for elsewhere in ["https://example.com/x", "//example.com/x", "login"] {
            assert_eq!(to(elsewhere), elsewhere);
        }
    }
}
