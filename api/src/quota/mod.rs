//! What objects count for in the eyes of ResourceQuotas: pure rules, shared by admission, which charges quotas, and the
//! quota controller, which counts anew.

mod claims;
mod devices;
mod pods;
mod scopes;
mod services;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaSpec, Service};
use k8s_openapi::api::resource::v1::ResourceClaim;
use machinery::quantity::{Format, Quantity};

use crate::Object;
use crate::object::downcast_ref;
use crate::scheduling::resources::List;

pub use devices::{DeviceClasses, claim_amounts, extended_claim_of, is_counted_with_pod, oldest_extended_claims};
pub use pods::{PodUsage, missing, pod_limits, pod_requests};
pub use scopes::{Subject, selects};

/// Exact amounts by resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Reads a resource list.
pub fn amounts(list: Option<&List>) -> Amounts {
    list.into_iter().flatten().map(|(name, amount)| (name.clone(), Quantity::of(amount))).collect()
}

/// Writes a resource list.
pub fn list(amounts: Amounts) -> List {
    amounts.into_iter().map(|(name, amount)| (name, amount.into())).collect()
}

/// Adds amount by amount.
pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *to.entry(name.clone()).or_default() += *amount;
    }
}

/// Which objects a quota's resource name is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted<'a> {
    Pods,
    Services,
    /// Persistent volume claims.
    Claims,
    ResourceClaims,
    /// The number of objects of any resource.
    Objects {
        group: &'a str,
        plural: &'a str,
    },
}

impl<'a> Counted<'a> {
    /// How objects of a resource are counted.
    pub fn of(group: &'a str, plural: &'a str) -> Self {
        match (group, plural) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("resource.k8s.io", "resourceclaims") => Self::ResourceClaims,
            (group, plural) => Self::Objects { group, plural },
        }
    }

    /// Whether a quota's resource name is about these objects, and maybe about others too.
    pub fn is_meant_by(self, name: &str, classes: &DeviceClasses) -> bool {
        Counted::named(name) == Some(self) || self == Self::ResourceClaims && classes.give(name)
    }

    /// What a quota means by a resource name; None where nothing is counted under it.
    pub fn named(name: &'a str) -> Option<Self> {
        if let Some(counted) = name.strip_prefix("count/") {
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            return Some(Self::of(group, plural));
        }
        Some(match name {
            "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => Self::Objects { group: "", plural: name },
            "services" | services::NODE_PORTS | services::LOAD_BALANCERS => Self::Services,
            "persistentvolumeclaims" | claims::STORAGE => Self::Claims,
            _ if name.contains(claims::CLASS_INFIX) => Self::Claims,
            _ if name.ends_with(devices::DEVICES_SUFFIX) => Self::ResourceClaims,
            _ if pods::counts(name) => Self::Pods,
            _ => return None,
        })
    }
}

/// What one object counts for, and what scopes look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    pub amounts: Amounts,
    pub subject: Subject,
}

impl Usage {
    /// `group` and `plural` say which resource the object is of.
    pub fn of(object: &dyn Object, group: &str, plural: &str, now: Timestamp) -> Self {
        if let Some(pod) = downcast_ref::<Pod>(object) {
            let usage = PodUsage::of(pod);
            let counts = pods::is_counted(pod, now);
            return Self { amounts: usage.amounts(counts), subject: Subject::Pod(usage.traits) };
        }
        if let Some(service) = downcast_ref::<Service>(object) {
            return Self { amounts: services::amounts(service), subject: Subject::Other };
        }
        if let Some(claim) = downcast_ref::<PersistentVolumeClaim>(object) {
            return claims::usage(claim);
        }
        if let Some(claim) = downcast_ref::<ResourceClaim>(object) {
            return Self::of_devices(claim, &DeviceClasses::default(), None);
        }
        let mut amounts = Amounts::from([(count_name(group, plural), ONE)]);
        if matches!(Counted::named(plural), Some(Counted::Objects { .. })) && group.is_empty() {
            amounts.insert(plural.to_owned(), ONE);
        }
        Self { amounts, subject: Subject::Other }
    }
}

impl Usage {
    /// See [`claim_amounts`].
    pub fn of_devices(claim: &ResourceClaim, classes: &DeviceClasses, pod: Option<&Amounts>) -> Self {
        Self { amounts: claim_amounts(claim, classes, pod), subject: Subject::Other }
    }
}

/// `count/deployments.apps`
pub fn count_name(group: &str, plural: &str) -> String {
    if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") }
}

static ONE: Quantity = Quantity::ONE;

fn whole(number: usize) -> Quantity {
    Quantity::new(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi)
}

/// The quota's spec; an absent one limits nothing.
pub fn spec(quota: &ResourceQuota) -> std::borrow::Cow<'_, ResourceQuotaSpec> {
    quota.spec.as_ref().map_or_else(Default::default, std::borrow::Cow::Borrowed)
}

#[cfg(test)]
mod tests;
