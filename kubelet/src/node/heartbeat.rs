//! Registration and heartbeats of nodes, of one or of thousands: each node's Lease every ten seconds, its status
//! every five minutes or when the object no longer says what was reported. The beats of many nodes are spread
//! over the time between them.

use std::sync::Arc;
use std::time::Duration;

use client::transport::Patch;
use client::{Api, Backoff, Store, Transport, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use machinery::{NamespacedName, Status};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::object::Description;
use crate::Clock;
use crate::machine::admission::NodeFacts;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(7) };
/// Beats under way at once.
const WORKERS: usize = 16;

/// How often the beats come.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    pub lease_duration: Duration,
    pub lease: Duration,
    pub status: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beat {
    Register(usize),
    Lease(usize),
    Status(usize),
}

/// The heartbeats of all nodes of a process.
pub struct Heartbeats {
    nodes: Api<Node>,
    leases: Api<Lease>,
    descriptions: Arc<[Description]>,
    known: Store<Arc<NodeFacts>>,
    queue: WorkQueue<Beat>,
    /// Each node's Lease as it was last written.
    written: Mutex<Vec<Option<Arc<Lease>>>>,
    rhythm: Rhythm,
    clock: Clock,
}

/// A queue for beats. Whoever sees a node change can ask for its status to be reported.
pub fn queue() -> WorkQueue<Beat> {
    WorkQueue::new(BACKOFF)
}

impl Heartbeats {
    pub fn new(
        transport: Arc<dyn Transport>,
        descriptions: Arc<[Description]>,
        known: Store<Arc<NodeFacts>>,
        queue: WorkQueue<Beat>,
        rhythm: Rhythm,
        clock: Clock,
    ) -> Self {
        let written = Mutex::new(vec![None; descriptions.len()]);
        let (nodes, leases) = (Api::new(transport.clone(), "kubelet"), Api::new(transport, "kubelet"));
        Self { nodes, leases, descriptions, known, queue, written, rhythm, clock }
    }

    /// Registers all nodes, then keeps them alive until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        for node in 0..self.descriptions.len() {
            self.queue.add(Beat::Register(node));
        }
        let workers = (0..WORKERS.min(self.descriptions.len())).map(|_| self.work());
        shutdown.run_until_cancelled(futures::future::join_all(workers)).await;
    }

    async fn work(&self) {
        while let Some(run) = self.queue.next().await {
            let beat = *run.key();
            match self.beat(beat).await {
                Ok(()) => self.queue.forget(&beat),
                Err(status) => {
                    let failures = self.queue.failures(&beat);
                    tracing::debug!(?beat, %status, failures, "a heartbeat failed");
                    if failures == 5 {
                        tracing::warn!(?beat, %status, "heartbeats keep failing");
                    }
                    self.queue.retry(beat);
                }
            }
        }
    }

    async fn beat(&self, beat: Beat) -> Result<(), Status> {
        match beat {
            Beat::Register(node) => {
                self.register(&self.descriptions[node]).await?;
                self.queue.add(Beat::Lease(node));
                self.queue.add_after(Beat::Status(node), self.rhythm.status.mul_f64(rand::random_range(0.5..1.0)));
            }
            Beat::Lease(node) => {
                self.renew(node).await?;
                self.queue.add_after(beat, jittered(self.rhythm.lease));
            }
            Beat::Status(node) => {
                self.report(&self.descriptions[node]).await?;
                self.queue.add_after(beat, jittered(self.rhythm.status));
            }
        }
        Ok(())
    }

    async fn register(&self, description: &Description) -> Result<(), Status> {
        match self.nodes.create(description.object((self.clock)())).await {
            Ok(_) => {
                tracing::info!(node = %description.name, "registered");
                Ok(())
            }
            Err(status) if status.is_already_exists() => {
                self.relabel(description).await?;
                self.report(description).await
            }
            Err(status) => Err(status),
        }
    }

    /// Gives a node that is there already the labels that its kubelet owns.
    async fn relabel(&self, description: &Description) -> Result<(), Status> {
        let key = NamespacedName::cluster(&*description.name);
        let node = self.nodes.get(&key).await?;
        let present = node.metadata.labels.clone().unwrap_or_default();
        let wanted = description.all_labels();
        if wanted.iter().all(|(label, value)| present.get(label) == Some(value)) {
            return Ok(());
        }
        let patch = serde_json::json!({ "metadata": { "labels": wanted } });
        self.nodes.patch(&key, Patch::Merge(patch.to_string().into())).await.map(drop)
    }

    async fn report(&self, description: &Description) -> Result<(), Status> {
        let key = NamespacedName::cluster(&*description.name);
        // A node that was deleted stays so: registering is for the kubelet's start.
        let Some(node) = self.nodes.get_optional(&key).await? else { return Ok(()) };
        let mut node = Arc::unwrap_or_clone(node);
        description.report(&mut node, (self.clock)());
        self.nodes.update_status(node).await.map(drop)
    }

    async fn renew(&self, node: usize) -> Result<(), Status> {
        let held = self.written.lock()[node].clone();
        let renewed = match held {
            // A node that was deleted is not kept alive; if somebody makes it anew, it is.
            Some(_) if self.known.get(&NamespacedName::cluster(self.descriptions[node].name.clone())).is_none() => Ok(None),
            Some(lease) => self.leases.update(self.lease(node, Arc::unwrap_or_clone(lease).metadata)).await.map(Some),
            None => self.take(node).await,
        };
        // After any failure the lease is read again: somebody may have changed or removed it.
        self.written.lock()[node] = renewed.as_ref().ok().cloned().flatten();
        renewed.map(drop)
    }

    /// Takes the lease over, or makes it; None where there is no node.
    async fn take(&self, node: usize) -> Result<Option<Arc<Lease>>, Status> {
        let name = &self.descriptions[node].name;
        let Some(owner) = self.nodes.get_optional(&NamespacedName::cluster(name.clone())).await? else { return Ok(None) };
        let key = NamespacedName::new(LEASE_NAMESPACE, name.clone());
        if let Some(lease) = self.leases.get_optional(&key).await? {
            return self.leases.update(self.lease(node, Arc::unwrap_or_clone(lease).metadata)).await.map(Some);
        }
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: name.to_string(),
            uid: owner.metadata.uid.clone().unwrap_or_default(),
            ..OwnerReference::default()
        };
        let metadata = ObjectMeta {
            namespace: Some(LEASE_NAMESPACE.into()),
            name: Some(name.to_string()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        self.leases.create(self.lease(node, metadata)).await.map(Some)
    }

    fn lease(&self, node: usize, mut metadata: ObjectMeta) -> Lease {
        metadata.managed_fields = None;
        let spec = LeaseSpec {
            holder_identity: Some(self.descriptions[node].name.to_string()),
            lease_duration_seconds: Some(i32::try_from(self.rhythm.lease_duration.as_secs()).unwrap_or(i32::MAX)),
            renew_time: Some(MicroTime(microseconds((self.clock)()))),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

/// The API's finer times count microseconds.
fn microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// A little early, so that nodes that were registered together drift apart and none is late.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::random_range(0.92..1.0))
}
