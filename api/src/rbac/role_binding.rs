//! RoleBinding: gives a role to users, groups and service accounts, in one namespace.

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::RoleBinding;
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::subjects;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

pub struct RoleBindings;

impl Kind for RoleBindings {
    type Object = RoleBinding;

    const NAMES: Names = Names {
        group: super::GROUP,
        version: "v1",
        kind: "RoleBinding",
        plural: "rolebindings",
        singular: "rolebinding",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "rolebindings";
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

    fn default(binding: &mut RoleBinding) {
        subjects::default(&mut binding.role_ref, &mut binding.subjects);
    }

    fn validate_create(_cx: &Context<'_>, binding: &RoleBinding) -> Errors {
        check(binding)
    }

    fn update() -> &'static dyn UpdateStrategy<RoleBinding> {
        &Update
    }

    fn row(binding: &RoleBinding, now: Timestamp) -> Vec<Value> {
        let role = json!(format!("{}/{}", binding.role_ref.kind, binding.role_ref.name));
        let [users, groups, accounts] = subjects::cells(binding.subjects.as_ref());
        vec![columns::name(&binding.metadata), role, columns::age(&binding.metadata, now), users, groups, accounts]
    }
}

struct Update;

impl UpdateStrategy<RoleBinding> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut RoleBinding, _old: &RoleBinding) {}

    fn validate(&self, _cx: &Context<'_>, new: &RoleBinding, _old: &RoleBinding) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &RoleBinding, old: &RoleBinding) -> Errors {
        subjects::check_update(&new.role_ref, &old.role_ref)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(binding: &RoleBinding) -> Errors {
    subjects::check(&binding.role_ref, &["ClusterRole", "Role"], binding.subjects.as_ref(), true)
}
