//! The laws of the work queue, under a clock that the tests move.

use std::time::Duration;

use client::{Backoff, WorkQueue};
use futures::FutureExt;
use tokio::time::Instant;

fn queue() -> WorkQueue<&'static str> {
    WorkQueue::new(Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(4) })
}

#[tokio::test(start_paused = true)]
async fn a_key_runs_once_however_often_it_was_added() {
    let queue = queue();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    assert_eq!(queue.len(), 2);
    assert_eq!(*queue.next().await.unwrap().key(), "a");
    assert_eq!(*queue.next().await.unwrap().key(), "b");
    assert!(queue.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_added_during_its_run_runs_again_after_it() {
    let queue = queue();
    queue.add("a");
    let run = queue.next().await.unwrap();
    queue.add("a");
    assert!(queue.next().now_or_never().is_none(), "never two runs of one key");
    drop(run);
    assert_eq!(*queue.next().await.unwrap().key(), "a");
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_wins() {
    let queue = queue();
    let start = Instant::now();
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(3));
    queue.add_after("a", Duration::from_secs(7));
    let run = queue.next().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 3);
    drop(run);
    assert!(queue.is_empty(), "the later deadlines are gone");
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_until_forgotten() {
    let queue = queue();
    let mut waits = Vec::new();
    for _ in 0..4 {
        queue.retry("a");
        let start = Instant::now();
        drop(queue.next().await.unwrap());
        waits.push(start.elapsed().as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 4]);
    assert_eq!(queue.failures(&"a"), 4);
    queue.forget(&"a");
    assert_eq!(queue.failures(&"a"), 0);
}

#[tokio::test(start_paused = true)]
async fn workers_are_woken_for_earlier_deadlines_and_by_the_end() {
    let queue = queue();
    queue.add_after("late", Duration::from_secs(100));
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await.map(|run| *run.key()) }
    });
    tokio::task::yield_now().await;
    queue.add_after("early", Duration::from_secs(1));
    assert_eq!(waiting.await.unwrap(), Some("early"));

    let idle: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.next().await.is_none() })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.shutdown();
    for worker in idle {
        assert!(worker.await.unwrap());
    }
}
