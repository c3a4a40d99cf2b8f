//! `exec` and `attach` over SPDY: the client opens a stream for each of the program's, and one for how it ended.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, copy};
use tokio::sync::mpsc;

use super::super::remote_command::{Ends, Wanted};
use super::Connection;
use crate::access::Size;

/// A client opens its streams within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest description of a terminal's size.
const LONGEST_SIZE: u64 = 256;

#[derive(Default)]
struct Opened {
    error: Option<DuplexStream>,
    stdin: Option<DuplexStream>,
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
    resize: Option<DuplexStream>,
}

impl Opened {
    fn is_complete(&self, wanted: Wanted) -> bool {
        self.error.is_some()
            && self.stdin.is_some() >= wanted.stdin
            && self.stdout.is_some() >= wanted.stdout
            && self.stderr.is_some() >= (wanted.stderr && !wanted.tty)
            && self.resize.is_some() >= wanted.tty
    }

    async fn take(&mut self, connection: &mut Connection, wanted: Wanted) -> Option<()> {
        while !self.is_complete(wanted) {
            let stream = connection.next().await?;
            let place = match stream.header("streamtype") {
                Some("error") => &mut self.error,
                Some("stdin") => &mut self.stdin,
                Some("stdout") => &mut self.stdout,
                Some("stderr") => &mut self.stderr,
                Some("resize") => &mut self.resize,
                _ => return None,
            };
            *place = Some(stream.io);
        }
        Some(())
    }
}

/// Carries streams until the program or its user ends.
pub async fn carry(mut connection: Connection, wanted: Wanted, ends: Ends) {
    let mut opened = Opened::default();
    if !matches!(tokio::time::timeout(PATIENCE, opened.take(&mut connection, wanted)).await, Ok(Some(()))) {
        return tracing::debug!("a client did not open the streams that it asked for");
    }
    let input = async {
        let sizes = resize(opened.resize, ends.resize);
        tokio::join!(pass(opened.stdin, ends.stdin), sizes);
    };
    let result = ends.result;
    let error = opened.error;
    let output = async {
        tokio::join!(pass(ends.stdout, opened.stdout), pass(ends.stderr, opened.stderr));
        if let (Ok(status), Some(mut error)) = (result.await, error) {
            let _ = error.write_all(&serde_json::to_vec(&status).unwrap_or_default()).await;
            let _ = error.shutdown().await;
        }
    };
    let gone = async { while connection.next().await.is_some() {} };
    // The input alone is no reason to end: it may be over before the output is.
    let input = async {
        input.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = output => {}
        () = gone => {}
        () = input => {}
    }
}

/// Copies one stream into another, and ends that with it.
async fn pass(from: Option<DuplexStream>, to: Option<DuplexStream>) {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        let _ = copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    }
}

/// Sizes of the terminal come as JSON, one after another.
async fn resize(from: Option<DuplexStream>, to: Option<mpsc::Sender<Size>>) {
    let (Some(from), Some(to)) = (from, to) else { return };
    let mut from = BufReader::new(from);
    let mut text = Vec::new();
    loop {
        text.clear();
        match (&mut from).take(LONGEST_SIZE).read_until(b'\n', &mut text).await {
            Ok(1..) => {}
            _ => return,
        }
        if let Ok(size) = serde_json::from_slice(&text) {
            // Of sizes only the last counts; one that finds no place may be lost.
            let _ = to.try_send(size);
        }
    }
}
