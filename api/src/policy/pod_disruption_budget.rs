//! PodDisruptionBudget: how many of a set of pods may be away at once by choice. Evictions are held to it.

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{labels, names};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::supported_value;
use crate::{columns, conditions, counts};

pub struct PodDisruptionBudgets;

impl Kind for PodDisruptionBudgets {
    type Object = PodDisruptionBudget;

    const NAMES: Names = Names {
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short: &["pdb"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "poddisruptionbudgets";
    const MARK: Option<Mark> = Some(conditions::mark_missing_times);
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Min Available", "How many pods have to stay."),
        Column::text("Max Unavailable", "How many pods may be away."),
        Column::integer("Allowed Disruptions", "How many pods may be evicted now."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        // Kubernetes asks no more of the name here.
        names::path_segment(name, prefix)
    }

    fn default(budget: &mut PodDisruptionBudget) {
        budget.spec.get_or_insert_default();
        let status = budget.status.get_or_insert_default();
        for count in [&mut status.current_healthy, &mut status.desired_healthy, &mut status.disruptions_allowed, &mut status.expected_pods]
        {
            count.get_or_insert_default();
        }
    }

    fn prepare_create(_cx: &Context<'_>, budget: &mut PodDisruptionBudget) {
        budget.metadata.generation = Some(1);
        budget.status = None;
        Self::default(budget);
    }

    fn validate_create(_cx: &Context<'_>, budget: &PodDisruptionBudget) -> Errors {
        validate(budget)
    }

    fn update() -> &'static dyn UpdateStrategy<PodDisruptionBudget> {
        &Update
    }

    fn subresources() -> Vec<Subresource<PodDisruptionBudget>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(budget: &PodDisruptionBudget, now: Timestamp) -> Vec<Value> {
        let spec = budget.spec.clone().unwrap_or_default();
        let shown = |value: &Option<IntOrString>| match value {
            None => "N/A".to_owned(),
            Some(IntOrString::Int(count)) => count.to_string(),
            Some(IntOrString::String(share)) => share.clone(),
        };
        let allowed = budget.status.as_ref().and_then(|s| s.disruptions_allowed).unwrap_or_default();
        vec![
            columns::name(&budget.metadata),
            json!(shown(&spec.min_available)),
            json!(shown(&spec.max_unavailable)),
            json!(allowed),
            columns::age(&budget.metadata, now),
        ]
    }
}

fn validate(budget: &PodDisruptionBudget) -> Errors {
    validate_spec(&Path::new("spec"), &budget.spec.clone().unwrap_or_default())
}

fn validate_spec(path: &Path, spec: &PodDisruptionBudgetSpec) -> Errors {
    let mut errors = Errors::new();
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        errors.push(Error::invalid(path, spec, "minAvailable and maxUnavailable exclude each other"));
    }
    for (field, value) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
        let at = path.child(field);
        errors.extend(counts::count_or_percent(&at, value.as_ref()));
        errors.extend(counts::at_most_all(&at, value.as_ref()));
    }
    if let Some(selector) = &spec.selector {
        errors.extend(labels::validate(selector, &path.child("selector")));
    }
    if let Some(policy) = &spec.unhealthy_pod_eviction_policy {
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        errors.extend(supported_value(&path.child("unhealthyPodEvictionPolicy"), policy, &policies));
    }
    errors
}

struct Update;

impl UpdateStrategy<PodDisruptionBudget> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PodDisruptionBudget, old: &PodDisruptionBudget) {
        new.status = old.status.clone();
        if new.spec != old.spec {
            new.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &PodDisruptionBudget, _old: &PodDisruptionBudget) -> Errors {
        validate(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<PodDisruptionBudget> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PodDisruptionBudget, old: &PodDisruptionBudget) {
        new.spec = old.spec.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &PodDisruptionBudget, _old: &PodDisruptionBudget) -> Errors {
        validate_status(&Path::new("status"), &new.status.clone().unwrap_or_default())
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn validate_status(path: &Path, status: &PodDisruptionBudgetStatus) -> Errors {
    let mut errors = conditions::validate(&path.child("conditions"), status.conditions.as_deref().unwrap_or_default());
    for (field, count) in [
        ("disruptionsAllowed", status.disruptions_allowed),
        ("currentHealthy", status.current_healthy),
        ("desiredHealthy", status.desired_healthy),
        ("expectedPods", status.expected_pods),
    ] {
        errors.extend(counts::non_negative(&path.child(field), count));
    }
    errors
}
