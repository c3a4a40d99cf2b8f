//! The store on an etcd cluster, version 3.4 or later.
//!
//! A conditional write is one transaction. All watches share one etcd watch over the whole key space (`watch`),
//! which sees every revision: so progress is known without asking etcd for it, which before 3.4.25 and 3.5.8
//! could be answered ahead of events.
//!
//! While etcd is away, calls fail as unavailable after [`Options::timeout`] at the latest, and watches wait; when it
//! is back they go on without a gap, or end with an error where that cannot be.

mod calls;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, Identity, PutOptions, TlsOptions, Txn, TxnOp, TxnOpResponse,
};
use tokio::task::AbortHandle;

use self::calls::Calls;
use crate::feed::Feed;
use crate::{Error, Expect, KeyValue, LeaseId, Outcome, Range, Result, Revision, Store, VALUE_LIMIT, Watch};

/// Keys fetched at a time: etcd builds each answer in memory.
const PAGE: usize = 1000;
/// The largest answer that is taken: a page of ordinary objects is far below, one of the largest ones is not.
const ANSWER_LIMIT: usize = 2 << 30;
/// etcd refuses pings that come more often than every five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where etcd is, and how to reach it.
#[derive(Clone, Debug)]
pub struct Options {
    /// URLs of the members.
    pub endpoints: Vec<String>,
    /// Files in PEM: who signed the members' certificates,
    pub ca_file: Option<PathBuf>,
    /// and the certificate
    pub cert_file: Option<PathBuf>,
    /// and key to show them.
    pub key_file: Option<PathBuf>,
    /// How long one call may take, retries included.
    pub timeout: Duration,
}

impl Options {
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A connection to an etcd cluster.
pub struct Etcd {
    calls: Calls,
    feed: Arc<Feed>,
    follower: AbortHandle,
}

impl Etcd {
    /// Connects, and begins to follow what is written. Fails where no member answers in time.
    pub async fn connect(options: Options) -> Result<Self> {
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(options.timeout / 2)
            .with_keep_alive(KEEP_ALIVE, options.timeout)
            .with_keep_alive_while_idle(true)
            // A member cut off from the others must not go on serving a watch that sees nothing.
            .with_require_leader(true);
        if let Some(tls) = tls(&options)? {
            connect = connect.with_tls(tls);
        }
        let client =
            Client::connect(&options.endpoints, Some(connect)).await.map_err(|error| calls::failed("connecting to etcd", &error))?;
        let calls = Calls::new(client, options.timeout);
        let start = calls.revision().await?;
        let feed = Feed::new(start);
        let follower = tokio::spawn(watch::follow(calls.clone(), feed.clone(), start)).abort_handle();
        Ok(Self { calls, feed, follower })
    }

    /// Runs a transaction that writes if `compare` holds, and otherwise reads the key.
    async fn write(&self, key: &Bytes, compare: Compare, write: TxnOp) -> Result<Outcome> {
        let txn = Txn::new().when([compare]).and_then([write]).or_else([TxnOp::get(key.as_ref(), None)]);
        let mut response = self.calls.once("writing", async || self.calls.kv().txn(txn.clone()).await).await?;
        if response.succeeded() {
            return Ok(Outcome::Done(calls::revision(response.take_header())?));
        }
        let found = match response.op_responses().into_iter().next() {
            Some(TxnOpResponse::Get(mut found)) => found.take_kvs().pop(),
            _ => None,
        };
        Ok(Outcome::Conflict(found.map(|kv| calls::key_value(kv.0))))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.follower.abort();
        self.feed.close();
    }
}

/// The settings of TLS, where there are any.
fn tls(options: &Options) -> Result<Option<TlsOptions>> {
    let secure = options.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"));
    if !secure && options.ca_file.is_none() && options.cert_file.is_none() {
        return Ok(None);
    }
    let mut tls = TlsOptions::new();
    if let Some(path) = &options.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
    }
    match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?)),
        (None, None) => {}
        _ => return Err(Error::Unavailable("etcd: a client certificate needs its key, and a key its certificate".into())),
    }
    Ok(Some(tls))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Unavailable(format!("etcd: reading {}: {error}", path.display())))
}

fn modified_at(key: &Bytes, revision: u64) -> Compare {
    Compare::mod_revision(key.as_ref(), CompareOp::Equal, revision as i64)
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        let mut found = self.calls.retried("reading", async || self.calls.kv().get(key, None).await).await?;
        Ok(found.take_kvs().pop().map(|kv| calls::key_value(kv.0)))
    }

    async fn range(&self, start: &[u8], end: &[u8], limit: usize, revision: Option<Revision>) -> Result<Range> {
        // etcd has no empty keys; its sign for no end is a zero byte.
        let mut from = if start.is_empty() { vec![0] } else { start.to_vec() };
        let to = if end.is_empty() { vec![0] } else { end.to_vec() };
        let mut at = revision.map(|revision| revision.max(crate::FIRST_REVISION));
        if !end.is_empty() && start >= end {
            let revision = match at {
                Some(at) => self.calls.readable(at).await?,
                None => self.calls.revision().await?,
            };
            return Ok(Range { items: Vec::new(), more: false, revision });
        }
        let mut items: Vec<KeyValue> = Vec::new();
        loop {
            let page = if limit == 0 { PAGE } else { PAGE.min(limit - items.len()) };
            let mut found = self
                .calls
                .retried("listing", async || {
                    let options =
                        GetOptions::new().with_range(to.clone()).with_limit(page as i64).with_revision(at.map_or(0, |at| at.0 as i64));
                    self.calls.kv().get(from.clone(), Some(options)).await
                })
                .await;
            if let (Err(error), Some(asked)) = (&found, at)
                && let Some(better) = self.calls.explain(error, asked).await
            {
                found = Err(better);
            }
            let mut found = found?;
            let revision = calls::revision(found.take_header())?;
            // The pages that follow read the state that the first one read.
            let revision = *at.get_or_insert(revision);
            let more = found.more();
            items.extend(found.take_kvs().into_iter().map(|kv| calls::key_value(kv.0)));
            if !more || (limit != 0 && items.len() >= limit) {
                return Ok(Range { items, more, revision });
            }
            if let Some(last) = items.last() {
                from = [&last.key[..], &[0]].concat();
            }
        }
    }

    async fn put(&self, key: Bytes, value: Bytes, expect: Expect, lease: Option<LeaseId>) -> Result<Outcome> {
        if value.len() > VALUE_LIMIT {
            return Err(Error::TooLarge { size: value.len(), limit: VALUE_LIMIT });
        }
        let compare = match expect {
            Expect::Absent => modified_at(&key, 0),
            Expect::At(Revision(0)) => never(&key),
            Expect::At(revision) => modified_at(&key, revision.0),
        };
        let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
        let answer = self.write(&key, compare, TxnOp::put(key.as_ref(), value.as_ref(), options)).await;
        match (answer, lease) {
            (Err(Error::LeaseNotFound(_)), Some(lease)) => Err(Error::LeaseNotFound(lease)),
            (Err(Error::TooLarge { .. }), _) => Err(Error::TooLarge { size: value.len(), limit: VALUE_LIMIT }),
            (answer, _) => answer,
        }
    }

    async fn delete(&self, key: Bytes, expect: Revision) -> Result<Outcome> {
        let compare = if expect.0 == 0 { never(&key) } else { modified_at(&key, expect.0) };
        self.write(&key, compare, TxnOp::delete(key.as_ref(), None)).await
    }

    async fn watch(&self, prefix: Bytes, after: Revision) -> Result<Watch> {
        let after = self.calls.readable(after.max(crate::FIRST_REVISION)).await?;
        Ok(self.feed.watch(prefix, after, Arc::new(self.calls.clone())))
    }

    async fn progress(&self) -> Result<()> {
        self.feed.ask_progress(self.calls.revision().await?);
        Ok(())
    }

    async fn revision(&self) -> Result<Revision> {
        self.calls.revision().await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let asked = revision.max(crate::FIRST_REVISION);
        let answer = self.calls.retried("compacting", async || self.calls.kv().compact(asked.0 as i64, None).await).await;
        match answer {
            Ok(_) => Ok(()),
            // etcd says so too when exactly this was done already.
            Err(Error::Compacted { .. } | Error::Future { .. }) => self.calls.readable(asked).await.map(drop),
            Err(error) => Err(error),
        }
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        // Where an answer was lost, a lease remains that nobody uses and that ends by itself.
        let seconds = ttl.as_secs_f64().ceil() as i64;
        let granted =
            self.calls.retried("granting a lease", async || self.calls.client().lease_client().grant(seconds, None).await).await?;
        Ok(LeaseId(granted.id()))
    }

    async fn size(&self) -> Result<u64> {
        let status = self.calls.retried("asking for the size", async || self.calls.client().maintenance_client().status().await).await?;
        Ok(status.db_size().unsigned_abs())
    }

    async fn close(&self) -> Result<()> {
        self.calls.close();
        self.follower.abort();
        self.feed.close();
        Ok(())
    }
}

/// A comparison that holds of no key, for an expectation that none can meet.
fn never(key: &Bytes) -> Compare {
    Compare::mod_revision(key.as_ref(), CompareOp::Less, 0)
}
