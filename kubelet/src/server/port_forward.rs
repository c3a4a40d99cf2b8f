//! `/portForward`: connections to a pod's ports, over SPDY, over SPDY within a WebSocket, or over a WebSocket alone
//! ([`ports_websocket`]). For each connection the client of SPDY opens two streams: one for its bytes, and one on which it
//! is told what went wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{FromRequestParts as _, Path, Request, State, WebSocketUpgrade};
use axum::response::Response;
use bytes::BytesMut;
use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::task::JoinSet;

use super::remote_command::pairs;
use super::spdy::{self, Connection, Stream};
use super::{Refused, Served, ports_websocket, websocket};
use crate::access::Access;
use crate::pod::Pod;

/// SPDY within a WebSocket.
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
/// What of a tunnel is on its way.
const BUFFER: usize = 32 << 10;
/// A client opens the second stream of a connection within this time after the first.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections whose second stream has not come.
const MOST_HALVES: usize = 64;

pub async fn serve(
    State(served): State<Served>,
    Path((namespace, pod)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let pod = served.pod(&namespace, &pod)?;
    let session = served.admit()?;
    let access = served.access.clone();
    let ports = ports_websocket::ports(pairs(&request));
    let (mut parts, body) = request.into_parts();
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        let upgrade = websocket::bounded(upgrade).protocols([TUNNELLED, ports_websocket::PROTOCOL]);
        let refused = |why: String| Err(Refused(StatusCode::BAD_REQUEST, why));
        match upgrade.selected_protocol().map(|protocol| protocol == TUNNELLED) {
            Some(true) => {}
            Some(false) => {
                let Some(ports) = ports else { return refused("the ports must be named".to_owned()) };
                let carry = move |socket| session.run(ports_websocket::carry(socket, ports, pod, access));
                return Ok(upgrade.on_upgrade(carry));
            }
            None => return refused(format!("of WebSocket protocols {TUNNELLED} and {} are spoken here", ports_websocket::PROTOCOL)),
        }
        return Ok(upgrade.on_upgrade(move |socket| {
            session.run(async move {
                let (inner, outer) = duplex(BUFFER);
                tokio::join!(tunnel(socket, outer), forward(Connection::new(inner), pod, access));
            })
        }));
    }
    let (answer, connection) = spdy::accept(Request::from_parts(parts, body), &spdy::PORT_FORWARD)?;
    tokio::spawn(session.run(async move {
        if let Some(connection) = connection.await {
            forward(connection, pod, access).await;
        }
    }));
    Ok(answer)
}

/// Carries bytes between the messages of a WebSocket and a stream.
async fn tunnel(socket: WebSocket, stream: DuplexStream) {
    let (mut sink, mut source) = socket.split();
    let (mut read, mut write) = split(stream);
    let incoming = async {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Binary(data) = message
                && write.write_all(&data).await.is_err()
            {
                break;
            }
        }
        let _ = write.shutdown().await;
    };
    let outgoing = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(BUFFER);
            if read.read_buf(&mut buffer).await.unwrap_or(0) == 0 || sink.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                break;
            }
        }
        let _ = sink.close().await;
    };
    tokio::join!(incoming, outgoing);
}

/// The streams of a connection that have been opened.
#[derive(Default)]
struct Half {
    data: Option<DuplexStream>,
    error: Option<DuplexStream>,
}

/// Serves connections until the client is gone.
async fn forward(mut connection: Connection, pod: Arc<Pod>, access: Arc<dyn Access>) {
    let mut halves: HashMap<String, Half> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, connection.next());
        let stream = tokio::select! {
            stream = next => stream,
            Some(_) = connections.join_next() => continue,
        };
        match stream {
            Ok(Some(stream)) => {
                if let Some((port, both)) = pair(&mut halves, stream) {
                    connections.spawn(connect(pod.clone(), access.clone(), port, both));
                }
            }
            Ok(None) => return,
            // A quiet client is a patient one, but what it has left half open is closed.
            Err(_) => halves.clear(),
        }
    }
}

/// The two streams of a connection, when the second has come, with the port that they are for.
fn pair(halves: &mut HashMap<String, Half>, stream: Stream) -> Option<(u16, (DuplexStream, DuplexStream))> {
    let port: u16 = stream.header("port")?.parse().ok().filter(|port| *port != 0)?;
    let request = stream.header("requestid").unwrap_or_default().to_owned();
    if halves.len() >= MOST_HALVES && !halves.contains_key(&request) {
        return None;
    }
    let kind = stream.header("streamtype")?.to_owned();
    let half = halves.entry(request.clone()).or_default();
    match kind.as_str() {
        "data" => half.data = Some(stream.io),
        "error" => half.error = Some(stream.io),
        _ => return None,
    }
    if half.data.is_none() || half.error.is_none() {
        return None;
    }
    let half = halves.remove(&request)?;
    Some((port, (half.data?, half.error?)))
}

async fn connect(pod: Arc<Pod>, access: Arc<dyn Access>, port: u16, (data, mut error): (DuplexStream, DuplexStream)) {
    if let Err(failure) = access.forward(&pod, port, data).await {
        let what = format!("error forwarding port {port} to pod {}, uid {}: {failure}", pod.name(), pod.uid);
        let _ = error.write_all(what.as_bytes()).await;
    }
    let _ = error.shutdown().await;
}
