//! [`Access`]: what users reach of the containers that a [`Runtime`](crate::runtime::Runtime) runs: their logs, programs
//! that are run beside theirs, their input and output, and the ports that they listen on. Unlike a runtime's actions
//! these take as long as users want, run beside each other, and are nothing to the pod state machine.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::pod::Pod;

/// A container of a pod, by its place in [`Pod::containers`].
#[derive(Clone, Debug)]
pub struct Place {
    pub pod: Arc<Pod>,
    pub container: usize,
}

impl Place {
    pub fn name(&self) -> &str {
        &self.pod.containers[self.container].name
    }
}

/// Reaches into containers that run, or ran.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// The lines that a container has written, and those that it writes from now on if the log is followed.
    fn log(&self, place: &Place, wanted: &LogRange) -> Result<BoxStream<'static, Line>, Refusal>;

    /// Whether a container runs now.
    fn is_running(&self, place: &Place) -> bool;

    /// Runs a program in a container until it ends; its exit code. Dropping the future ends the program.
    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> i32;

    /// Connects to the program of a container, until it ends.
    async fn attach(&self, place: &Place, streams: Streams);

    /// Carries a connection to a port of a pod, until one side ends it.
    async fn forward(&self, pod: &Pod, port: u16, connection: DuplexStream) -> std::io::Result<()>;
}

/// Which lines of a log are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    pub previous: bool,
    pub follow: bool,
    pub since: Option<Timestamp>,
    /// So many of the last ones.
    pub tail: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
}

/// A line of a log, with its end if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Timestamp,
    pub source: Source,
    pub text: Bytes,
}

/// Why there is no log to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("container {container:?} in pod {pod:?} is waiting to start: {reason}")]
    Waiting { container: String, pod: String, reason: String },
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious { container: String, pod: String },
}

/// The ends of a program's streams. What is not read stops its writer.
#[derive(Debug, Default)]
pub struct Streams {
    pub stdin: Option<DuplexStream>,
    pub stdout: Option<DuplexStream>,
    pub stderr: Option<DuplexStream>,
    /// The sizes of the terminal, where there is one.
    pub resize: Option<mpsc::Receiver<Size>>,
    pub tty: bool,
}

/// Of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Size {
    pub width: u16,
    pub height: u16,
}
