//! [`LeaderElection`]: of several processes that run one component, the one that holds a Lease object works.
//!
//! A holder renews its lease all the time, and stops working before the others may take the lease over: the
//! renew deadline is shorter than the lease duration. Others judge a lease by when *they* last saw it change,
//! so that clocks of different machines need not agree.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use machinery::{NamespacedName, Status};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Api;
use crate::transport::Transport;

/// What a component stands for election with.
#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// The Lease object.
    pub lease: NamespacedName,
    /// Tells this process from all others that stand.
    pub identity: String,
    /// How long others wait after the holder's last renewal before they take over.
    pub lease_duration: Duration,
    /// How long the holder tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// The time between two tries.
    pub retry_period: Duration,
}

/// The leader could not renew its lease in time, or another took it.
#[derive(Debug, thiserror::Error)]
#[error("{identity} lost the lease {lease}")]
pub struct Lost {
    pub identity: String,
    pub lease: NamespacedName,
}

/// A lease as it was last seen to change, by this process's clock.
#[derive(Default)]
struct Observed {
    lease: Option<Arc<Lease>>,
    at: Option<Instant>,
}

impl LeaderElection {
    /// With the durations that Kubernetes' components use: 15 s, 10 s, 2 s.
    pub fn new(lease: NamespacedName, identity: impl Into<String>) -> Self {
        Self {
            lease,
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// Waits until this process leads, then runs `work` while it does. `work` is given a token that is cancelled
    /// at shutdown. Returns None if shutdown came before leadership; gives the lease back when `work` ends.
    ///
    /// # Errors
    /// [`Lost`], when the lease could not be renewed in time; `work` has been dropped then.
    pub async fn lead<F: Future>(
        self,
        transport: Arc<dyn Transport>,
        shutdown: CancellationToken,
        work: impl FnOnce(CancellationToken) -> F,
    ) -> Result<Option<F::Output>, Lost> {
        let leases = Api::<Lease>::new(transport, self.identity.clone());
        let mut observed = Observed::default();
        if shutdown.run_until_cancelled(self.acquire(&leases, &mut observed)).await.is_none() {
            return Ok(None);
        }
        tracing::info!(lease = %self.lease, identity = self.identity, "leading");
        let finished = tokio::select! {
            output = work(shutdown.child_token()) => Some(output),
            () = self.keep(&leases, &mut observed) => None,
        };
        match finished {
            Some(output) => {
                self.release(&leases, &observed).await;
                Ok(Some(output))
            }
            None => Err(Lost { identity: self.identity, lease: self.lease }),
        }
    }

    async fn acquire(&self, leases: &Api<Lease>, observed: &mut Observed) {
        loop {
            match self.try_hold(leases, observed).await {
                Ok(true) => return,
                Ok(false) => {}
                // Another was quicker.
                Err(status) if status.is_conflict() => {}
                Err(status) => tracing::warn!(lease = %self.lease, %status, "cannot take the lease"),
            }
            // Jitter keeps those who stand from trying in step.
            tokio::time::sleep(self.retry_period.mul_f64(rand::random_range(1.0..2.2))).await;
        }
    }

    /// Returns when the lease is lost.
    async fn keep(&self, leases: &Api<Lease>, observed: &mut Observed) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.retry_period).await;
            let deadline = renewed + self.renew_deadline;
            match tokio::time::timeout_at(deadline, self.try_hold(leases, observed)).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(status)) => tracing::warn!(lease = %self.lease, %status, "cannot renew the lease"),
                Err(_) => return,
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Takes or renews the lease if it is free, stale or held by this process. Returns whether it is now held.
    async fn try_hold(&self, leases: &Api<Lease>, observed: &mut Observed) -> Result<bool, Status> {
        let Some(current) = leases.get_optional(&self.lease).await? else {
            let lease = self.claim(None);
            return match leases.create(lease).await {
                Ok(lease) => {
                    observed.see(lease);
                    Ok(true)
                }
                Err(status) if status.is_already_exists() => Ok(false),
                Err(status) => Err(status),
            };
        };
        observed.see(current.clone());
        let spec = current.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if !holder.is_empty() && holder != self.identity {
            let duration = spec.lease_duration_seconds.map_or(self.lease_duration, |seconds| Duration::from_secs(seconds.max(0) as u64));
            if observed.at.is_some_and(|at| at.elapsed() < duration) {
                return Ok(false);
            }
        }
        match leases.update(self.claim(Some(&current))).await {
            Ok(lease) => {
                observed.see(lease);
                Ok(true)
            }
            // A conflict tells of a write, not of whose it was: the next try will see.
            Err(status) => Err(status),
        }
    }

    /// The lease with this process as its holder.
    fn claim(&self, current: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = current.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default() + i32::from(current.is_some() && !ours);
        let metadata = current.map_or_else(
            || ObjectMeta {
                namespace: Some(self.lease.namespace.to_string()),
                name: Some(self.lease.name.to_string()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        );
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.lease_duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if ours { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..before
        };
        Lease { metadata, spec: Some(spec) }
    }

    /// Gives the lease back, so that another can lead at once.
    async fn release(&self, leases: &Api<Lease>, observed: &Observed) {
        let Some(current) = &observed.lease else { return };
        let mut lease = self.claim(Some(current));
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let given_back = tokio::time::timeout(self.retry_period, leases.update(lease)).await;
        if let Ok(Err(status)) = given_back {
            tracing::debug!(lease = %self.lease, %status, "cannot give the lease back: it will expire");
        }
    }
}

impl Observed {
    fn see(&mut self, lease: Arc<Lease>) {
        let changed = self.lease.as_ref().is_none_or(|seen| seen.metadata.resource_version != lease.metadata.resource_version);
        if changed {
            self.at = Some(Instant::now());
        }
        self.lease = Some(lease);
    }
}
