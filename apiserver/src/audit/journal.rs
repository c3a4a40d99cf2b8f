//! The way of events into the log: a bounded queue and one thread that writes, as many lines at once as wait. Whoever
//! records in a blocking mode waits until their line is written; in batch mode nobody waits, and what finds the queue
//! full is dropped and counted.
//!
//! Lines that cannot be written (a full disk) are kept, within [`MOST_KEPT_BYTES`], and tried again until they can.

use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use runtime::metrics::Metrics;
use tokio::sync::{mpsc, oneshot};

use super::file::LogFile;

/// Lines are joined up to this size before they are written.
const BATCH_BYTES: usize = 1 << 20;
/// What a failing disk may hold back.
const MOST_KEPT_BYTES: usize = 16 << 20;
/// In batch mode the writer lets lines gather for so long.
const GATHERING: Duration = Duration::from_millis(20);
/// How often lines that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(1);
/// At shutdown the queue has this long to be written.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Whether requests wait for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    Batch,
    Blocking,
    /// And are refused if what they ask for cannot be recorded.
    BlockingStrict,
}

/// Where lines go.
pub enum Output {
    File(LogFile),
    Stdout,
}

impl Output {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(lines),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
        }
    }
}

struct Line {
    text: Vec<u8>,
    written: Option<oneshot::Sender<bool>>,
}

/// The counters, by upstream's names.
#[derive(Clone)]
struct Counters {
    events: Counter,
    errors: Counter,
    rejected: Counter,
}

/// The queue.
pub struct Journal {
    queue: mpsc::Sender<Line>,
    mode: Mode,
    counters: Counters,
}

impl Journal {
    /// Starts to write. `most_waiting`: lines that may wait in the queue.
    ///
    /// # Errors
    /// No thread to write.
    pub fn start(output: Output, mode: Mode, most_waiting: usize, metrics: &Metrics) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(most_waiting.max(1));
        let counters = Counters {
            events: metrics.register("apiserver_audit_event", "Audit events that were made.", Counter::default()),
            errors: metrics.register("apiserver_audit_error", "Audit events that were not recorded.", Counter::default()),
            rejected: metrics.register(
                "apiserver_audit_requests_rejected",
                "Requests that were refused since they could not be recorded.",
                Counter::default(),
            ),
        };
        let writer = Writer { output, waiting, kept: Vec::new(), kept_lines: 0, failing: false, errors: counters.errors.clone() };
        let gather = mode == Mode::Batch;
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(gather))?;
        Ok(Self { queue, mode, counters })
    }

    /// Records a line. False: it could not be, and the request that it is about may not go on.
    pub async fn record(&self, text: Vec<u8>) -> bool {
        if self.mode == Mode::Batch {
            self.leave(text);
            return true;
        }
        self.counters.events.inc();
        let (written, done) = oneshot::channel();
        let sent = self.queue.send(Line { text, written: Some(written) }).await.is_ok();
        let recorded = sent && done.await.unwrap_or(false);
        if !recorded && self.mode == Mode::BlockingStrict {
            self.counters.rejected.inc();
            return false;
        }
        true
    }

    /// Records a line without waiting for it.
    pub fn leave(&self, text: Vec<u8>) {
        self.counters.events.inc();
        if self.queue.try_send(Line { text, written: None }).is_err() {
            self.counters.errors.inc();
        }
    }

    /// Waits until all that was recorded so far is written, or a few seconds.
    pub async fn flush(&self) {
        let (written, done) = oneshot::channel();
        let line = Line { text: Vec::new(), written: Some(written) };
        let flushed = async { self.queue.send(line).await.is_ok() && done.await.is_ok() };
        if !tokio::time::timeout(LAST_WAIT, flushed).await.unwrap_or(false) {
            tracing::warn!("the audit log was not written to its end");
        }
    }
}

struct Writer {
    output: Output,
    waiting: mpsc::Receiver<Line>,
    /// Lines that are not written yet.
    kept: Vec<u8>,
    kept_lines: u64,
    /// The last attempt failed.
    failing: bool,
    errors: Counter,
}

impl Writer {
    fn run(mut self, gather: bool) {
        while let Some(first) = self.next() {
            if gather && first.is_some() {
                thread::sleep(GATHERING);
            }
            let mut told = Vec::new();
            let mut next = first;
            while let Some(line) = next {
                self.keep(line, &mut told);
                next = if self.kept.len() < BATCH_BYTES { self.waiting.try_recv().ok() } else { None };
            }
            let written = self.write();
            for waiter in told {
                // Who no longer waits has gone.
                let _ = waiter.send(written);
            }
        }
    }

    /// The next line, or none if it is time to try again; None once nobody records any more.
    fn next(&mut self) -> Option<Option<Line>> {
        if !self.failing {
            return self.waiting.blocking_recv().map(Some);
        }
        match self.waiting.try_recv() {
            Ok(line) => Some(Some(line)),
            Err(mpsc::error::TryRecvError::Empty) => {
                thread::sleep(RETRY);
                Some(None)
            }
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        }
    }

    fn keep(&mut self, line: Line, told: &mut Vec<oneshot::Sender<bool>>) {
        if self.kept.len() + line.text.len() > MOST_KEPT_BYTES && self.failing {
            self.errors.inc();
            // The sender learns by its waiter's end.
            return;
        }
        self.kept.extend_from_slice(&line.text);
        self.kept_lines += u64::from(!line.text.is_empty());
        told.extend(line.written);
    }

    fn write(&mut self) -> bool {
        if self.kept.is_empty() {
            return true;
        }
        match self.output.append(&self.kept) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::warn!("the audit log is written again");
                }
                self.kept = Vec::new();
                self.kept_lines = 0;
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, lines = self.kept_lines, "the audit log cannot be written");
            }
            Err(_) => {}
        }
        !self.failing
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::super::file::Rotation;
    use super::*;

    fn journal(path: &Path, mode: Mode, most_waiting: usize) -> Journal {
        let never = Rotation { most_bytes: 0, longest: None, most_files: 0, compress: false };
        let output = Output::File(LogFile::open(path, never).unwrap());
        Journal::start(output, mode, most_waiting, &Metrics::default()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_recorded_line_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let blocking = journal(&path, Mode::Blocking, 4);
        let writes = (0..100).map(|i| blocking.record(format!("line {i}\n").into_bytes()));
        assert!(futures::future::join_all(writes).await.into_iter().all(|recorded| recorded));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 100);
        let batch = journal(&path, Mode::Batch, 1000);
        (0..100).for_each(|i| batch.leave(format!("line {i}\n").into_bytes()));
        batch.flush().await;
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 200);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_stops_only_those_who_want_it() {
        let full = Path::new("/dev/full");
        let lenient = journal(full, Mode::Blocking, 4);
        assert!(lenient.record(b"a\n".to_vec()).await);
        let strict = journal(full, Mode::BlockingStrict, 4);
        assert!(!strict.record(b"a\n".to_vec()).await);
        assert_eq!(strict.counters.rejected.get(), 1);
        let batch = journal(full, Mode::Batch, 4);
        for _ in 0..1000 {
            batch.leave(vec![b'a'; 1000]);
        }
        assert_eq!(batch.counters.events.get(), 1000);
        assert!(batch.counters.errors.get() > 900, "what does not fit in the queue is dropped");
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let never = Rotation { most_bytes: 0, longest: None, most_files: 0, compress: false };
        let full = Output::File(LogFile::open(Path::new("/dev/full"), never).unwrap());
        let (_queue, waiting) = mpsc::channel(1);
        let mut writer = Writer { output: full, waiting, kept: Vec::new(), kept_lines: 0, failing: false, errors: Counter::default() };
        let line = |text: &[u8]| Line { text: text.to_vec(), written: None };
        writer.keep(line(b"one\n"), &mut Vec::new());
        assert!(!writer.write() && writer.failing);
        writer.keep(line(b"two\n"), &mut Vec::new());
        writer.keep(line(&vec![b'x'; MOST_KEPT_BYTES]), &mut Vec::new());
        assert_eq!(writer.errors.get(), 1, "a failing disk holds back so much only");
        writer.output = Output::File(LogFile::open(&path, never).unwrap());
        assert!(writer.write() && !writer.failing);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
