//! ResourceQuota: a write that would take more of the namespace than its quotas allow is refused; one that does not is
//! charged to them before it happens, so that writes which race cannot take more than there is.
//!
//! This file decides and is pure; [`charge`] does the charging. The quota controller counts anew what was given back.

pub(crate) mod charge;

use std::collections::BTreeMap;

use api::Object;
use api::object::downcast_ref;
use api::quota::{self, Amounts, Counted, DeviceClasses, PodUsage, Usage, selects};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::api::resource::v1::ResourceClaim;

use super::{Operation, Request};

/// What a write takes.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    counted: Counted<'static>,
    before: Option<Usage>,
    after: Usage,
    /// Where devices are claimed, their classes.
    classes: DeviceClasses,
    /// What a new pod's containers do not say, by resource: a quota may demand it.
    unsaid: BTreeMap<String, String>,
}

/// What the request costs to make `object` be; None where that is never anything.
pub(crate) fn cost(request: &Request<'_>, object: &dyn Object) -> Option<Cost> {
    const DEMANDED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
    let names = request.target.resource.names();
    let counted = Counted::of(names.group, names.plural);
    let subresource = request.target.subresource.as_deref();
    let charged = match request.operation {
        Operation::Create => subresource.is_none(),
        Operation::Update => match counted {
            Counted::Services | Counted::Claims => subresource.is_none(),
            Counted::Pods => subresource == Some("resize"),
            _ => false,
        },
        Operation::Delete => false,
    };
    if !charged {
        return None;
    }
    let classes = match counted {
        Counted::ResourceClaims => DeviceClasses::of(request.world.objects("resource.k8s.io", "deviceclasses", "").iter()),
        _ => DeviceClasses::default(),
    };
    let usage = |object: &dyn Object| match downcast_ref::<ResourceClaim>(object) {
        Some(claim) => Usage::of_devices(claim, &classes, pod_amounts(request, claim).as_ref()),
        None => Usage::of(object, names.group, names.plural, request.now),
    };
    let mut unsaid = BTreeMap::new();
    if request.operation == Operation::Create
        && let Some(pod) = downcast_ref::<Pod>(object)
    {
        let quote = |names: std::collections::BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(",");
        unsaid = quota::missing(pod, &DEMANDED).into_iter().map(|(name, who)| (name, quote(who))).collect();
    }
    let (before, after) = (request.old.map(usage), usage(object));
    Some(Cost { counted, before, after, classes, unsaid })
}

/// What the pod counts for whose extended resources the claim is made for.
fn pod_amounts(request: &Request<'_>, claim: &ResourceClaim) -> Option<Amounts> {
    let (name, uid) = quota::extended_claim_of(claim)?;
    let namespace = &request.target.namespace;
    let pod = request.world.object::<Pod>("", "pods", namespace, name)?;
    let named = pod.status.as_ref().and_then(|status| Some(status.extended_resource_claim_status.as_ref()?.resource_claim_name.as_str()));
    let claims: Vec<ResourceClaim> = match named {
        Some(_) => Vec::new(),
        None => request.world.objects("resource.k8s.io", "resourceclaims", namespace),
    };
    let oldest = quota::oldest_extended_claims(claims.iter().chain([claim]));
    let is_counted = pod.metadata.uid.as_deref() == Some(uid) && quota::is_counted_with_pod(claim, named, &oldest);
    is_counted.then(|| PodUsage::of(&pod).amounts(true))
}

impl Cost {
    /// What of the cost a quota is charged with. An error says why it does not allow the write.
    pub(super) fn charged_to(&self, quota: &ResourceQuota) -> Result<Amounts, String> {
        let spec = quota::spec(quota);
        let status = quota.status.clone().unwrap_or_default();
        let (hard, used) = (quota::amounts(status.hard.as_ref()), quota::amounts(status.used.as_ref()));
        let limited: Vec<&String> = hard.keys().filter(|name| self.counted.is_meant_by(name, &self.classes)).collect();
        if limited.is_empty() || !selects(&spec, &self.after.subject) {
            return Ok(Amounts::new());
        }
        let name = quota.metadata.name.as_deref().unwrap_or_default();
        let unsaid: Vec<String> = limited.iter().filter_map(|one| Some(format!("{one} for: {}", self.unsaid.get(*one)?))).collect();
        if !unsaid.is_empty() {
            return Err(format!("failed quota: {name}: must specify {}", unsaid.join("; ")));
        }
        let before = self.before.as_ref().filter(|before| selects(&spec, &before.subject));
        let mut charged = Amounts::new();
        // A quota that is about these objects at all counts whatever of theirs it has a name for.
        for resource in hard.keys() {
            let amount = |usage: &Usage| usage.amounts.get(resource).copied().unwrap_or_default();
            let more = amount(&self.after) - before.map(amount).unwrap_or_default();
            if !more.is_zero() && !more.is_negative() {
                charged.insert(resource.clone(), more);
            }
        }
        check(name, &charged, &used, &hard)?;
        Ok(charged)
    }
}

fn check(name: &str, charged: &Amounts, used: &Amounts, hard: &Amounts) -> Result<(), String> {
    let unknown: Vec<&str> = charged.keys().filter(|one| !used.contains_key(*one)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("status unknown for quota: {name}, resources: {}", unknown.join(",")));
    }
    let over: Vec<&String> = charged.iter().filter(|(one, more)| used[*one] + **more > hard[*one]).map(|(one, _)| one).collect();
    if over.is_empty() {
        return Ok(());
    }
    let show = |amounts: &Amounts| over.iter().map(|one| format!("{one}={}", amounts[*one])).collect::<Vec<_>>().join(",");
    Err(format!("exceeded quota: {name}, requested: {}, used: {}, limited: {}", show(charged), show(used), show(hard)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn quota(hard: Value, used: Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})).unwrap()
    }

    fn claim(size: &str) -> Usage {
        let claim: k8s_openapi::api::core::v1::PersistentVolumeClaim =
            serde_json::from_value(json!({"metadata": {}, "spec": {"resources": {"requests": {"storage": size}}}})).unwrap();
        Usage::of(&claim, "", "persistentvolumeclaims", jiff::Timestamp::UNIX_EPOCH)
    }

    fn cost(before: Option<&str>, after: &str) -> Cost {
        Cost {
            counted: Counted::Claims,
            before: before.map(claim),
            after: claim(after),
            classes: DeviceClasses::default(),
            unsaid: BTreeMap::new(),
        }
    }

    #[test]
    fn only_what_grows_is_charged() {
        let quota = quota(json!({"requests.storage": "10Gi", "pods": "1"}), json!({"requests.storage": "6Gi", "pods": "1"}));
        let charged = cost(Some("6Gi"), "9Gi").charged_to(&quota).unwrap();
        assert_eq!(
            charged.into_iter().map(|(name, more)| (name, more.to_string())).collect::<Vec<_>>(),
            [("requests.storage".into(), "3Gi".into())]
        );
        assert!(cost(Some("6Gi"), "5Gi").charged_to(&quota).unwrap().is_empty());
        assert!(cost(None, "5Gi").charged_to(&quota).unwrap_err().starts_with("exceeded quota: q"));
    }

    #[test]
    fn what_was_not_counted_yet_is_not_given_out() {
        let quota = quota(json!({"requests.storage": "10Gi"}), json!({}));
        assert!(cost(None, "1Gi").charged_to(&quota).unwrap_err().starts_with("status unknown"));
    }
}
