//! Lease: a claim that has to be renewed; leaders and nodes hold one. A PUT makes one that does not exist.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use machinery::field::{Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate;

pub struct Leases;

impl Kind for Leases {
    type Object = Lease;

    const NAMES: Names = Names {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "leases";
    const FINALIZER_DOMAINS: bool = false;
    const CREATE_ON_UPDATE: bool = true;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Holder", "Who holds the lease."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(lease: &mut Lease) {
        lease.spec.get_or_insert_default();
    }

    fn prepare_create(_cx: &Context<'_>, lease: &mut Lease) {
        drop_coordinated_election(lease, None);
    }

    fn validate_create(_cx: &Context<'_>, lease: &Lease) -> Errors {
        validate(lease)
    }

    fn update() -> &'static dyn UpdateStrategy<Lease> {
        &Update
    }

    fn row(lease: &Lease, now: Timestamp) -> Vec<Value> {
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()).unwrap_or_default();
        vec![json!(lease.metadata.name), json!(holder), json!(table::age(&lease.metadata, now))]
    }
}

/// Coordinated leader election is a feature that Kubernetes 1.36 has off: its fields are dropped where they are new.
fn drop_coordinated_election(lease: &mut Lease, old: Option<&Lease>) {
    let was = old.and_then(|o| o.spec.as_ref());
    if let Some(spec) = &mut lease.spec {
        spec.strategy = spec.strategy.take().filter(|_| was.is_some_and(|w| w.strategy.is_some()));
        spec.preferred_holder = spec.preferred_holder.take().filter(|_| was.is_some_and(|w| w.preferred_holder.is_some()));
    }
}

struct Update;

impl UpdateStrategy<Lease> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Lease, old: &Lease) {
        drop_coordinated_election(new, Some(old));
    }

    fn validate(&self, _cx: &Context<'_>, new: &Lease, _old: &Lease) -> Errors {
        validate(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}

fn validate(lease: &Lease) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let Some(spec) = &lease.spec else { return errors };
    if let Some(seconds) = spec.lease_duration_seconds {
        errors.extend(validate::positive(&path.child("leaseDurationSeconds"), seconds.into()));
    }
    if let Some(transitions) = spec.lease_transitions {
        errors.extend(validate::non_negative(&path.child("leaseTransitions"), transitions.into()));
    }
    errors
}
