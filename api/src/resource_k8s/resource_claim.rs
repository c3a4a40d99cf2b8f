//! ResourceClaim: asks for devices. The scheduler allocates them and reserves the claim for pods, in the status.

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimStatus};
use machinery::field::{Error, Errors, Path};
use serde_json::{Value, json};

use super::claims;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

/// How many consumers may share a claim.
const MOST_RESERVATIONS: usize = 256;

pub struct ResourceClaims;

impl Kind for ResourceClaims {
    type Object = ResourceClaim;

    const NAMES: Names = super::names("ResourceClaim", "resourceclaims", "resourceclaim");
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "resourceclaims";
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
            zero::keep(&mut allocation.devices);
        }
    }

    fn prepare_create(_cx: &Context<'_>, claim: &mut ResourceClaim) {
        claim.status = Some(ResourceClaimStatus::default());
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
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceClaim, old: &ResourceClaim) -> Errors {
        validate::immutable(&Path::new("spec"), &new.spec, &old.spec)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<ResourceClaim> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceClaim, old: &ResourceClaim) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceClaim, old: &ResourceClaim) -> Errors {
        let none = ResourceClaimStatus::default();
        let (is, was) = (new.status.as_ref().unwrap_or(&none), old.status.as_ref().unwrap_or(&none));
        let path = Path::new("status");
        let mut errors = check_reservations(&path.child("reservedFor"), is, new.metadata.deletion_timestamp.is_some(), was);
        // An allocation stays as it is until it is given up.
        match (&was.allocation, &is.allocation) {
            (Some(_), Some(_)) => errors.extend(validate::immutable(&path.child("allocation"), &is.allocation, &was.allocation)),
            (None, Some(_)) => errors.extend(check_allocation(&path.child("allocation"), new)),
            _ => {}
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn check_reservations(path: &Path, is: &ResourceClaimStatus, deleted: bool, was: &ResourceClaimStatus) -> Errors {
    let consumers = is.reserved_for.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    if consumers.len() > MOST_RESERVATIONS {
        errors.push(Error::too_many(path, consumers.len(), MOST_RESERVATIONS));
    }
    for (i, consumer) in consumers.iter().enumerate() {
        let path = path.index(i);
        for (name, value) in [("resource", &consumer.resource), ("name", &consumer.name), ("uid", &consumer.uid)] {
            if value.is_empty() {
                errors.push(Error::required(&path.child(name), ""));
            }
        }
        if consumers[..i].iter().any(|before| before.uid == consumer.uid) {
            errors.push(Error::duplicate(&path, &consumer.uid));
        }
    }
    if !consumers.is_empty() && is.allocation.is_none() {
        errors.push(Error::forbidden(path, "may not be specified when `allocated` is not set"));
    }
    let before = was.reserved_for.as_deref().unwrap_or_default();
    if deleted && consumers.iter().any(|consumer| !before.contains(consumer)) {
        errors.push(Error::forbidden(path, "new entries may not be added while the claim is being deleted"));
    }
    errors
}

fn check_allocation(path: &Path, claim: &ResourceClaim) -> Errors {
    let requests = claim.spec.devices.as_ref().and_then(|d| d.requests.as_deref()).unwrap_or_default();
    let allocation = claim.status.as_ref().and_then(|s| s.allocation.as_ref());
    let results = allocation.and_then(|a| a.devices.as_ref()).and_then(|d| d.results.as_deref()).unwrap_or_default();
    let path = path.child("devices").child("results");
    let mut errors = Errors::new();
    for (i, result) in results.iter().enumerate() {
        let path = path.index(i);
        if !claims::is_request(&result.request, requests) {
            errors.push(Error::invalid(&path.child("request"), &result.request, "must be the name of a request in the claim"));
        }
        errors.extend(claims::check_driver(&path.child("driver"), &result.driver));
        for (name, value) in [("pool", &result.pool), ("device", &result.device)] {
            if value.is_empty() {
                errors.push(Error::required(&path.child(name), ""));
            }
        }
    }
    errors
}
