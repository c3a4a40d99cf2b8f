//! ResourceClaim: asks for devices. The scheduler allocates them and reserves the claim for pods, in the status.

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimStatus};
use machinery::field::{Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Map, Value, json};

use super::{allocation, claims};
use crate::conditions;
use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy, keep_metadata};
use crate::{columns, validate, zero};

pub struct ResourceClaims;

impl Kind for ResourceClaims {
    type Object = ResourceClaim;

    const NAMES: Names = super::names("ResourceClaim", "resourceclaims", "resourceclaim");
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "resourceclaims";
    const MARK: Option<Mark> = Some(mark_conditions);
    const STATUS_HAS_TABLE: bool = false;
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("State", "How far the claim has come."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(claim: &mut ResourceClaim) {
        claims::default(&mut claim.spec);
        let status = zero::keep(&mut claim.status);
        zero::omit(&mut status.reserved_for);
        zero::omit(&mut status.devices);
        if let Some(allocation) = &mut status.allocation {
            let devices = zero::keep(&mut allocation.devices);
            zero::omit(&mut devices.results);
            zero::omit(&mut devices.config);
            devices.results.iter_mut().flatten().for_each(|result| claims::default_tolerations(&mut result.tolerations));
        }
    }

    fn prepare_create(_cx: &Context<'_>, claim: &mut ResourceClaim) {
        claim.status = Some(ResourceClaimStatus::default());
        claims::forget_empty(&mut claim.spec);
    }

    fn validate_create(_cx: &Context<'_>, claim: &ResourceClaim) -> Errors {
        claims::check(&Path::new("spec"), &claim.spec)
    }

    fn update() -> &'static dyn UpdateStrategy<ResourceClaim> {
        &Update
    }

    fn subresources() -> Vec<Subresource<ResourceClaim>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(claim: &ResourceClaim, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&claim.metadata), json!(state(claim)), columns::age(&claim.metadata, now)]
    }
}

fn mark_conditions(object: &mut Map<String, Value>) {
    let devices = object.get_mut("status").and_then(|status| status.get_mut("devices")?.as_array_mut());
    for conditions in devices.into_iter().flatten().filter_map(|device| device.get_mut("conditions")) {
        conditions::mark_list(conditions);
    }
}

fn state(claim: &ResourceClaim) -> &'static str {
    let status = claim.status.as_ref();
    let allocated = status.is_some_and(|s| s.allocation.is_some());
    let reserved = status.is_some_and(|s| s.reserved_for.is_some());
    match (claim.metadata.deletion_timestamp.is_some(), allocated, reserved) {
        (true, true, _) => "allocated,deleted",
        (true, false, _) => "deleted",
        (false, true, true) => "allocated,reserved",
        (false, true, false) => "allocated",
        (false, false, _) => "pending",
    }
}

struct Update;

impl UpdateStrategy<ResourceClaim> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceClaim, old: &ResourceClaim) {
        new.status.clone_from(&old.status);
        claims::forget_empty(&mut new.spec);
    }

    fn validate(&self, _cx: &Context<'_>, _new: &ResourceClaim, _old: &ResourceClaim) -> Errors {
        Errors::new()
    }

    fn validate_change(&self, new: &ResourceClaim, old: &ResourceClaim) -> Errors {
        validate::immutable(&Path::new("spec"), &new.spec, &old.spec)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

struct Status;

impl UpdateStrategy<ResourceClaim> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceClaim, old: &ResourceClaim) {
        new.spec.clone_from(&old.spec);
        keep_metadata(&mut new.metadata, &old.metadata);
        if let (Some(is), Some(was)) = (&mut new.status, &old.status) {
            allocation::drop_deallocated(is, was);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceClaim, old: &ResourceClaim) -> Errors {
        let none = ResourceClaimStatus::default();
        let (is, was) = (new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
        let requests = new.spec.devices.as_ref().and_then(|d| d.requests.as_deref()).unwrap_or_default();
        allocation::check(&Path::new("status"), is, was, new.metadata.deletion_timestamp.is_some(), requests)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}
