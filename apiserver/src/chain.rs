//! What every request crosses before a verb runs, whichever door it came through: authentication, impersonation,
//! limits and authorization.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use api::strategy::UserInfo;
use http::HeaderMap;
use machinery::{Status, status};
use runtime::health::Health;
use runtime::metrics::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::authorize::{ResourceAccess, check};
use crate::auth::{Attributes, Authenticator, Authorizer};
use crate::discovery::Discovery;
use crate::openapi::OpenApi;
use crate::server::ApiServer;

/// A request that finds no place waits this long before it is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The server with what stands before it.
pub struct Chain {
    pub api: Arc<ApiServer>,
    pub authenticator: Authenticator,
    pub authorizer: Arc<dyn Authorizer>,
    pub discovery: Discovery,
    pub openapi: OpenApi,
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

impl Chain {
    pub fn new(api: Arc<ApiServer>, authenticator: Authenticator, health: Health, metrics: Metrics, limits: Limits) -> Arc<Self> {
        let discovery = Discovery::new(api.registry());
        let authorizer = api.access().clone();
        Arc::new(Self {
            api,
            authenticator,
            authorizer,
            discovery,
            openapi: OpenApi::default(),
            health,
            metrics,
            reads: Arc::new(Semaphore::new(limits.reads)),
            writes: Arc::new(Semaphore::new(limits.writes)),
        })
    }

    /// The caller that the request's `Impersonate-*` headers name, if the real one may impersonate them.
    pub fn impersonate(&self, user: Arc<UserInfo>, headers: &HeaderMap) -> status::Result<Arc<UserInfo>> {
        const USER: &str = "impersonate-user";
        let all = |name: &str| -> Vec<String> { headers.get_all(name).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect() };
        let Some(name) = all(USER).into_iter().next().filter(|n| !n.is_empty()) else {
            if headers.keys().any(|k| k.as_str().starts_with("impersonate-")) {
                return Err(Status::bad_request("impersonation of groups, a uid or extra fields needs Impersonate-User"));
            }
            return Ok(user);
        };
        let groups = all("impersonate-group");
        let uid = all("impersonate-uid").into_iter().next().unwrap_or_default();
        self.may_impersonate(&user, "users", &name)?;
        for group in &groups {
            self.may_impersonate(&user, "groups", group)?;
        }
        if !uid.is_empty() {
            self.may_impersonate(&user, "uids", &uid)?;
        }
        if headers.keys().any(|k| k.as_str().starts_with("impersonate-extra-")) {
            return Err(Status::forbidden(
                &machinery::GroupResource::new("", "userextras"),
                "",
                "impersonation of extra fields is not served",
            ));
        }
        let mut groups = groups;
        if name != "system:anonymous" && !groups.iter().any(|g| g == "system:authenticated" || g == "system:unauthenticated") {
            groups.push("system:authenticated".to_owned());
        }
        Ok(Arc::new(UserInfo { name, uid, groups, ..UserInfo::default() }))
    }

    fn may_impersonate(&self, user: &UserInfo, resource: &str, name: &str) -> status::Result<()> {
        let group = if resource == "uids" { "authentication.k8s.io" } else { "" };
        let attributes = Attributes::Resource(ResourceAccess { verb: "impersonate", group, resource, name, ..ResourceAccess::default() });
        check(&*self.authorizer, user, &attributes)
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
