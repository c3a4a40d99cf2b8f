//! Which of the tokens that are kept in secrets are still in use: a label on the secret says on which day its token was
//! last borne, and a ConfigMap since when that is written down.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use k8s_openapi::api::core::v1::ConfigMap;
use machinery::Status;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::authenticate::KeptToken;
use crate::bootstrap;
use crate::log::{Filter, Start, Watch};
use crate::server::ApiServer;
use crate::verbs::{Body, Patch, Target, WriteOptions};

/// On secrets: the day on which the token was last used.
pub(super) const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// On secrets: the day since which the token is refused.
pub(super) const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-apiserver-legacy-service-account-token-tracking";
const SINCE: &str = "since";
/// Servers that do not want it and servers that do must not fight over it.
const MAKE_EVERY: Duration = Duration::from_secs(30 * 60);

/// A day, as labels have it.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Keeps the ConfigMap in place until `stop`, which must come no later than the end of watches.
pub(crate) async fn keep_since(server: Weak<ApiServer>, stop: CancellationToken) {
    let work = async {
        let mut made: Option<Instant> = None;
        while !stop.is_cancelled() {
            let Some(mut map) = server.upgrade().and_then(|server| watch(&server)) else { return };
            loop {
                let Some(server) = server.upgrade() else { return };
                let may_make = made.is_none_or(|made| made.elapsed() >= MAKE_EVERY);
                match server.tell_since(may_make).await {
                    Ok(true) => made = Some(Instant::now()),
                    Ok(false) => {}
                    Err(status) => tracing::debug!(%status, "telling since when the use of tokens is tracked; the next change tries again"),
                }
                match map.next().await {
                    Some(Ok(_)) => while map.ready().is_some() {},
                    // Whatever happened to the events, or after long enough: the log has the state.
                    Some(Err(_)) | None => break,
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// The events of the ConfigMap alone, for as long as it may have to be waited for.
fn watch(server: &ApiServer) -> Option<Watch> {
    let resource = server.served().find("", "v1", "configmaps")?;
    let target = Target { resource, subresource: None, namespace: NAMESPACE.to_owned(), name: String::new() };
    let filter = Filter::parse(&target, "", &format!("metadata.name={NAME}")).ok()?;
    let start = Start::Present { announce_end: false };
    Some(Watch::new(server.feed.clone(), server.world().log("", "configmaps")?, filter, start, false, MAKE_EVERY))
}

impl ApiServer {
    /// Makes the ConfigMap if it is missing, or its day if that is none; true: it was made.
    async fn tell_since(self: Arc<Self>, may_make: bool) -> Result<bool, Status> {
        let Some(resource) = self.served().find("", "v1", "configmaps") else { return Ok(false) };
        let target = |name: &str| Target { resource: resource.clone(), subresource: None, namespace: NAMESPACE.into(), name: name.into() };
        let (caller, options, today) = (bootstrap::caller(), WriteOptions::default(), day(Timestamp::now()));
        let Some(mut map) = self.world().object::<ConfigMap>("", "configmaps", NAMESPACE, NAME) else {
            if !may_make {
                return Ok(false);
            }
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {SINCE: today}});
            return match self.create(&caller, &target(""), Body::Json(object.to_string().into()), &options).await {
                Err(status) if status.is_already_exists() => Ok(false),
                made => made.map(|_| true),
            };
        };
        let data = map.data.get_or_insert_default();
        if data.get(SINCE).is_some_and(|since| since.parse::<Date>().is_ok()) {
            return Ok(false);
        }
        data.insert(SINCE.to_owned(), today);
        match self.update(&caller, &target(NAME), Body::Typed(Box::new(map)), &options).await {
            Err(status) if !status.is_conflict() && !status.is_not_found() => Err(status),
            _ => Ok(false),
        }
    }

    /// Writes down that a token was used today.
    pub(super) async fn token_used(&self, kept: &KeptToken) {
        let Some(resource) = self.served().find("", "v1", "secrets") else { return };
        let patch = json!({"metadata": {"uid": kept.uid, "labels": {LAST_USED: day(Timestamp::now())}}});
        let target = Target { resource, subresource: None, namespace: kept.namespace.clone(), name: kept.name.clone() };
        let patch = Patch::Merge(patch.to_string().into());
        if let Err(status) = self.patch(&bootstrap::caller(), &target, patch, &WriteOptions::default()).await {
            tracing::warn!(%status, namespace = kept.namespace, secret = kept.name, "telling when a token was last used");
        }
    }
}
