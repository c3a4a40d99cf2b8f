//! Leases of the store, shared by objects that expire at about the same time, since a lease costs the store more than a key.

use std::time::{Duration, Instant};

use machinery::Status;
use parking_lot::Mutex;
use storage::{LeaseId, Store};

use crate::log::store_status;

/// How many objects share a lease, at most.
const MOST_KEYS: usize = 1000;
/// For how long a lease is given out, at most, and as a part of its time to live.
const GIVEN_OUT_FOR: Duration = Duration::from_secs(60);
const GIVEN_OUT_PART: u32 = 20;

/// The leases that are being given out, one for each time to live.
#[derive(Default)]
pub(crate) struct Leases {
    open: Mutex<Vec<Open>>,
}

struct Open {
    ttl: Duration,
    id: LeaseId,
    until: Instant,
    keys: usize,
}

impl Leases {
    /// A lease that ends after `ttl`, or a little later.
    pub(crate) async fn lease(&self, store: &dyn Store, ttl: Duration) -> Result<LeaseId, Status> {
        if let Some(id) = self.reuse(ttl) {
            return Ok(id);
        }
        let given_out_for = GIVEN_OUT_FOR.min(ttl / GIVEN_OUT_PART);
        let id = store.grant(ttl + given_out_for).await.map_err(store_status)?;
        let mut open = self.open.lock();
        open.retain(|one| one.ttl != ttl);
        open.push(Open { ttl, id, until: Instant::now() + given_out_for, keys: 1 });
        Ok(id)
    }

    fn reuse(&self, ttl: Duration) -> Option<LeaseId> {
        let mut open = self.open.lock();
        let one = open.iter_mut().find(|one| one.ttl == ttl && one.keys < MOST_KEYS && Instant::now() < one.until)?;
        one.keys += 1;
        Some(one.id)
    }
}
