//! ResourceQuota: how much of each resource a namespace may use in all. The API only; who counts is elsewhere.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ScopedResourceSelectorRequirement};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use super::pod::{validate_amount, validate_resource_name};
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::scheduling::resources::{List, round_up};
use crate::strategy::{Context, UpdateStrategy};
use crate::zero;

const SCOPES: [&str; 7] =
    ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass"];
/// No object is in both of a pair.
const CONFLICTING: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

pub struct ResourceQuotas;

impl Kind for ResourceQuotas {
    type Object = ResourceQuota;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short: &["quota"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "resourcequotas";
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Request", "What is used of what may be requested."),
        Column::text("Limit", "What is used of the limits."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(quota: &mut ResourceQuota) {
        round_up(&mut quota.spec.get_or_insert_default().hard);
        let status = quota.status.get_or_insert_default();
        round_up(&mut status.hard);
        round_up(&mut status.used);
        zero::omit(&mut status.hard);
        zero::omit(&mut status.used);
    }

    fn prepare_create(_cx: &Context<'_>, quota: &mut ResourceQuota) {
        quota.status = Some(Default::default());
    }

    fn validate_create(_cx: &Context<'_>, quota: &ResourceQuota) -> Errors {
        validate_spec(&Path::new("spec"), &quota.spec.clone().unwrap_or_default())
    }

    fn update() -> &'static dyn UpdateStrategy<ResourceQuota> {
        &Update
    }

    fn subresources() -> Vec<Subresource<ResourceQuota>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(quota: &ResourceQuota, now: Timestamp) -> Vec<Value> {
        let status = quota.status.clone().unwrap_or_default();
        let (hard, used) = (status.hard.unwrap_or_default(), status.used.unwrap_or_default());
        let shown = |limits: bool| {
            let of = hard.iter().filter(|(name, _)| name.starts_with("limits") == limits);
            let texts: Vec<String> =
                of.map(|(name, most)| format!("{name}: {}/{}", used.get(name).map_or("0", |u| &u.0), most.0)).collect();
            texts.join(", ")
        };
        vec![columns::name(&quota.metadata), json!(shown(false)), json!(shown(true)), columns::age(&quota.metadata, now)]
    }
}

fn validate_spec(path: &Path, spec: &ResourceQuotaSpec) -> Errors {
    let mut errors = validate_list(&path.child("hard"), spec.hard.as_ref());
    errors.extend(validate_scopes(&path.child("scopes"), spec));
    errors.extend(validate_scope_selector(&path.child("scopeSelector").child("matchExpressions"), spec));
    errors
}

fn validate_list(path: &Path, list: Option<&List>) -> Errors {
    let mut errors = Errors::new();
    for (name, amount) in list.into_iter().flatten() {
        let at = path.key(name);
        errors.extend(validate_resource_name(&at, name));
        if !name.contains('/') && !is_counted(name) {
            errors.push(Error::invalid(&at, name, "is no resource that quotas count"));
        }
        errors.extend(validate_amount(&at, name, Quantity::of(amount)));
    }
    errors
}

/// Whether quotas count a resource of this short name.
fn is_counted(name: &str) -> bool {
    const COUNTED: [&str; 19] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    ];
    COUNTED.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether a scope can be put on a resource.
fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "VolumeAttributesClass" => resource == "persistentvolumeclaims" || resource == "requests.storage",
        _ => true,
    }
}

fn misapplied<'a>(spec: &'a ResourceQuotaSpec, scope: &'a str) -> impl Iterator<Item = &'a String> {
    spec.hard.iter().flat_map(|l| l.keys()).filter(move |name| is_counted(name) && !applies(scope, name))
}

/// Kubernetes reports every error of scopes at the list.
fn validate_scopes(path: &Path, spec: &ResourceQuotaSpec) -> Errors {
    let scopes = spec.scopes.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    for scope in scopes {
        if !SCOPES.contains(&scope.as_str()) {
            errors.push(Error::invalid(path, scopes, format!("{scope:?} is no scope")));
        }
        errors.extend(misapplied(spec, scope).map(|name| Error::invalid(path, scopes, format!("{scope} says nothing of {name}"))));
    }
    errors.extend(conflicts(path, |scope| scopes.iter().any(|s| s == scope)));
    errors
}

fn conflicts(path: &Path, has: impl Fn(&str) -> bool) -> Errors {
    let both = CONFLICTING.iter().filter(|pair| pair.iter().all(|scope| has(scope)));
    both.map(|pair| Error::invalid(path, pair, "exclude each other")).collect()
}

fn validate_scope_selector(path: &Path, spec: &ResourceQuotaSpec) -> Errors {
    let requirements = spec.scope_selector.as_ref().and_then(|s| s.match_expressions.as_deref()).unwrap_or_default();
    let mut errors = Errors::new();
    for requirement in requirements {
        let scope = requirement.scope_name.as_str();
        if !SCOPES.contains(&scope) {
            errors.push(Error::invalid(&path.child("scopeName"), scope, "is no scope"));
        }
        errors.extend(misapplied(spec, scope).map(|name| Error::invalid(path, requirement, format!("says nothing of {name}"))));
        errors.extend(validate_operator(path, requirement));
    }
    errors.extend(conflicts(path, |scope| requirements.iter().any(|r| r.scope_name == scope)));
    errors
}

fn validate_operator(path: &Path, requirement: &ScopedResourceSelectorRequirement) -> Errors {
    let (scope, operator) = (requirement.scope_name.as_str(), requirement.operator.as_str());
    let values = requirement.values.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    let plain = !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
    if plain && SCOPES.contains(&scope) && operator != "Exists" {
        errors.push(Error::invalid(&path.child("operator"), operator, "must be Exists for this scope"));
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(Error::required(&path.child("values"), "must be given for In and NotIn"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(Error::invalid(&path.child("values"), values, "may not be given for Exists and DoesNotExist"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors
}

struct Update;

impl UpdateStrategy<ResourceQuota> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceQuota, old: &ResourceQuota) {
        new.status = old.status.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceQuota, old: &ResourceQuota) -> Errors {
        let path = Path::new("spec");
        let (new, old) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
        let mut errors = validate_spec(&path, &new);
        let set = |spec: &ResourceQuotaSpec| {
            let scopes: std::collections::BTreeSet<String> = spec.scopes.iter().flatten().cloned().collect();
            scopes
        };
        if set(&new) != set(&old) {
            errors.push(Error::invalid(&path.child("scopes"), &new.scopes, "field is immutable"));
        }
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<ResourceQuota> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceQuota, old: &ResourceQuota) {
        new.spec = old.spec.clone();
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceQuota, _old: &ResourceQuota) -> Errors {
        let path = Path::new("status");
        let status = new.status.clone().unwrap_or_default();
        let mut errors = validate_list(&path.child("hard"), status.hard.as_ref());
        errors.extend(validate_list(&path.child("used"), status.used.as_ref()));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
