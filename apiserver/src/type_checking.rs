//! The status of ValidatingAdmissionPolicies: what their expressions ask for that the kinds they match do not have. Derived from
//! the log of policies, and written where it lags behind, so that several API servers come to the same end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::admissionregistration::type_checking::{self, MOST_KINDS};
use api::object::downcast_ref;
use api::strategy::UserInfo;
use futures::FutureExt as _;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec};
use machinery::cel::Declared;
use machinery::{GroupVersion, GroupVersionKind, Status};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::follow::follow;
use crate::log::Entry;
use crate::server::ApiServer;
use crate::verbs::{Caller, Patch, Target, WriteOptions};

const GROUP: &str = "admissionregistration.k8s.io";
const PLURAL: &str = "validatingadmissionpolicies";
/// As whom, and as which manager, the status is applied.
const MANAGER: &str = "validatingadmissionpolicy-status";
const ACCOUNT: &str = "system:serviceaccount:kube-system:validatingadmissionpolicy-status-controller";
/// How long after a failure policies are looked at again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Checks policies as they come and change, until `stop`.
pub(crate) async fn keep_checked(server: Weak<ApiServer>, stop: CancellationToken) {
    let look = |server: Arc<ApiServer>| {
        async move {
            let failed = server.check_policies().await.err()?;
            tracing::warn!(status = %failed, "checking the expressions of policies; trying again");
            Some(RETRY_AFTER)
        }
        .boxed()
    };
    follow(server, stop, &[(GROUP, PLURAL)], look).await;
}

impl ApiServer {
    async fn check_policies(&self) -> Result<(), Status> {
        let Some(log) = self.world().log(GROUP, PLURAL) else { return Ok(()) };
        let decoded = |entry: &Arc<Entry>| downcast_ref::<ValidatingAdmissionPolicy>(&*entry.kept_object(log.resource()).ok()?).cloned();
        let snapshot = log.snapshot();
        for policy in snapshot.entries.values().filter_map(decoded) {
            let observed = policy.status.as_ref().and_then(|status| status.observed_generation).unwrap_or_default();
            if policy.metadata.generation.unwrap_or_default() > observed {
                self.check_policy(&policy).await?;
            }
        }
        Ok(())
    }

    async fn check_policy(&self, policy: &ValidatingAdmissionPolicy) -> Result<(), Status> {
        let served = self.served();
        let Some(resource) = served.find(GROUP, "v1", PLURAL) else { return Ok(()) };
        let spec = policy.spec.clone().unwrap_or_default();
        let warnings = type_checking::check(&spec, &self.kinds_of(&spec), self.params_of(&spec).as_ref());
        let name = policy.metadata.name.clone().unwrap_or_default();
        let type_checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
        let config = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "status": {"observedGeneration": policy.metadata.generation, "typeChecking": type_checking},
        });
        let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"].map(str::to_owned);
        let user = UserInfo { name: ACCOUNT.to_owned(), groups: groups.to_vec(), ..UserInfo::default() };
        let caller = Caller { user, agent: MANAGER.into(), ..Caller::default() };
        let target = Target { resource, subresource: Some("status".to_owned()), namespace: String::new(), name };
        let options = WriteOptions { field_manager: Some(MANAGER.to_owned()), ..WriteOptions::default() };
        let patch = Patch::Apply { config: config.to_string().into(), force: true };
        match self.patch(&caller, &target, patch, &options).await {
            Err(status) if !status.is_conflict() && !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    /// The kinds that the policy names, in order, with their types.
    fn kinds_of(&self, spec: &ValidatingAdmissionPolicySpec) -> Vec<(GroupVersionKind, Declared)> {
        let served = self.served();
        let mut found = Vec::new();
        for rule in type_checking::resources(spec) {
            let resources = rule.iter().filter_map(|named| served.find(&named.group, &named.version, &named.resource));
            let of_rule: Vec<_> = resources.take(MOST_KINDS).collect();
            let is_full = of_rule.len() == MOST_KINDS;
            found.extend(of_rule.into_iter().map(|resource| (resource.kind(), resource)));
            if is_full {
                break;
            }
        }
        let order = |kind: &GroupVersionKind| (kind.group.to_string(), kind.version.to_string(), kind.kind.to_string());
        found.sort_by_key(|(kind, _)| order(kind));
        found.dedup_by(|(a, _), (b, _)| a == b);
        found.into_iter().map(|(kind, resource)| (kind, resource.schema().declared(resource.names().kind))).collect()
    }

    fn params_of(&self, spec: &ValidatingAdmissionPolicySpec) -> Option<Declared> {
        let kind = spec.param_kind.as_ref()?;
        let (api_version, kind) = (kind.api_version.as_deref().unwrap_or_default(), kind.kind.as_deref().unwrap_or_default());
        let version = GroupVersion::parse(api_version);
        let resource = self.served().registry().find_kind(&version.group, &version.version, kind)?;
        Some(resource.schema().declared(kind))
    }
}
