//! Component statuses: found out when they are asked for. The store answers for itself; the scheduler and the controller
//! manager by the leases that they renew, where they run as processes of their own.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ComponentCondition, ComponentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::{GroupResource, ResourceVersion, Status};
use storage::Revision;

use super::{List, Shown, Target};
use crate::log::{Filter, Prepared};
use crate::server::ApiServer;

const PLURAL: &str = "componentstatuses";
/// Name of the component, and of its lease.
const LEADERS: [(&str, &str); 2] = [("scheduler", "kube-scheduler"), ("controller-manager", "kube-controller-manager")];

/// Whether a request is about them.
pub(super) fn is_meant(target: &Target) -> bool {
    target.resource.names().plural == PLURAL && target.resource.names().group.is_empty()
}

pub(super) async fn get(server: &ApiServer, target: &Target) -> Result<Shown, Status> {
    let all = all(server).await;
    let found = all.into_iter().find(|one| one.metadata.name.as_deref() == Some(&target.name));
    // Unlike other answers of this sort, this one names the singular.
    let found = found.ok_or_else(|| Status::not_found(&GroupResource::new("", "componentstatus"), &target.name))?;
    Ok(Shown::Json(prepared(target, found)?.value))
}

pub(super) async fn list(server: &ApiServer, target: &Target, filter: &Filter) -> Result<List, Status> {
    let mut items = Vec::new();
    for one in all(server).await {
        let entry = prepared(target, one)?.entry(Revision(0));
        if filter.matches(&entry) {
            items.push(entry);
        }
    }
    Ok(List { version: ResourceVersion(0), items, continue_token: String::new(), remaining: None })
}

fn prepared(target: &Target, status: ComponentStatus) -> Result<Prepared, Status> {
    Prepared::new(&*target.resource, Box::new(status), &[]).map_err(|error| Status::internal(error.to_string()))
}

async fn all(server: &ApiServer) -> Vec<ComponentStatus> {
    let store = server.feed.catch_up().await.map(|()| "ok".to_owned()).map_err(|status| status.message);
    let mut all = vec![status("etcd-0", store)];
    for (name, lease) in LEADERS {
        if let Some(lease) = server.world().object::<Lease>("coordination.k8s.io", "leases", "kube-system", lease) {
            all.push(status(name, leads(&lease)));
        }
    }
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all
}

fn leads(lease: &Lease) -> Result<String, String> {
    let spec = lease.spec.clone().unwrap_or_default();
    let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(0).into());
    let ends = spec.renew_time.and_then(|renewed| renewed.0.checked_add(lasts).ok());
    let holder = spec.holder_identity.unwrap_or_default();
    match ends {
        Some(ends) if ends >= Timestamp::now() && !holder.is_empty() => Ok("ok".to_owned()),
        _ => Err("no process holds the lease".to_owned()),
    }
}

fn status(name: &str, health: Result<String, String>) -> ComponentStatus {
    let condition = ComponentCondition {
        type_: "Healthy".to_owned(),
        status: if health.is_ok() { "True" } else { "False" }.to_owned(),
        message: health.as_ref().ok().cloned(),
        error: health.err(),
    };
    ComponentStatus { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, conditions: Some(vec![condition]) }
}
