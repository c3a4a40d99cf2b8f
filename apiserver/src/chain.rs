//! What every request crosses before a verb runs, whichever door it came through: authentication, audit, impersonation,
//! authorization and limits.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::strategy::UserInfo;
use http::HeaderMap;
use jiff::Timestamp;
use machinery::{Status, status};
use runtime::health::Health;
use runtime::metrics::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::audit::{Audit, Incoming, Trail};
use crate::auth::authenticate::Remarks;
use crate::auth::{Attributes, Authorizer, PeerCertificate, authorize, impersonation};
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
    /// When this server began to serve.
    pub started: Timestamp,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

/// What a request asks for.
pub struct Wanted<'a> {
    pub attributes: Attributes<'a>,
    /// The version of the resource, for the audit log.
    pub version: &'a str,
}

impl Wanted<'_> {
    /// The path by which the HTTP door would be asked for it.
    pub fn path(&self) -> String {
        let access = match &self.attributes {
            Attributes::Path { path, .. } => return (*path).to_owned(),
            Attributes::Resource(access) => access,
        };
        let group = if access.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", access.group) };
        let mut path = format!("{group}/{}", self.version);
        let is_namespace = access.group.is_empty() && access.resource == "namespaces";
        let namespace = ["namespaces", access.namespace];
        let rest = [access.resource, access.name, access.subresource.unwrap_or_default()];
        for part in namespace.iter().filter(|_| !access.namespace.is_empty() && !is_namespace).chain(&rest).filter(|part| !part.is_empty())
        {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

/// The sender of a batch.
pub struct Batch {
    caller: Caller,
    /// What is recorded of each entry: who calls, and the batch's path, headers and address.
    origin: Option<(Arc<UserInfo>, String, HeaderMap, Option<IpAddr>)>,
}

impl Batch {
    /// The caller of an entry, who may do what it asks. What comes of it is for the batch's door to record.
    pub async fn entry(&self, chain: &Chain, wanted: &Wanted<'_>) -> status::Result<Cow<'_, Caller>> {
        let (Some(audit), Some((user, uri, headers, address))) = (chain.audit(), &self.origin) else {
            chain.permit(&self.caller, wanted)?;
            return Ok(Cow::Borrowed(&self.caller));
        };
        let id = Chain::request_id(&HeaderMap::new());
        let trail = audit.begin(&Incoming { id: &id, uri, headers, address: *address }, Some(user), wanted).await?;
        if self.caller.user != **user {
            trail.impersonates(&Arc::new(self.caller.user.clone()), None);
        }
        let caller = Caller { trail, ..self.caller.clone() };
        if let Err(status) = chain.permit(&caller, wanted) {
            caller.trail.refuses(&status).await;
            return Err(status);
        }
        Ok(Cow::Owned(caller))
    }
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
            started: Timestamp::now(),
            reads: Arc::new(Semaphore::new(limits.reads)),
            writes: Arc::new(Semaphore::new(limits.writes)),
        })
    }

    fn audit(&self) -> Option<&Audit> {
        self.api.options().audit.as_deref()
    }

    /// The caller of a request, who may do what it asks: whom the request's proofs name, or whom that one may act as.
    /// `trail` begins with the request being recorded, and outlives a refusal.
    pub async fn admit(
        &self,
        incoming: &Incoming<'_>,
        peer: Option<&PeerCertificate>,
        wanted: &Wanted<'_>,
        trail: &mut Trail,
    ) -> status::Result<Caller> {
        let (user, remarks) = self.authenticate(incoming, peer, wanted).await?;
        if let Some(audit) = self.audit() {
            *trail = audit.begin(incoming, Some(&user), wanted).await?;
            remarks.note.into_iter().for_each(|(key, value)| trail.note(key, || value));
        }
        let warned = |status: Status| status.with_warnings(remarks.warning.map(str::to_owned).as_slice());
        let mut caller = self.acting(&user, incoming.headers, wanted, trail).map_err(warned)?;
        self.permit(&caller, wanted).map_err(warned)?;
        caller.warning = remarks.warning;
        Ok(caller)
    }

    /// Whom the request's proofs name.
    async fn authenticate(
        &self,
        incoming: &Incoming<'_>,
        peer: Option<&PeerCertificate>,
        wanted: &Wanted<'_>,
    ) -> status::Result<(Arc<UserInfo>, Remarks)> {
        let (found, remarks) = self.api.authenticate(peer, incoming.headers).await;
        if let (Some(audit), Err(status)) = (self.audit(), &found) {
            // As upstream: one event, and none that the answer is complete.
            let trail = audit.begin(incoming, None, wanted).await?;
            remarks.note.iter().for_each(|(key, value)| trail.note(key, || value.clone()));
            trail.answers(status);
            trail.started(status.code).await;
            trail.close();
        }
        let warned = |status: Status| status.with_warnings(remarks.warning.map(str::to_owned).as_slice());
        found.map_err(warned).map(|user| (user, remarks))
    }

    /// Whom a caller acts as, and what the chain knows of them from here on.
    fn acting(&self, user: &Arc<UserInfo>, headers: &HeaderMap, wanted: &Wanted<'_>, trail: &Trail) -> status::Result<Caller> {
        let acting = impersonation::resolve(&*self.authorizer, user, headers, &wanted.attributes)?;
        if let Some(acting) = &acting {
            trail.impersonates(&acting.user, acting.constraint);
        }
        let user = acting.as_ref().map_or(user, |acting| &acting.user);
        Ok(Caller { user: (**user).clone(), agent: agent(headers), trail: trail.clone(), warning: None })
    }

    fn permit(&self, caller: &Caller, wanted: &Wanted<'_>) -> status::Result<()> {
        let decision = self.authorizer.authorize(&caller.user, &wanted.attributes);
        caller.trail.decided(&decision);
        authorize::settle(decision, &caller.user, &wanted.attributes)
    }

    /// Whoever sends a batch of requests in one. Each is still to be let in, by [`Batch::entry`].
    pub async fn batch(&self, incoming: &Incoming<'_>, peer: Option<&PeerCertificate>, wanted: &Wanted<'_>) -> status::Result<Batch> {
        let (user, _) = self.authenticate(incoming, peer, wanted).await?;
        let caller = self.acting(&user, incoming.headers, wanted, &Trail::default())?;
        let origin = self.audit().map(|_| (user, incoming.uri.to_owned(), incoming.headers.clone(), incoming.address));
        Ok(Batch { caller, origin })
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

    /// A name for the request in logs and in the `Audit-Id` header: the client's own, if it has one.
    pub fn request_id(headers: &HeaderMap) -> String {
        if let Some(given) = headers.get("audit-id").and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty()) {
            return given.to_owned();
        }
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
