//! `/exec` and `/attach`: a program's streams, carried over WebSocket or SPDY, whichever the client speaks.

use axum::extract::{FromRequestParts as _, Path, Request, State, WebSocketUpgrade};
use axum::response::Response;
use http::StatusCode;
use machinery::Status;
use machinery::status::{Cause, Details};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};

use super::{PlacePath, Refused, Served, spdy, websocket};
use crate::access::{Place, Size, Streams};

/// What of each stream is on its way between a program and its user.
const BUFFER: usize = 16 << 10;
/// Changes of a terminal's size that wait for the program.
const SIZES: usize = 8;

/// Which of a program's streams a user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// A user's ends of a program's streams.
pub struct Ends {
    pub stdin: Option<DuplexStream>,
    pub stdout: Option<DuplexStream>,
    pub stderr: Option<DuplexStream>,
    pub resize: Option<mpsc::Sender<Size>>,
    /// How it ended; nothing if it was given up.
    pub result: oneshot::Receiver<Status>,
}

enum Command {
    Exec(Vec<String>),
    Attach,
}

pub async fn exec(State(served): State<Served>, Path(place): PlacePath, request: Request) -> Result<Response, Refused> {
    let command: Vec<String> = pairs(&request).filter(|(name, _)| name == "command").map(|(_, word)| word).collect();
    if command.is_empty() {
        return Err(Refused(StatusCode::BAD_REQUEST, "a command must be given".to_owned()));
    }
    serve(&served, place, Command::Exec(command), request).await
}

pub async fn attach(State(served): State<Served>, Path(place): PlacePath, request: Request) -> Result<Response, Refused> {
    serve(&served, place, Command::Attach, request).await
}

async fn serve(served: &Served, place: (String, String, String), command: Command, request: Request) -> Result<Response, Refused> {
    let place = served.place(&place.0, &place.1, &place.2)?;
    if !served.access.is_running(&place) {
        return Err(Refused(StatusCode::NOT_FOUND, format!("container not found ({:?})", place.name())));
    }
    let wanted = Wanted::of(&request);
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return Err(Refused(StatusCode::BAD_REQUEST, "one of input, output and error must be wanted".to_owned()));
    }
    let session = served.admit()?;
    let (mut parts, body) = request.into_parts();
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        let served = served.clone();
        return websocket::accept(upgrade, move |socket, version| async move {
            let (ends, program) = begin(&served, place, command, wanted);
            session.run(async { _ = tokio::join!(websocket::carry(socket, version, ends), program) }).await;
        });
    }
    let request = Request::from_parts(parts, body);
    let (answer, connection) = spdy::accept(request, &spdy::REMOTE_COMMAND)?;
    let served = served.clone();
    tokio::spawn(session.run(async move {
        let Some(connection) = connection.await else { return };
        let (ends, program) = begin(&served, place, command, wanted);
        tokio::join!(spdy::remote_command::carry(connection, wanted, ends), program);
    }));
    Ok(answer)
}

/// The program with the user's ends of its streams.
fn begin(served: &Served, place: Place, command: Command, wanted: Wanted) -> (Ends, impl Future<Output = ()> + Send + use<>) {
    let pipe = |is_wanted: bool| is_wanted.then(|| duplex(BUFFER)).unzip();
    let (stdin, stdin_end) = pipe(wanted.stdin);
    let (stdout, stdout_end) = pipe(wanted.stdout);
    let (stderr, stderr_end) = pipe(wanted.stderr && !wanted.tty);
    let (resize_end, resize) = wanted.tty.then(|| mpsc::channel(SIZES)).unzip();
    let (tell, result) = oneshot::channel();
    let ends = Ends { stdin: stdin_end, stdout: stdout_end, stderr: stderr_end, resize: resize_end, result };
    let streams = Streams { stdin, stdout, stderr, resize, tty: wanted.tty };
    let access = served.access.clone();
    let program = async move {
        let mut tell = tell;
        let running = async {
            match command {
                Command::Exec(command) => access.exec(&place, &command, streams).await,
                Command::Attach => {
                    access.attach(&place, streams).await;
                    0
                }
            }
        };
        tokio::select! {
            code = running => drop(tell.send(status(code))),
            // The user has gone, and nobody waits for the program any more.
            () = tell.closed() => {}
        }
    };
    (ends, program)
}

/// How a program ended, as clients read it.
fn status(code: i32) -> Status {
    if code == 0 {
        return Status { status: "Success".to_owned(), ..Status::default() };
    }
    let cause = Cause { reason: "ExitCode".to_owned(), message: code.to_string(), ..Cause::default() };
    Status {
        status: "Failure".to_owned(),
        reason: "NonZeroExitCode".to_owned(),
        message: format!("command terminated with non-zero exit code: {code}"),
        details: Some(Box::new(Details { causes: vec![cause], ..Details::default() })),
        ..Status::default()
    }
}

impl Wanted {
    fn of(request: &Request) -> Self {
        let mut wanted = Self::default();
        for (name, value) in pairs(request) {
            let set = matches!(value.as_str(), "1" | "true");
            match name.as_str() {
                "input" => wanted.stdin = set,
                "output" => wanted.stdout = set,
                "error" => wanted.stderr = set,
                "tty" => wanted.tty = set,
                _ => {}
            }
        }
        wanted
    }
}

/// The query's parameters.
pub fn pairs(request: &Request) -> impl Iterator<Item = (String, String)> + use<'_> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned()
}
