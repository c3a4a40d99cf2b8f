//! A plain HTTP/1.1 client over TLS: one connection a client, as upstream's benchmark had it.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where to send requests.
#[derive(Clone)]
pub struct Target {
    address: String,
    host: String,
    authorization: String,
    tls: TlsConnector,
}

/// A connection that sends one request after another.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    target: Target,
    /// The media type that answers are asked for in.
    accept: &'static str,
}

impl Target {
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let uri: hyper::Uri = url.parse().context("--url")?;
        let host = uri.host().context("--url names no host")?.to_owned();
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(443));
        // The measured server is one of our own choosing: its certificate says nothing more.
        let mut config = Arc::unwrap_or_clone(runtime::tls::trusting_client(None)?);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { address, host, authorization: format!("Bearer {token}"), tls: TlsConnector::from(Arc::new(config)) })
    }

    pub async fn connect(&self) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(&self.address).await.with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from(self.host.clone())?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Client { sender, target: self.clone(), accept: "application/json" })
    }
}

impl Client {
    /// Asks for answers in another media type than JSON.
    pub fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    /// Sends a request; the response's head, with its body to be read.
    pub async fn open(
        &mut self,
        method: Method,
        path: &str,
        media: Option<&str>,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.target.address)
            .header("authorization", &self.target.authorization)
            .header("accept", self.accept)
            .header("user-agent", "kybern-perf");
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body.into()))?).await?)
    }

    /// Sends a request and reads the whole answer, which must be a success.
    pub async fn call(&mut self, method: Method, path: &str, media: Option<&str>, body: impl Into<Bytes>) -> anyhow::Result<Bytes> {
        let response = self.open(method, path, media, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(400)]));
        Ok(bytes)
    }
}
