//! Leases of the store, shared by objects that expire at about the same time, since a lease costs the store more than a key.

use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use storage::{Error, Expect, LeaseId, Outcome, Store};

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
    /// Writes a key that ends after `ttl`, or a little later.
    pub(crate) async fn put(&self, store: &dyn Store, key: Bytes, value: Bytes, expect: Expect, ttl: Duration) -> storage::Result<Outcome> {
        let lease = self.lease(store, ttl).await?;
        match store.put(key.clone(), value.clone(), expect, Some(lease)).await {
            // It ended early: somebody revoked it, or the store was restored from a copy. Nothing was written.
            Err(Error::LeaseNotFound(_)) => {
                self.forget(lease);
                let lease = self.lease(store, ttl).await?;
                store.put(key, value, expect, Some(lease)).await
            }
            outcome => outcome,
        }
    }

    async fn lease(&self, store: &dyn Store, ttl: Duration) -> storage::Result<LeaseId> {
        if let Some(id) = self.reuse(ttl) {
            return Ok(id);
        }
        let given_out_for = GIVEN_OUT_FOR.min(ttl / GIVEN_OUT_PART);
        let id = store.grant(ttl + given_out_for).await?;
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

    fn forget(&self, lease: LeaseId) {
        self.open.lock().retain(|one| one.id != lease);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use storage::memory::Memory;

    const TTL: Duration = Duration::from_secs(3600);

    async fn put(leases: &Leases, store: &Memory, key: &'static str) -> Outcome {
        leases.put(store, Bytes::from(key), Bytes::from("value"), Expect::Absent, TTL).await.unwrap()
    }

    #[tokio::test]
    async fn keys_share_a_lease_until_it_is_gone() {
        let (leases, store) = (Leases::default(), Memory::default());
        assert!(matches!(put(&leases, &store, "a").await, Outcome::Done(_)));
        let first = leases.open.lock()[0].id;
        assert!(matches!(put(&leases, &store, "b").await, Outcome::Done(_)));
        assert_eq!(leases.open.lock()[0].id, first);

        let restored = Memory::default();
        assert!(matches!(put(&leases, &restored, "c").await, Outcome::Done(_)));
        assert_eq!(leases.open.lock().len(), 1);
    }
}
