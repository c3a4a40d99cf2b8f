//! What users reach of simulated containers: the log of what they would have written, and the few programs that the
//! simulation understands. Nothing listens on a simulated pod's ports.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::output::Output;
use super::{Shared, exec, later};
use crate::access::{Access, Line, LogRange, Place, Refusal, Source, Streams};
use crate::machine::restart;
use crate::pod::Pod;
use crate::runtime::State;

/// Of older lines nothing is kept, as by a kubelet that rotates logs.
const LINES_KEPT: usize = 100_000;

/// One attempt's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    attempt: u32,
    since: Timestamp,
    until: Option<Timestamp>,
    /// When that may change by itself.
    next_change: Option<Timestamp>,
}

impl Shared {
    /// The life that a log is of.
    fn life(&self, place: &Place, previous: bool) -> Result<Life, Refusal> {
        let now = (self.clock)();
        let waiting = |reason: &str| Refusal::Waiting {
            container: place.name().to_owned(),
            pod: place.pod.name().to_owned(),
            reason: reason.to_owned(),
        };
        let no_previous = || Refusal::NoPrevious { container: place.name().to_owned(), pod: place.pod.name().to_owned() };
        let pods = self.pods.lock();
        let attempt = pods.get(&place.pod.uid).and_then(|playing| playing.containers.get(place.container)).and_then(Option::as_ref);
        let Some(attempt) = attempt else {
            // Of a pod that has ended, its object tells.
            let ended = place.pod.ended.get(place.container).copied().flatten();
            return match ended {
                Some(_) if previous => Err(no_previous()),
                Some((since, until)) => {
                    Ok(Life { attempt: 0, since, until: Some(later(until, SignedDuration::from_secs(1))), next_change: None })
                }
                None => Err(waiting("ContainerCreating")),
            };
        };
        let past = attempt.past.map(|(since, until)| Life {
            attempt: attempt.number.wrapping_sub(1),
            since,
            until: Some(until),
            next_change: None,
        });
        let (state, next_change) = attempt.state(now);
        let life = |since, until| Life { attempt: attempt.number, since, until, next_change };
        match state {
            State::Exited(exit) if previous => {
                let container = &place.pod.containers[place.container];
                let restarts = !place.pod.is_terminal() && restart::wanted(&place.pod, container, exit.code);
                if restarts { Ok(life(exit.since, Some(exit.at))) } else { past.ok_or_else(no_previous) }
            }
            _ if previous => past.ok_or_else(no_previous),
            State::Exited(exit) => Ok(life(exit.since, Some(exit.at))),
            State::Running { since, .. } => Ok(life(since, None)),
            State::Creating => past.ok_or_else(|| waiting("ContainerCreating")),
            State::NoImage { reason, .. } => past.ok_or_else(|| waiting(reason)),
        }
    }
}

/// A log that is being read.
struct Reading {
    shared: Arc<Shared>,
    place: Place,
    output: Output,
    life: Life,
    next: usize,
    previous: bool,
    follow: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Line, Self)> {
        loop {
            // Before looking, so that nothing is missed in between.
            let shared = self.shared.clone();
            let changed = shared.changed.notified();
            let now = (self.shared.clock)();
            if self.follow {
                match self.shared.life(&self.place, self.previous) {
                    Ok(life) if life.attempt == self.life.attempt => self.life = life,
                    // Begun anew, or gone: what was written until now is all.
                    _ => {
                        self.life.until.get_or_insert(now);
                    }
                }
            }
            let said = self.output.line(self.next);
            let at = said.as_ref().map(|said| later(self.life.since, said.after));
            if let (Some(said), Some(at)) = (said, at)
                && at <= self.life.until.unwrap_or(now).min(now)
            {
                self.next += 1;
                return Some((Line { at, source: said.source, text: said.text }, self));
            }
            if !self.follow || self.life.until.is_some() {
                return None;
            }
            match at.into_iter().chain(self.life.next_change).min() {
                Some(wake) => {
                    let pause = wake.duration_since(now).max(SignedDuration::from_millis(1)).unsigned_abs();
                    let _ = tokio::time::timeout(pause, changed).await;
                }
                None => changed.await,
            }
        }
    }
}

#[async_trait]
impl Access for Arc<Shared> {
    fn log(&self, place: &Place, wanted: &LogRange) -> Result<BoxStream<'static, Line>, Refusal> {
        let life = self.life(place, wanted.previous)?;
        let output = Output::of(&place.pod, &place.pod.containers[place.container]);
        let now = (self.clock)();
        let end = life.until.unwrap_or(now).min(now);
        let before = |at: Timestamp| output.count_before(at.duration_since(life.since));
        let written = before(later(end, SignedDuration::from_nanos(1)));
        let since = wanted.since.map_or(0, before);
        let next = since.max(written.saturating_sub(wanted.tail.unwrap_or(LINES_KEPT).min(LINES_KEPT)));
        let reading =
            Reading { shared: self.clone(), place: place.clone(), output, life, next, previous: wanted.previous, follow: wanted.follow };
        Ok(stream::unfold(reading, Reading::next).boxed())
    }

    fn is_running(&self, place: &Place) -> bool {
        self.life(place, false).is_ok_and(|life| life.until.is_none())
    }

    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> i32 {
        exec::run(place, command, streams).await
    }

    async fn attach(&self, place: &Place, mut streams: Streams) {
        let from_now = LogRange { follow: true, tail: Some(0), ..LogRange::default() };
        let Ok(mut lines) = self.log(place, &from_now) else { return };
        while let Some(line) = lines.next().await {
            let stream = if line.source == Source::Stderr && !streams.tty { &mut streams.stderr } else { &mut streams.stdout };
            let Some(stream) = stream else { continue };
            let text = if streams.tty { exec::for_terminal(&line.text) } else { line.text.to_vec() };
            if stream.write_all(&text).await.is_err() {
                return;
            }
        }
    }

    async fn forward(&self, _pod: &Pod, _port: u16, _connection: DuplexStream) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ConnectionRefused.into())
    }
}
