//! Identities are made once and used again; a server and a client with them trust each other, and strangers are
//! told apart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use runtime::args::ServingArgs;
use runtime::kubeconfig::{self, Connection};
use runtime::pki::Pki;
use runtime::server::Server;
use runtime::{CancellationToken, Health, Metrics, tls};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn hosts() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

#[test]
fn identities_are_made_once_and_renewed_when_the_wish_changes() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path()).unwrap();
    let server = first.server("apiserver", &hosts()).unwrap();
    let client = first.client("admin", "kubernetes-admin", Some("system:masters")).unwrap();
    let key = first.service_account_key().unwrap();

    let second = Pki::open(dir.path()).unwrap();
    assert_eq!(first.ca(), second.ca());
    assert_eq!(server.certificate, second.server("apiserver", &hosts()).unwrap().certificate);
    assert_eq!(client.certificate, second.client("admin", "kubernetes-admin", Some("system:masters")).unwrap().certificate);
    assert_eq!(key, second.service_account_key().unwrap());
    assert_ne!(server.certificate, second.server("apiserver", &["::1".to_owned()]).unwrap().certificate);
    assert_ne!(client.certificate, second.client("admin", "kubernetes-admin", None).unwrap().certificate);

    for secret in ["ca.key", "apiserver.key", "admin.key", "sa.key"] {
        let mode = std::fs::metadata(second.path(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[test]
fn a_certificate_of_another_authority_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let before = Pki::open(dir.path()).unwrap().server("apiserver", &hosts()).unwrap();
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let after = Pki::open(dir.path()).unwrap().server("apiserver", &hosts()).unwrap();
    assert_ne!(before.certificate, after.certificate);
}

#[test]
fn a_kubeconfig_says_again_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path()).unwrap();
    let path = dir.path().join("kubeconfig");
    let written = Connection {
        server: "https://127.0.0.1:6443".to_owned(),
        ca: Some(pki.ca().as_bytes().to_vec()),
        tls_server_name: None,
        identity: Some(pki.client("admin", "admin", Some("system:masters")).unwrap()),
        token: None,
        namespace: None,
    };
    kubeconfig::write(&path, "kybern", &written).unwrap();
    let read = kubeconfig::read(&path).unwrap();
    assert_eq!(read.server, written.server);
    assert_eq!(read.ca, written.ca);
    assert_eq!(read.identity.unwrap().key, written.identity.unwrap().key);
}

async fn get(address: SocketAddr, config: Arc<rustls::ClientConfig>, path: &str) -> String {
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn health_is_for_everybody_and_metrics_for_known_clients() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path()).unwrap();
    pki.server("scheduler", &hosts()).unwrap();
    let args = ServingArgs {
        bind_address: Ipv4Addr::LOCALHOST.into(),
        tls_cert_file: Some(pki.path("scheduler.crt")),
        tls_private_key_file: Some(pki.path("scheduler.key")),
        client_ca_file: Some(pki.path("ca.crt")),
        // The arguments take 0 for "none"; the system chooses where the default does.
        secure_port: Some(free_port()),
    };
    let server = Server::bind(&args, 10259).await.unwrap().unwrap();
    let address = server.address().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(Health::default(), Metrics::default(), shutdown.clone()));

    let stranger = tls::client(Some(pki.ca().as_bytes()), None).unwrap();
    let identity = pki.client("admin", "admin", Some("system:masters")).unwrap();
    let known = tls::client(Some(pki.ca().as_bytes()), Some(&identity)).unwrap();
    assert!(get(address, stranger.clone(), "/readyz?verbose").await.contains("[+]ping ok\nreadyz check passed"));
    assert!(get(address, stranger.clone(), "/nonsense").await.starts_with("HTTP/1.1 404"));
    assert!(get(address, stranger.clone(), "/metrics").await.starts_with("HTTP/1.1 401"));
    assert!(get(address, known.clone(), "/metrics").await.contains("process_start_time_seconds"));
    assert!(get(address, stranger, "/metrics/slis").await.starts_with("HTTP/1.1 401"));
    assert!(get(address, known, "/metrics/slis").await.contains("kubernetes_healthcheck"));

    shutdown.cancel();
    serving.await.unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
