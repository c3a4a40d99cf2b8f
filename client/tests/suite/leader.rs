//! Leader election: one leads, another takes over when the first ends or falls silent.

use std::sync::Arc;
use std::time::Duration;

use client::memory::Memory;
use client::{LeaderElection, Transport};
use machinery::NamespacedName;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

fn stand(
    memory: &Memory,
    name: &'static str,
    stop: CancellationToken,
    leading: mpsc::UnboundedSender<&'static str>,
) -> tokio::task::JoinHandle<bool> {
    let transport: Arc<dyn Transport> = Arc::new(memory.clone());
    let election = LeaderElection::new(NamespacedName::new("kube-system", "test"), name);
    tokio::spawn(async move {
        let led = election.lead(transport, stop, |stop| async move {
            leading.send(name).unwrap();
            stop.cancelled().await;
        });
        led.await.is_ok()
    })
}

#[tokio::test(start_paused = true)]
async fn the_second_leads_when_the_first_gives_the_lease_back() {
    let memory = Memory::default();
    let (sender, mut leading) = mpsc::unbounded_channel();
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let a = stand(&memory, "a", first.clone(), sender.clone());
    assert_eq!(leading.recv().await, Some("a"));
    let b = stand(&memory, "b", second.clone(), sender);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(leading.try_recv().is_err(), "a renews its lease, and b waits");

    let start = Instant::now();
    first.cancel();
    assert!(a.await.unwrap());
    assert_eq!(leading.recv().await, Some("b"));
    assert!(start.elapsed() < Duration::from_secs(6), "b need not wait for the lease to expire");
    second.cancel();
    assert!(b.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_the_lease_runs_out() {
    let memory = Memory::default();
    let (sender, mut leading) = mpsc::unbounded_channel();
    let a = stand(&memory, "a", CancellationToken::new(), sender);
    assert_eq!(leading.recv().await, Some("a"));
    let start = Instant::now();
    memory.fail_writes(usize::MAX);
    assert!(!a.await.unwrap());
    assert!(start.elapsed() < Duration::from_secs(15));
}
