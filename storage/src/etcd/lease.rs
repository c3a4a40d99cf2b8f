//! Leases, shared by keys that end at nearly the same time: a cluster that writes thousands of events an hour must
//! not burden etcd with as many leases.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::calls::Calls;
use crate::{LeaseId, Result};

/// A shared lease outlasts what was asked for by no more than this,
const LONGEST_EXCESS: Duration = Duration::from_secs(60);
/// nor by more than this part of it.
const EXCESS_PART: u32 = 20;
/// Keys on one lease: etcd removes them all at once.
const KEYS: u32 = 1000;

/// The lease granted last.
#[derive(Default)]
pub(super) struct Leases {
    last: Mutex<Option<Shared>>,
}

struct Shared {
    id: LeaseId,
    ends: Instant,
    granted: u32,
}

impl Leases {
    /// A lease that ends after `ttl`, and not much later.
    pub(super) async fn grant(&self, calls: &Calls, ttl: Duration) -> Result<LeaseId> {
        let excess = (ttl / EXCESS_PART).min(LONGEST_EXCESS);
        let now = Instant::now();
        if let Some(last) =
            self.last.lock().as_mut().filter(|last| last.granted < KEYS && last.ends >= now + ttl && last.ends <= now + ttl + excess)
        {
            last.granted += 1;
            return Ok(last.id);
        }
        let whole = Duration::from_secs((ttl + excess).as_secs_f64().ceil() as u64);
        // Granting twice leaves a lease that nobody uses and that ends by itself.
        let granted = calls
            .retried("granting a lease", |client| async move { client.lease_client().grant(whole.as_secs() as i64, None).await })
            .await?;
        let id = LeaseId(granted.id());
        // etcd may grant longer than asked, so what it says counts; and it counts from later than `now`.
        let ends = now + Duration::from_secs(granted.ttl().unsigned_abs());
        *self.last.lock() = Some(Shared { id, ends, granted: 1 });
        Ok(id)
    }

    /// To be called when etcd does not know the lease.
    pub(super) fn forget(&self, id: LeaseId) {
        self.last.lock().take_if(|last| last.id == id);
    }
}
