//! Claims of devices. A class of devices may stand for an extended resource, and always does for one that is named after
//! it: a quota on such a resource counts claims of the class as well as pods that ask for the resource.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::quantity::{Format, Quantity};

use super::{Amounts, ONE};

pub(super) const DEVICES_SUFFIX: &str = ".deviceclass.resource.k8s.io/devices";
const IMPLICIT_PREFIX: &str = "deviceclass.resource.kubernetes.io/";
/// On a claim that the scheduler has made for a pod which asks for extended resources.
const EXTENDED: &str = "resource.kubernetes.io/extended-resource-claim";

/// The classes that there are, each with the extended resource that it says it stands for.
#[derive(Clone, Debug, Default)]
pub struct DeviceClasses(BTreeMap<String, Option<String>>);

impl DeviceClasses {
    pub fn of<'c>(classes: impl Iterator<Item = &'c DeviceClass>) -> Self {
        let named = |class: &DeviceClass| Some((class.metadata.name.clone()?, class.spec.extended_resource_name.clone()));
        Self(classes.filter_map(named).collect())
    }

    /// Whether a quota's resource name is one that a class stands for.
    pub(super) fn give(&self, name: &str) -> bool {
        let Some(resource) = name.strip_prefix("requests.") else { return false };
        match resource.strip_prefix(IMPLICIT_PREFIX) {
            Some(class) => self.0.contains_key(class),
            None => self.0.values().any(|extended| extended.as_deref() == Some(resource)),
        }
    }
}

/// The pod, by name and uid, whose extended resources the claim is made for: they are counted with the pod.
pub fn extended_claim_of(claim: &ResourceClaim) -> Option<(&str, &str)> {
    let marks = claim.metadata.annotations.as_ref()?;
    let owner = claim.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let is_marked = marks.get(EXTENDED).is_some_and(|mark| mark == "true");
    (is_marked && owner.kind == "Pod" && owner.api_version == "v1").then_some((&owner.name, &owner.uid))
}

/// Claims of one moment are told apart by their names.
fn age(claim: &ResourceClaim) -> (Option<&Time>, Option<&str>) {
    (claim.metadata.creation_timestamp.as_ref(), claim.metadata.name.as_deref())
}

/// The oldest claim that is made for the extended resources of each pod, by the pods' uids.
pub fn oldest_extended_claims<'c>(claims: impl Iterator<Item = &'c ResourceClaim>) -> HashMap<&'c str, &'c ResourceClaim> {
    let mut oldest = HashMap::<&str, &ResourceClaim>::new();
    for claim in claims {
        if let Some((_, pod)) = extended_claim_of(claim) {
            let known = oldest.entry(pod).or_insert(claim);
            if age(claim) < age(known) {
                *known = claim;
            }
        }
    }
    oldest
}

/// Whether the claim is the one of its pod's that is counted with the pod: the one that the pod's status names, as long as
/// it names none the oldest. Any other counts in full, so that nobody gets devices by marking claims.
pub fn is_counted_with_pod(claim: &ResourceClaim, named: Option<&str>, oldest: &HashMap<&str, &ResourceClaim>) -> bool {
    let name = claim.metadata.name.as_deref();
    match named {
        Some(named) => Some(named) == name,
        None => extended_claim_of(claim).and_then(|(_, pod)| oldest.get(pod)).is_some_and(|oldest| oldest.metadata.name.as_deref() == name),
    }
}

/// The devices that a claim may get, by class, and by the resources that the classes stand for; `pod` is what the pod counts
/// for whose extended resources the claim is made for. Of alternatives, the largest counts.
pub fn claim_amounts(claim: &ResourceClaim, classes: &DeviceClasses, pod: Option<&Amounts>) -> Amounts {
    let mut sum = Amounts::from([("count/resourceclaims.resource.k8s.io".to_owned(), ONE)]);
    let mut resources = Amounts::new();
    for (class, count) in devices(claim) {
        let count = Quantity::new(count, Format::DecimalSi);
        *resources.entry(format!("requests.{IMPLICIT_PREFIX}{class}")).or_default() += count;
        if let Some(Some(extended)) = classes.0.get(class) {
            *resources.entry(format!("requests.{extended}")).or_default() += count;
        }
        sum.insert(format!("{class}{DEVICES_SUFFIX}"), count);
    }
    for (name, amount) in resources {
        let left = amount - pod.and_then(|pod| pod.get(&name)).copied().unwrap_or_default();
        sum.insert(name, left.max(Quantity::ZERO));
    }
    sum
}

fn devices(claim: &ResourceClaim) -> BTreeMap<&str, i64> {
    /// What a request for all devices of a class counts as: the most that one claim can get.
    const ALL: i64 = 32;
    let number = |mode: Option<&str>, count: Option<i64>| if mode == Some("All") { ALL } else { count.unwrap_or(1) };
    let mut sum = BTreeMap::<&str, i64>::new();
    let requests = claim.spec.devices.as_ref().and_then(|devices| devices.requests.as_deref()).unwrap_or_default();
    for request in requests {
        let mut wanted = BTreeMap::<&str, i64>::new();
        if let Some(exactly) = &request.exactly {
            wanted.insert(&exactly.device_class_name, number(exactly.allocation_mode.as_deref(), exactly.count));
        }
        for one in request.first_available.iter().flatten() {
            let most = wanted.entry(&one.device_class_name).or_default();
            *most = (*most).max(number(one.allocation_mode.as_deref(), one.count));
        }
        for (class, count) in wanted {
            let total = sum.entry(class).or_default();
            *total = total.saturating_add(count);
        }
    }
    sum
}
