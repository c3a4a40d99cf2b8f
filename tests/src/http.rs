//! A bare HTTP client over mutual TLS, which sends what it is told, right or wrong, a connection for each request.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A TLS connection that reads and writes in the clear.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Longer than any answer takes that does come.
const SILENCE: Duration = Duration::from_secs(60);

/// A way to one server, as the administrator or as nobody.
#[derive(Clone)]
pub struct Http {
    tls: Arc<ClientConfig>,
    port: u16,
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// Lines of the header, in lower case up to the colon.
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reason of a Status; empty otherwise.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    }
}

impl Http {
    /// With the administrator's certificate, or with none.
    pub fn new(pki: &Path, port: u16, admin: bool) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.join("ca.crt")).expect("ca.crt")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots);
        let tls = if admin {
            let certificate = CertificateDer::from_pem_file(pki.join("admin.crt")).expect("admin.crt");
            let key = PrivateKeyDer::from_pem_file(pki.join("admin.key")).expect("admin.key");
            builder.with_client_auth_cert(vec![certificate], key).expect("an identity")
        } else {
            builder.with_no_client_auth()
        };
        Self { tls: Arc::new(tls), port }
    }

    pub fn connect(&self) -> io::Result<Connection> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.set_write_timeout(Some(SILENCE))?;
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let session = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, socket))
    }

    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, "", &[], b"")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.send("POST", path, "application/json", &[], body)
    }

    /// One request. Headers are whole lines.
    pub fn send(&self, method: &str, path: &str, content_type: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: kybern\r\nConnection: close\r\n");
        if !body.is_empty() {
            head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()));
        }
        for header in headers {
            head.push_str(&format!("{header}\r\n"));
        }
        head.push_str("\r\n");
        let mut connection = self.connect()?;
        connection.write_all(head.as_bytes())?;
        // A server that has read enough may answer and close before it has all: its answer counts.
        let sent = connection.write_all(body).and_then(|()| connection.flush());
        read_answer(&mut connection).map_err(|error| sent.err().unwrap_or(error))
    }
}

/// Reads an answer until the server closes.
pub fn read_answer(connection: &mut Connection) -> io::Result<Answer> {
    let mut all = Vec::new();
    match connection.read_to_end(&mut all) {
        Ok(_) => {}
        Err(_) if complete(&all) => {}
        Err(error) => return Err(error),
    }
    parse(&all).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, String::from_utf8_lossy(&all).into_owned()))
}

fn complete(bytes: &[u8]) -> bool {
    parse(bytes).is_some_and(|answer| {
        let length = answer.header("content-length").and_then(|l| l.parse().ok());
        length.is_none_or(|length: usize| answer.body.len() >= length)
    })
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let mut lines = head.lines();
    let code = lines.next()?.split_whitespace().nth(1)?.parse().ok()?;
    let headers: Vec<String> =
        lines.filter_map(|line| line.split_once(':').map(|(name, value)| format!("{}:{value}", name.to_lowercase()))).collect();
    let body = bytes[split + 4..].to_vec();
    let answer = Answer { code, headers, body };
    Some(match answer.header("transfer-encoding") {
        Some("chunked") => Answer { body: dechunk(&answer.body), ..answer },
        _ => answer,
    })
}

/// Joins the chunks that are whole.
pub fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    body
}
