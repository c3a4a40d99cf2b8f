//! ClusterRole: what may be done anywhere, or to what has no namespace. It may be composed of others, by label.

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::ClusterRole;
use machinery::field::{Error, Errors, Path};
use machinery::labels;
use machinery::objectmeta::Repeated;
use serde_json::Value;

use super::rules;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

pub struct ClusterRoles;

impl Kind for ClusterRoles {
    type Object = ClusterRole;

    const NAMES: Names = Names {
        group: super::GROUP,
        version: "v1",
        kind: "ClusterRole",
        plural: "clusterroles",
        singular: "clusterrole",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "clusterroles";
    const CREATE_ON_UPDATE: bool = true;
    const COLUMNS: &'static [Column] = &[Column::NAME, columns::CREATED_AT];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::path_segment(name, prefix)
    }

    fn default(role: &mut ClusterRole) {
        rules::default(&mut role.rules);
    }

    fn validate_create(_cx: &Context<'_>, role: &ClusterRole) -> Errors {
        check(role)
    }

    fn update() -> &'static dyn UpdateStrategy<ClusterRole> {
        &Update
    }

    fn row(role: &ClusterRole, _now: Timestamp) -> Vec<Value> {
        vec![columns::name(&role.metadata), columns::created_at(&role.metadata)]
    }
}

struct Update;

impl UpdateStrategy<ClusterRole> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut ClusterRole, _old: &ClusterRole) {}

    fn validate(&self, _cx: &Context<'_>, new: &ClusterRole, _old: &ClusterRole) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(role: &ClusterRole) -> Errors {
    let mut errors = rules::check(role.rules.as_ref(), false);
    let Some(aggregation) = &role.aggregation_rule else { return errors };
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
    if selectors.is_empty() {
        errors.push(Error::required(&path, "one at least"));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        let wrong = labels::validate(selector, &path);
        if !wrong.is_empty() {
            errors.extend(wrong);
            errors.push(Error::invalid(&path, selector, "is not a valid selector"));
        }
    }
    errors
}
