//! What every request crosses before a verb runs, whichever door it came through: authentication, impersonation,
//! limits and authorization.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use machinery::{Status, status};
use runtime::health::Health;
use runtime::metrics::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::{Authorizer, PeerCertificate, impersonation};
use crate::server::ApiServer;
use crate::verbs::Caller;

/// A request that finds no place waits this long before it is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The server with what stands before it.
pub struct Chain {
    pub api: Arc<ApiServer>,
    pub authorizer: Arc<dyn Authorizer>,
    pub health: Health,
    pub metrics: Metrics,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

/// How many requests run at once, watches aside.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub reads: usize,
    pub writes: usize,
}

impl Default for Limits {
    /// Upstream's: `--max-requests-inflight` and `--max-mutating-requests-inflight`.
    fn default() -> Self {
        Self { reads: 400, writes: 200 }
    }
}

/// The field manager of callers that name none: the user agent up to its first `/`.
fn agent(headers: &HeaderMap) -> String {
    /// A manager's name is so many printable characters at most.
    const LONGEST: usize = 128;
    let agent = headers.get(http::header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

impl Chain {
    pub fn new(api: Arc<ApiServer>, health: Health, metrics: Metrics, limits: Limits) -> Arc<Self> {
        let authorizer = api.access().clone();
        Arc::new(Self {
            api,
            authorizer,
            health,
            metrics,
            reads: Arc::new(Semaphore::new(limits.reads)),
            writes: Arc::new(Semaphore::new(limits.writes)),
        })
    }

    /// Who calls: whom the request's proofs name, or whom that one may act as.
    pub async fn caller(&self, peer: Option<&PeerCertificate>, headers: &HeaderMap) -> status::Result<Caller> {
        let user = self.api.authenticate(peer, headers).await?;
        let user = impersonation::resolve(&*self.authorizer, user, headers)?;
        Ok(Caller { user: (*user).clone(), agent: agent(headers) })
    }

    /// A place among the requests that run at once. Watches take none: they may run for hours.
    pub async fn running(&self, verb: &str) -> status::Result<Option<OwnedSemaphorePermit>> {
        let places = match verb {
            "watch" => return Ok(None),
            "get" | "list" => &self.reads,
            _ => &self.writes,
        };
        match tokio::time::timeout(LONGEST_WAIT, places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            _ => Err(Status::too_many_requests("the server is at its limit of concurrent requests; try again", 1)),
        }
    }

    /// A name for the request in logs and in the `Audit-Id` header.
    pub fn request_id() -> String {
        let id: u128 = rand::random();
        let mut text = String::with_capacity(36);
        // The form of a version 4 UUID; writing to a string cannot fail.
        let _ = write!(
            text,
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            (id >> 96) as u32,
            (id >> 80) as u16,
            (id >> 64) as u16 & 0xfff,
            ((id >> 48) as u16 & 0x3fff) | 0x8000,
            id as u64 & 0xffff_ffff_ffff
        );
        text
    }
}
