//! What is passed on to kubelets, against a kubelet that does what the test says: streams, upgrades, refusals, and
//! kubelets that are away, false, or talk too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apiserver::connect::KubeletAccess;
use runtime::pki::Pki;
use runtime::tls::{self, Subject};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::port::{self, Port};

type Client = client::TlsStream<TcpStream>;
type Kubelet = server::TlsStream<TcpStream>;

struct Cluster {
    port: Port,
}

/// A cluster with the node `n`, whose kubelet is at `port`, and the pod `p` on it.
async fn cluster(kubelet: u16) -> Cluster {
    let kubelets = |pki: &Pki| KubeletAccess {
        ca: Some(pki.ca().as_bytes().to_vec()),
        identity: Some(pki.client("kubelet-client", "kube-apiserver-kubelet-client", None).unwrap()),
        ..KubeletAccess::default()
    };
    let tokens: [(&str, &str, &[&str]); 2] = [("root", "root", &["system:masters"]), ("reader", "reader", &[])];
    let cluster = Cluster { port: port::open(&tokens, kubelets).await };
    let status = json!({ "addresses": [{ "type": "Hostname", "address": "127.0.0.1" }], "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet } } });
    cluster.create("/api/v1/nodes", json!({ "metadata": { "name": "n" }, "status": status })).await;
    cluster.create("/api/v1/namespaces/default/serviceaccounts", json!({ "metadata": { "name": "default" } })).await;
    let spec = json!({ "nodeName": "n", "containers": [{ "name": "main", "image": "a:1" }] });
    cluster.create("/api/v1/namespaces/default/pods", json!({ "metadata": { "name": "p" }, "spec": spec })).await;
    let role = json!({ "metadata": { "name": "reader" }, "rules": [{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"] }] });
    cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", role).await;
    let reader = json!({ "kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io" });
    let role = json!({ "kind": "ClusterRole", "name": "reader", "apiGroup": "rbac.authorization.k8s.io" });
    let binding = json!({ "metadata": { "name": "reader" }, "subjects": [reader], "roleRef": role });
    cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    cluster
}

impl Cluster {
    async fn connect(&self) -> Client {
        let mut config = Arc::unwrap_or_clone(tls::client(Some(self.port.pki.ca().as_bytes()), None).unwrap());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.port.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
    }

    /// Sends a request and reads the head of its answer.
    async fn begin(&self, token: &str, method: &str, path: &str, headers: &str, body: &str) -> (Client, String) {
        let mut stream = self.connect().await;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        (stream, head)
    }

    async fn create(&self, path: &str, object: Value) {
        let (_, head) = self.begin("root", "POST", path, "", &object.to_string()).await;
        assert!(head.contains(" 201 "), "{path}: {head}");
    }

    /// The code and the body of an answer.
    async fn ask(&self, token: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
        let (mut stream, head) = self.begin(token, method, path, &format!("{headers}connection: close\r\n"), "").await;
        let mut body = Vec::new();
        let _ = stream.read_to_end(&mut body).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8_lossy(&body).into_owned())
    }

    async fn status(&self, method: &str, path: &str, headers: &str) -> Value {
        let (code, body) = self.ask("root", method, path, headers).await;
        let (start, end) = (body.find('{').unwrap_or_default(), body.rfind('}').map_or(0, |end| end + 1));
        let status: Value = serde_json::from_str(&body[start..end]).unwrap_or_else(|_| panic!("{code}: {body}"));
        assert_eq!(status["code"], code, "{body}");
        status
    }
}

/// A head of a request or answer, without what follows it.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A place for a kubelet, and what it does with each connection and the head of its request.
async fn place() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn play<F: Future<Output = ()> + Send>(listener: TcpListener, pki: &Pki, script: impl Fn(Kubelet, String) -> F + Send + 'static) {
    let identity = pki.server("kubelet", &["127.0.0.1".to_owned()]).unwrap();
    let acceptor = TlsAcceptor::from(tls::server(&identity, Some(pki.ca().as_bytes())).unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let peer = stream.get_ref().1.peer_certificates().and_then(|chain| Subject::of(&chain[0]));
            assert_eq!(peer.unwrap().common_name, "kube-apiserver-kubelet-client");
            let head = head(&mut stream).await;
            script(stream, head).await;
        }
    });
}

const LOG: &str = "/api/v1/namespaces/default/pods/p/log";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=ls&stdout=true";
const UPGRADE: &str = "connection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n";

async fn say(mut stream: Kubelet, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn logs_are_streamed_as_the_kubelet_gives_them() {
    let (listener, port) = place().await;
    let cluster = cluster(port).await;
    play(listener, &cluster.port.pki, async |stream, head| {
        let asks = head.starts_with("GET /containerLogs/default/p/main?follow=true&tailLines=2 HTTP/1.1\r\n");
        assert!(asks && !head.to_ascii_lowercase().contains("authorization"), "{head}");
        say(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello\n\r\n6\r\nworld\n\r\n0\r\n\r\n").await;
    });
    let (code, body) = cluster.ask("root", "GET", &format!("{LOG}?follow=true&tailLines=2"), "").await;
    assert!(code == 200 && body.contains("hello\n") && body.contains("world\n"), "{body}");
    assert_eq!(cluster.ask("root", "POST", LOG, "").await.0, 405);
    assert_eq!(cluster.ask("reader", "GET", LOG, "").await.0, 403);
    assert_eq!(cluster.status("GET", &format!("{LOG}?tailLines=-1"), "").await["reason"], "Invalid");
    assert_eq!(cluster.status("GET", &format!("{LOG}?container=ghost"), "").await["reason"], "BadRequest");
}

#[tokio::test]
async fn what_a_kubelet_refuses_is_a_status() {
    let (listener, port) = place().await;
    let cluster = cluster(port).await;
    let turn = AtomicUsize::new(0);
    let answers = [
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\nwaiting",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone",
        "HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n",
        "no HTTP at all\r\n\r\n",
        &*format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20)),
    ]
    .map(str::to_owned);
    play(listener, &cluster.port.pki, move |stream, _| {
        let answer = answers[turn.fetch_add(1, Ordering::SeqCst)].clone();
        async move { say(stream, &answer).await }
    });
    let waiting = cluster.status("GET", LOG, "").await;
    assert_eq!((&waiting["reason"], &waiting["message"]), (&json!("BadRequest"), &json!("waiting")));
    assert_eq!(cluster.status("GET", LOG, "").await["reason"], "NotFound");
    for what in ["a redirect", "no HTTP", "a giant head"] {
        assert_eq!(cluster.status("GET", LOG, "").await["code"], 500, "{what}");
    }
}

#[tokio::test]
async fn a_kubelet_that_is_away_or_false_is_an_error_at_once() {
    let (listener, port) = place().await;
    drop(listener);
    let away = cluster(port).await;
    for (method, path, headers) in [("GET", LOG, ""), ("POST", EXEC, UPGRADE)] {
        let status = away.status(method, path, headers).await;
        assert_eq!((&status["code"], status.get("reason")), (&json!(500), None), "{status}");
    }
    assert_eq!(away.status("GET", "/api/v1/nodes/n/proxy/pods", "").await["reason"], "ServiceUnavailable");
    let (listener, port) = place().await;
    let deceived = cluster(port).await;
    let elsewhere = tempfile::tempdir().unwrap();
    play(listener, &Pki::open(elsewhere.path()).unwrap(), async |stream, _| say(stream, "HTTP/1.1 200 OK\r\n\r\n").await);
    let status = deceived.status("GET", LOG, "").await;
    assert!(status["message"].as_str().unwrap().contains("certificate"), "{status}");
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let (listener, port) = place().await;
    let cluster = cluster(port).await;
    play(listener, &cluster.port.pki, async |mut stream, head| {
        let lower = head.to_ascii_lowercase();
        assert!(head.starts_with("POST /exec/default/p/main?output=1&command=ls HTTP/1.1\r\n"), "{head}");
        assert!(lower.contains("upgrade: spdy/3.1") && lower.contains("x-stream-protocol-version: v4.channel.k8s.io"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).await.unwrap();
        word.reverse();
        stream.write_all(&word).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let (mut stream, head) = cluster.begin("root", "POST", EXEC, UPGRADE, "").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.to_ascii_lowercase().contains("v4.channel.k8s.io"), "{head}");
    stream.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"olleh");
    assert_eq!(cluster.status("POST", EXEC, "").await["code"], 400);
    // To read is not to run, though a WebSocket is opened by GET.
    let socket =
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    assert_eq!(cluster.ask("reader", "GET", EXEC, socket).await.0, 403);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_kubelet() {
    let (listener, port) = place().await;
    let cluster = cluster(port).await;
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    play(listener, &cluster.port.pki, move |mut stream, _| {
        let count = count.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let piece = vec![b'x'; 1 << 16];
            // Where nothing has been taken for a while, everything between the two is full.
            while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&piece)).await {
                count.fetch_add(piece.len(), Ordering::SeqCst);
                assert!(count.load(Ordering::SeqCst) < 64 << 20, "somebody takes it all");
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (_stream, head) = cluster.begin("root", "GET", &format!("{LOG}?follow=true"), "", "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let stalled = async {
        while written.load(Ordering::SeqCst).is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), stalled).await.unwrap();
    // Others are served meanwhile.
    assert_eq!(cluster.ask("root", "GET", "/api/v1/nodes", "").await.0, 200);
}

#[tokio::test]
async fn a_nodes_kubelet_can_be_asked_for_anything() {
    let (listener, port) = place().await;
    let cluster = cluster(port).await;
    play(listener, &cluster.port.pki, async |stream, head| {
        assert!(head.starts_with("GET /a%2Fb//c?x=1&y=%20 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("x-forwarded-uri: /api/v1/nodes/n/proxy\r\n"), "{head}");
        say(stream, "HTTP/1.1 307 Moved\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").await;
    });
    let (_, head) = cluster.begin("root", "GET", "/api/v1/nodes/n/proxy/a%2Fb//c?x=1&y=%20", "connection: close\r\n", "").await;
    assert!(head.starts_with("HTTP/1.1 307 ") && head.contains("location: /api/v1/nodes/n/proxy/elsewhere\r\n"), "{head}");
    let (_, head) = cluster.begin("root", "GET", "/api/v1/nodes/n/proxy?x=1", "connection: close\r\n", "").await;
    assert!(head.starts_with("HTTP/1.1 301 ") && head.contains("location: /api/v1/nodes/n/proxy/?x=1\r\n"), "{head}");
    // Not to this host's own ports.
    assert_eq!(cluster.status("GET", "/api/v1/nodes/n:22/proxy/", "").await["reason"], "BadRequest");
    assert_eq!(cluster.status("GET", "/api/v1/nodes/ghost/proxy/", "").await["reason"], "NotFound");
}
