//! ClusterRoleBinding: gives a cluster role to users, groups and service accounts, everywhere.

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::subjects;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

pub struct ClusterRoleBindings;

impl Kind for ClusterRoleBindings {
    type Object = ClusterRoleBinding;

    const NAMES: Names = Names {
        group: super::GROUP,
        version: "v1",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "clusterrolebindings";
    const CREATE_ON_UPDATE: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Role", "The role that is given."),
        Column::AGE,
        Column::text("Users", "The users who get it.").wide(),
        Column::text("Groups", "The groups who get it.").wide(),
        Column::text("ServiceAccounts", "The service accounts that get it.").wide(),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::path_segment(name, prefix)
    }

    fn default(binding: &mut ClusterRoleBinding) {
        subjects::default(&mut binding.role_ref, &mut binding.subjects);
    }

    fn validate_create(_cx: &Context<'_>, binding: &ClusterRoleBinding) -> Errors {
        check(binding)
    }

    fn update() -> &'static dyn UpdateStrategy<ClusterRoleBinding> {
        &Update
    }

    fn row(binding: &ClusterRoleBinding, now: Timestamp) -> Vec<Value> {
        let role = json!(format!("{}/{}", binding.role_ref.kind, binding.role_ref.name));
        let [users, groups, accounts] = subjects::cells(binding.subjects.as_ref());
        vec![columns::name(&binding.metadata), role, columns::age(&binding.metadata, now), users, groups, accounts]
    }
}

struct Update;

impl UpdateStrategy<ClusterRoleBinding> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut ClusterRoleBinding, _old: &ClusterRoleBinding) {}

    fn validate(&self, _cx: &Context<'_>, new: &ClusterRoleBinding, _old: &ClusterRoleBinding) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &ClusterRoleBinding, old: &ClusterRoleBinding) -> Errors {
        subjects::check_update(&new.role_ref, &old.role_ref)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(binding: &ClusterRoleBinding) -> Errors {
    subjects::check(&binding.role_ref, &["ClusterRole"], binding.subjects.as_ref(), false)
}
