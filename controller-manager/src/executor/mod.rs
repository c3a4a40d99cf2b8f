//! The executor: takes keys from a controller's queue, asks the controller for a plan, carries it out, and waits until
//! the world shows what was written before the same key is looked at again. All I/O and all clocks are here.

mod metrics;
mod writes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::event::{EventType, NewEvent};
use client::queue::Run;
use client::{EventRecorder, Transport};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::controller::Key;
use crate::feed::{Feed, Subscriber};
use crate::plan::{Note, Verb};

pub use metrics::Metrics;
use writes::Outcome;

/// A key rests for so many times as long as deciding about it took. An object with thousands of pods, all of which
/// change at once, is then looked at a few times a second and not at each change. While it has pods made or deleted, a
/// burst at a time, it does not rest.
const REST: u32 = 20;
const LONGEST_REST: Duration = Duration::from_millis(500);
/// Shorter rests are not worth a timer.
const SHORTEST_REST: Duration = Duration::from_millis(5);

/// What all runs of a controller share.
pub struct Executor {
    pub feed: Arc<Feed>,
    /// How the controller writes: under its own name.
    pub transport: Arc<dyn Transport>,
    /// How everybody asks: under the controller manager's name, who may look at everything.
    pub shared: Arc<dyn Transport>,
    pub recorder: EventRecorder,
    pub metrics: Metrics,
}

impl Executor {
    /// Works on a controller's queue until `shutdown`, on as many keys at a time as `concurrency` says. Returns when
    /// the runs under way have ended.
    pub async fn work(self: Arc<Self>, subscriber: Subscriber, concurrency: usize, shutdown: CancellationToken) {
        let slots = Arc::new(Semaphore::new(concurrency));
        let mut runs = tokio::task::JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(slot) = slots.clone().acquire_owned().await else { break };
            let Some(Some(run)) = shutdown.run_until_cancelled(subscriber.queue.next()).await else { break };
            while runs.try_join_next().is_some() {}
            let executor = self.clone();
            let subscriber = subscriber.clone();
            runs.spawn(async move {
                let rest = executor.run(&subscriber, &run).await;
                drop(slot);
                if rest >= SHORTEST_REST {
                    tokio::time::sleep(rest).await;
                }
                drop(run);
            });
        }
        subscriber.queue.shutdown();
        let _ = tokio::time::timeout(Duration::from_secs(5), async { while runs.join_next().await.is_some() {} }).await;
    }

    /// One look at one key. Returns how long the key is to rest.
    async fn run(&self, subscriber: &Subscriber, run: &Run<Key>) -> Duration {
        let key = run.key();
        let controller = &*subscriber.controller;
        let started = Instant::now();
        let (plan, had_failed) = {
            let world = self.feed.world();
            (controller.reconcile(&world, key, now()), world.failure(controller.name(), key).is_some())
        };
        let deciding = started.elapsed();
        for note in plan.notes {
            self.record(note);
        }
        let mut outcome = Outcome::default();
        let busy = plan.steps.iter().flatten().any(|write| matches!(write.verb, Verb::Create { .. } | Verb::Delete { .. }));
        for step in plan.steps {
            outcome.absorb(self.carry_out(step).await);
            if !outcome.is_clean() {
                break;
            }
        }
        self.feed.wait_for(std::mem::take(&mut outcome.written)).await;
        self.metrics.worked(controller.name(), started.elapsed());
        let failed = outcome.failure.is_some();
        if failed || had_failed {
            self.feed.world_mut().set_failure(controller.name(), key, outcome.failure.take());
        }
        if failed || outcome.refused {
            self.metrics.retried(controller.name());
            subscriber.queue.retry(key.clone());
        } else {
            subscriber.queue.forget(key);
            if had_failed {
                // The failure is still shown: the next look takes it away.
                subscriber.queue.add(key.clone());
            }
        }
        if let Some(again) = plan.again {
            subscriber.queue.add_after(key.clone(), again);
        }
        if busy { Duration::ZERO } else { (deciding * REST).min(LONGEST_REST) }
    }

    fn record(&self, note: Note) {
        self.recorder.record(NewEvent {
            regarding: note.about,
            event_type: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason,
            action: "",
            message: note.message,
        });
    }
}

/// The present, in whole seconds: times in the API have no finer ones, and what is decided by a time that was read
/// back must not differ from what was decided when it was written.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
