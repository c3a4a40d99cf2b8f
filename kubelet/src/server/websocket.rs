//! A program's streams over a WebSocket: each message begins with the number of its stream. Version 5 of the protocol
//! can also say that a stream has ended.

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

use super::Refused;
use super::remote_command::Ends;
use crate::access::Size;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Of version 5: the stream whose number follows has ended.
const CLOSE: u8 = 255;

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

/// Larger messages end the connection.
const MOST_MESSAGE_BYTES: usize = 1 << 20;
/// What is read of a stream at once.
const PIECE: usize = 16 << 10;
/// What a client still sends after the end is taken for so long, since closing a connection with something unread in it
/// loses what was written last; and for no longer than until it has been quiet for a while, for it may be waiting too.
const FAREWELL: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_millis(100);
/// A normal end.
const NORMAL: u16 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V4,
    V5,
}

/// Switches to WebSocket and hands it to `session`.
pub fn accept<S>(upgrade: WebSocketUpgrade, session: impl FnOnce(WebSocket, Version) -> S + Send + 'static) -> Result<Response, Refused>
where
    S: Future<Output = ()> + Send + 'static,
{
    let upgrade = bounded(upgrade).protocols([V5, V4]);
    let version = match upgrade.selected_protocol().and_then(|protocol| protocol.to_str().ok()) {
        Some(V5) => Version::V5,
        Some(V4) => Version::V4,
        _ => return Err(Refused(StatusCode::BAD_REQUEST, format!("of WebSocket protocols {V5} and {V4} are spoken here"))),
    };
    Ok(upgrade.on_upgrade(move |socket| session(socket, version)))
}

/// An upgrade with bounds to what is sent.
pub fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade.max_message_size(MOST_MESSAGE_BYTES).max_frame_size(MOST_MESSAGE_BYTES)
}

/// Carries streams until the program or its user ends.
pub async fn carry(socket: WebSocket, version: Version, ends: Ends) {
    let (mut sink, mut source) = socket.split();
    let Ends { stdin, stdout, stderr, resize, result } = ends;
    let outgoing = async {
        send_output(&mut sink, stdout, stderr).await?;
        let status = result.await.ok()?;
        let status = serde_json::to_vec(&status).unwrap_or_default();
        sink.send(message(ERROR, &status)).await.ok()?;
        sink.send(Message::Close(Some(CloseFrame { code: NORMAL, reason: "".into() }))).await.ok()
    };
    tokio::select! {
        _ = outgoing => {}
        () = take_input(&mut source, version, stdin, resize) => return,
    }
    let rest = async { while let Ok(Some(Ok(_))) = tokio::time::timeout(QUIET, source.next()).await {} };
    let _ = tokio::time::timeout(FAREWELL, rest).await;
}

async fn send_output(
    sink: &mut SplitSink<WebSocket, Message>,
    mut stdout: Option<DuplexStream>,
    mut stderr: Option<DuplexStream>,
) -> Option<()> {
    let (mut out, mut err) = (BytesMut::new(), BytesMut::new());
    loop {
        let (channel, read, stream, buffer) = tokio::select! {
            read = piece(&mut stdout, &mut out), if stdout.is_some() => (STDOUT, read, &mut stdout, &mut out),
            read = piece(&mut stderr, &mut err), if stderr.is_some() => (STDERR, read, &mut stderr, &mut err),
            else => return Some(()),
        };
        if read == 0 {
            *stream = None;
        } else {
            sink.send(message(channel, &buffer.split())).await.ok()?;
        }
    }
}

/// Reads what there is; 0 at the end.
async fn piece(stream: &mut Option<DuplexStream>, buffer: &mut BytesMut) -> usize {
    buffer.reserve(PIECE);
    match stream {
        Some(stream) => stream.read_buf(&mut buffer.limit(PIECE)).await.unwrap_or(0),
        None => 0,
    }
}

/// Takes what the user sends until they are gone. What a program does not read keeps its user waiting.
async fn take_input(
    source: &mut SplitStream<WebSocket>,
    version: Version,
    mut stdin: Option<DuplexStream>,
    resize: Option<mpsc::Sender<Size>>,
) {
    while let Some(Ok(message)) = source.next().await {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        match data.split_first() {
            Some((&STDIN, input)) => {
                if let Some(stream) = &mut stdin
                    && stream.write_all(input).await.is_err()
                {
                    // The program does not read any more.
                    stdin = None;
                }
            }
            Some((&CLOSE, &[STDIN])) if version == Version::V5 => stdin = None,
            Some((&RESIZE, size)) => {
                if let (Some(resize), Ok(size)) = (&resize, serde_json::from_slice(size)) {
                    // Of sizes only the last counts; one that finds no place may be lost.
                    let _ = resize.try_send(size);
                }
            }
            _ => {}
        }
    }
}

/// A message of a channel.
pub fn message(channel: u8, data: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(1 + data.len());
    message.put_u8(channel);
    message.put_slice(data);
    Message::Binary(message.freeze())
}
