//! The kubelet's port: who is let in, and logs, programs, attachments and ports over WebSocket and SPDY, with clients
//! that behave and clients that do not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use client::Api;
use client::memory::Memory;
use futures::{SinkExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kubelet::{Options, Serving};
use machinery::GroupVersionResource;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::{CancellationToken, DropGuard};

type Stream = TlsStream<TcpStream>;

struct Kubelet {
    pki: runtime::pki::Pki,
    address: std::net::SocketAddr,
    _directory: tempfile::TempDir,
    _stop: DropGuard,
}

/// A kubelet with a running pod `p`, whose container `main` has written two lines.
async fn kubelet() -> Kubelet {
    let directory = tempfile::tempdir().unwrap();
    let pki = runtime::pki::Pki::open(directory.path()).unwrap();
    let identity = pki.server("kubelet", &["127.0.0.1".to_owned()]).unwrap();
    let server = runtime::server::Server::bind_with("127.0.0.1:0".parse().unwrap(), &identity, pki.ca().as_bytes()).await.unwrap();
    let address = server.address().unwrap();
    let serving = Serving { server, health: runtime::Health::default(), metrics: runtime::Metrics::default() };
    let memory = Memory::default();
    let stop = CancellationToken::new();
    tokio::spawn(kubelet::run(Arc::new(memory.clone()), Options::simulated(["n".to_owned()]), Some(serving), stop.clone()));
    let resource = |name: &'static str| GroupVersionResource::new("", "v1", name);
    let node = memory.wait_for(&resource("nodes"), "n", |_| true).await;
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], address.port());
    assert_eq!(node["status"]["addresses"][1], json!({ "type": "Hostname", "address": "127.0.0.1" }));
    let command = ["sh", "-c", "echo one; echo two >&2; sleep infinity"];
    let pod = json!({
        "metadata": { "name": "p", "namespace": "shop" },
        "spec": { "nodeName": "n", "containers": [{ "name": "main", "image": "a:1", "command": command }] },
    });
    Api::<Pod>::new(Arc::new(memory.clone()), "test").create(serde_json::from_value(pod).unwrap()).await.unwrap();
    memory.wait_for(&resource("pods"), "p", |pod| pod["status"]["phase"] == "Running").await;
    Kubelet { pki, address, _directory: directory, _stop: stop.drop_guard() }
}

impl Kubelet {
    /// A connection as somebody; as nobody without a name.
    async fn connect(&self, name: Option<&str>) -> Stream {
        let identity = name.map(|name| self.pki.client(name, name, None).unwrap());
        let mut config = Arc::unwrap_or_clone(runtime::tls::client(Some(self.pki.ca().as_bytes()), identity.as_ref()).unwrap());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
    }

    async fn server(&self) -> Stream {
        self.connect(Some("kube-apiserver-kubelet-client")).await
    }

    async fn get(&self, name: Option<&str>, path: &str) -> (u16, String) {
        let mut stream = self.connect(name).await;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn log(&self, query: &str) -> String {
        let (code, body) = self.get(Some("kube-apiserver-kubelet-client"), &format!("/containerLogs/shop/p/main?{query}")).await;
        assert_eq!(code, 200, "{body}");
        body
    }

    async fn socket(&self, path: &str, protocol: &'static str) -> WebSocketStream<Stream> {
        let mut request = format!("wss://127.0.0.1{path}").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let (socket, answer) = client_async(request, self.server().await).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], protocol);
        socket
    }

    /// A connection that has been switched to SPDY.
    async fn spdy(&self, path: &str, protocol: &str) -> Stream {
        let mut stream = self.server().await;
        let upgrade = format!("connection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: {protocol}\r\n");
        stream.write_all(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{upgrade}content-length: 0\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        stream
    }
}

/// What came on each channel until the connection ended.
async fn rest(socket: &mut WebSocketStream<Stream>) -> [Vec<u8>; 4] {
    let mut channels: [Vec<u8>; 4] = Default::default();
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(data) = message {
                channels[usize::from(data[0])].extend(&data[1..]);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("the end of the connection");
    channels
}

async fn ends(stream: &mut Stream) -> Vec<u8> {
    let mut left = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut left));
    let _ = reading.await.expect("the end of the connection");
    left
}

fn binary(channel: u8, data: &[u8]) -> Message {
    Message::Binary([&[channel], data].concat().into())
}

#[tokio::test]
async fn only_the_api_server_is_let_in() {
    let kubelet = kubelet().await;
    for path in ["/pods", "/containerLogs/shop/p/main", "/exec/shop/p/main?command=ls&output=1", "/portForward/shop/p"] {
        assert_eq!(kubelet.get(None, path).await.0, 401, "{path}");
        assert_eq!(kubelet.get(Some("system:node:n"), path).await.0, 403, "{path}");
    }
    let (code, body) = kubelet.get(Some("kube-apiserver-kubelet-client"), "/pods").await;
    assert!(code == 200 && body.contains("\"name\":\"p\""), "{body}");
    assert_eq!(kubelet.get(None, "/healthz").await.0, 200);
}

#[tokio::test]
async fn logs_are_cut_to_what_is_wanted() {
    let kubelet = kubelet().await;
    assert_eq!(kubelet.log("").await, "one\ntwo\n");
    assert_eq!(kubelet.log("tailLines=1").await, "two\n");
    assert_eq!(kubelet.log("tailLines=0").await, "");
    assert_eq!(kubelet.log("limitBytes=6").await, "one\ntw");
    assert_eq!(kubelet.log("stream=Stderr").await, "two\n");
    assert_eq!(kubelet.log("sinceTime=2999-01-01T00:00:00Z").await, "");
    assert!(kubelet.log("timestamps=true").await.lines().all(|line| line.as_bytes()[10] == b'T' && line.contains("Z ")));
    let server = Some("kube-apiserver-kubelet-client");
    for (code, path) in
        [(404, "shop/p/ghost"), (404, "shop/ghost/main"), (400, "shop/p/main?previous=true"), (400, "shop/p/main?tailLines=x")]
    {
        assert_eq!(kubelet.get(server, &format!("/containerLogs/{path}")).await.0, code, "{path}");
    }
}

#[tokio::test]
async fn programs_run_over_websocket() {
    let kubelet = kubelet().await;
    let mut socket = kubelet
        .socket("/exec/shop/p/main?command=sh&command=-c&command=echo+a%3B+echo+b+%3E%262%3B+exit+7&output=1&error=1", "v4.channel.k8s.io")
        .await;
    let [_, out, err, status] = rest(&mut socket).await;
    assert_eq!((&*out, &*err), (&b"a\n"[..], &b"b\n"[..]));
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!((&status["reason"], &status["details"]["causes"][0]["message"]), (&json!("NonZeroExitCode"), &json!("7")));

    let mut socket = kubelet.socket("/exec/shop/p/main?command=cat&input=1&output=1", "v5.channel.k8s.io").await;
    socket.send(binary(0, b"hello ")).await.unwrap();
    socket.send(binary(4, b"{\"Width\":80,\"Height\":24}")).await.unwrap();
    socket.send(binary(0, b"world")).await.unwrap();
    // The end of the input, which only version 5 can say.
    socket.send(binary(255, &[0])).await.unwrap();
    let [_, out, _, status] = rest(&mut socket).await;
    assert_eq!(out, b"hello world");
    assert_eq!(serde_json::from_slice::<Value>(&status).unwrap()["status"], "Success");
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let kubelet = kubelet().await;
    let cat = "/exec/shop/p/main?command=cat&input=1&output=1";
    let mut witness = kubelet.socket(cat, "v5.channel.k8s.io").await;
    // Unknown channels and empty messages mean nothing.
    let mut socket = kubelet.socket(cat, "v5.channel.k8s.io").await;
    for message in
        [binary(9, b"?"), Message::Binary(Vec::new().into()), binary(4, b"no size"), Message::Text("\u{0}x".into()), binary(255, &[0])]
    {
        socket.send(message).await.unwrap();
    }
    assert_eq!(rest(&mut socket).await[1], b"x");
    // A giant message, and bytes that are no WebSocket.
    let mut socket = kubelet.socket(cat, "v5.channel.k8s.io").await;
    let _ = socket.send(binary(0, &vec![0; 2 << 20])).await;
    assert_eq!(rest(&mut socket).await[1], b"");
    let mut socket = kubelet.socket(cat, "v5.channel.k8s.io").await;
    socket.get_mut().write_all(&[0xff; 64]).await.unwrap();
    ends(socket.get_mut()).await;
    // SPDY that is none, a frame of 16 MiB, headers that do not unpack, and a client that leaves in the middle of a frame.
    let frames: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
        &[0x80, 3, 0, 1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x78, 0x9c, 0xff, 0xff],
        &[0, 0, 0, 1, 0, 0, 0, 200, 1, 2, 3],
    ];
    for frame in frames {
        let mut stream = kubelet.spdy(cat, "v4.channel.k8s.io").await;
        stream.write_all(frame).await.unwrap();
        stream.shutdown().await.unwrap();
        ends(&mut stream).await;
        let mut stream = kubelet.spdy("/portForward/shop/p", "portforward.k8s.io").await;
        stream.write_all(frame).await.unwrap();
        stream.shutdown().await.unwrap();
        ends(&mut stream).await;
    }
    witness.send(binary(0, b"still here")).await.unwrap();
    witness.send(binary(255, &[0])).await.unwrap();
    assert_eq!(rest(&mut witness).await[1], b"still here");
}

#[tokio::test]
async fn ports_are_forwarded_over_a_websocket_alone() {
    let kubelet = kubelet().await;
    let mut socket = kubelet.socket("/portForward/shop/p?port=80", "v4.channel.k8s.io").await;
    let [data, error, ..] = rest(&mut socket).await;
    assert_eq!((&*data, &error[..2]), (&[80, 0][..], &[80, 0][..]));
    assert!(String::from_utf8_lossy(&error[2..]).contains("connection refused"));
}

#[tokio::test]
async fn what_is_not_spoken_is_refused_before_anything_is_switched() {
    let kubelet = kubelet().await;
    let server = Some("kube-apiserver-kubelet-client");
    let exec = "/exec/shop/p/main?command=ls&output=1";
    for (code, path) in [
        (400, exec),
        (400, "/exec/shop/p/main?output=1"),
        (400, "/exec/shop/p/main?command=ls"),
        (404, "/exec/shop/p/ghost?command=ls&output=1"),
    ] {
        assert_eq!(kubelet.get(server, path).await.0, code, "{path}");
    }
    let mut request = format!("wss://127.0.0.1{exec}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "v9.channel.k8s.io".parse().unwrap());
    assert!(client_async(request, kubelet.server().await).await.is_err());
}
