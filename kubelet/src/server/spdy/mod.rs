//! SPDY/3.1, the older way of `kubectl exec` and the way of `kubectl port-forward`: many streams on one connection.
//! Streams are bounded by what is on its way in each; clients of Kubernetes know no flow control beyond that of TCP, so
//! that a stream that is not read holds up those that share its connection, as upstream.

mod frame;
pub mod remote_command;

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Refused;
use frame::{Frame, Reader, Writer};

const PROTOCOL: &str = "SPDY/3.1";
const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// The protocols of `exec` and `attach` on top of SPDY.
pub const REMOTE_COMMAND: [&str; 1] = ["v4.channel.k8s.io"];
/// That of `portForward`.
pub const PORT_FORWARD: [&str; 1] = ["portforward.k8s.io"];

/// Streams that a connection has at once.
const MOST_STREAMS: usize = 256;
/// What of a stream is on its way in either direction.
const BUFFER: usize = 16 << 10;
/// Frames that wait to be written.
const WAITING_FRAMES: usize = 16;
/// Streams that nobody has taken yet.
const WAITING_STREAMS: usize = 16;
/// After its last frame a connection is given so long to be closed by the client.
const FAREWELL: Duration = Duration::from_secs(5);

/// A stream that a client has opened.
pub struct Stream {
    /// With names in lower case.
    pub headers: Vec<(String, String)>,
    pub io: DuplexStream,
}

impl Stream {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A client's connection. Dropping it, after the streams, sends what is left and ends it.
pub struct Connection {
    streams: mpsc::Receiver<Stream>,
    _end: tokio_util::sync::DropGuard,
}

impl Connection {
    /// Serves SPDY on a connection, in the background.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (opened, streams) = mpsc::channel(WAITING_STREAMS);
        let end = CancellationToken::new();
        tokio::spawn(drive(io, opened, end.clone()));
        Self { streams, _end: end.drop_guard() }
    }

    /// The next stream that the client opens; None when it is gone.
    pub async fn next(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }
}

/// Switches to SPDY, if that and one of the protocols is asked for: the answer, and the connection to come.
pub fn accept(
    mut request: Request,
    protocols: &[&'static str],
) -> Result<(Response, impl Future<Output = Option<Connection>> + use<>), Refused> {
    let refused = |why: &str| Refused(StatusCode::BAD_REQUEST, why.to_owned());
    let asked = request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()));
    if !asked {
        return Err(refused("an upgrade to SPDY/3.1 or WebSocket must be asked for"));
    }
    let offered: Vec<&str> = offered(request.headers()).collect();
    let Some(chosen) = protocols.iter().find(|protocol| offered.contains(protocol)) else {
        return Err(Refused(StatusCode::FORBIDDEN, format!("of the protocols {offered:?} none is spoken here; {protocols:?} are")));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    answer.headers_mut().insert(VERSION, HeaderValue::from_static(chosen));
    Ok((answer, async move { upgrade.await.ok().map(|upgraded| Connection::new(TokioIo::new(upgraded))) }))
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(VERSION).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// What is to be written.
enum Outgoing {
    Reply(u32),
    Frame(Bytes),
}

async fn drive(io: impl AsyncRead + AsyncWrite + Send + 'static, opened: mpsc::Sender<Stream>, end: CancellationToken) {
    let (read, write) = split(io);
    let (out, frames) = mpsc::channel(WAITING_FRAMES);
    let mut reading = Reading { frames: Reader::new(read), inputs: HashMap::new(), out, last: 0 };
    let take = async {
        let taken = tokio::select! {
            taken = reading.run(opened) => taken,
            () = end.cancelled() => Ok(()),
        };
        if let Err(error) = taken {
            tracing::debug!(%error, "a SPDY connection ends");
        }
        reading.finish().await
    };
    let ((mut rest, last), mut write) = tokio::join!(take, send(write, frames));
    let _ = write.write_all(&frame::go_away(last)).await;
    let _ = write.shutdown().await;
    // Closing a connection with something unread in it would lose what was written last.
    let _ = tokio::time::timeout(FAREWELL, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Writes frames until nobody has any more.
async fn send<W: AsyncWrite + Unpin>(mut write: W, mut frames: mpsc::Receiver<Outgoing>) -> W {
    let mut writer = Writer::default();
    while let Some(outgoing) = frames.recv().await {
        let frame = match outgoing {
            Outgoing::Reply(stream) => writer.reply(stream),
            Outgoing::Frame(frame) => frame,
        };
        if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
            break;
        }
    }
    write
}

/// The side of a connection that reads.
struct Reading<R> {
    frames: Reader<R>,
    /// The streams that the client still writes to; None for those that it has ended.
    inputs: HashMap<u32, WriteHalf<DuplexStream>>,
    out: mpsc::Sender<Outgoing>,
    last: u32,
}

impl<R: AsyncRead + Unpin> Reading<R> {
    async fn run(&mut self, opened: mpsc::Sender<Stream>) -> Result<(), frame::Error> {
        while let Some(frame) = self.frames.next().await? {
            match frame {
                Frame::Open { stream, headers, fin } => self.open(stream, headers, fin, &opened).await,
                Frame::Data { stream, data, fin } => {
                    // Whoever does not read a stream any more is not sent anything.
                    if let Some(input) = self.inputs.get_mut(&stream)
                        && input.write_all(&data).await.is_err()
                    {
                        self.inputs.remove(&stream);
                    }
                    if fin {
                        self.end(stream).await;
                    }
                }
                Frame::Reset { stream } => self.end(stream).await,
                Frame::Ping { id } => self.say(Outgoing::Frame(frame::ping(id))).await,
                Frame::GoAway | Frame::Other => {}
            }
        }
        Ok(())
    }

    async fn open(&mut self, stream: u32, headers: Vec<(String, String)>, fin: bool, opened: &mpsc::Sender<Stream>) {
        // Clients count up by odd numbers; one that was used before is refused.
        if stream <= self.last || stream.is_multiple_of(2) || self.inputs.len() >= MOST_STREAMS {
            return self.say(Outgoing::Frame(frame::reset(stream))).await;
        }
        self.last = stream;
        let (ours, io) = duplex(BUFFER);
        let (output, input) = split(ours);
        self.say(Outgoing::Reply(stream)).await;
        tokio::spawn(pump(stream, output, self.out.clone()));
        self.inputs.insert(stream, input);
        if fin {
            self.end(stream).await;
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        // Nobody takes it: its other end is dropped, which ends it.
        let _ = opened.send(Stream { headers, io }).await;
    }

    async fn end(&mut self, stream: u32) {
        if let Some(mut input) = self.inputs.remove(&stream) {
            let _ = input.shutdown().await;
        }
    }

    async fn say(&mut self, outgoing: Outgoing) {
        // Where nobody writes any more, reading comes to its end too.
        let _ = self.out.send(outgoing).await;
    }

    /// Ends all streams; what has not been read of the connection, and the last stream.
    async fn finish(mut self) -> (R, u32) {
        for (_, mut input) in self.inputs.drain() {
            let _ = input.shutdown().await;
        }
        (self.frames.into_inner(), self.last)
    }
}

/// Sends what is written to a stream until it is ended.
async fn pump(stream: u32, mut output: ReadHalf<DuplexStream>, out: mpsc::Sender<Outgoing>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = output.read(&mut buffer).await.unwrap_or(0);
        let sent = out.send(Outgoing::Frame(frame::data(stream, &buffer[..count], count == 0))).await;
        if count == 0 || sent.is_err() {
            return;
        }
    }
}
