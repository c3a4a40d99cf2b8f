//! Role: what may be done in one namespace.

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::Role;
use machinery::field::Errors;
use machinery::objectmeta::Repeated;
use serde_json::Value;

use super::rules;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

pub struct Roles;

impl Kind for Roles {
    type Object = Role;

    const NAMES: Names =
        Names { group: super::GROUP, version: "v1", kind: "Role", plural: "roles", singular: "role", short: &[], categories: &[] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "roles";
    const CREATE_ON_UPDATE: bool = true;
    const COLUMNS: &'static [Column] = &[Column::NAME, columns::CREATED_AT];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::path_segment(name, prefix)
    }

    fn default(role: &mut Role) {
        rules::default(&mut role.rules);
    }

    fn validate_create(_cx: &Context<'_>, role: &Role) -> Errors {
        check(role)
    }

    fn update() -> &'static dyn UpdateStrategy<Role> {
        &Update
    }

    fn row(role: &Role, _now: Timestamp) -> Vec<Value> {
        vec![columns::name(&role.metadata), columns::created_at(&role.metadata)]
    }
}

struct Update;

impl UpdateStrategy<Role> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut Role, _old: &Role) {}

    fn validate(&self, _cx: &Context<'_>, new: &Role, _old: &Role) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(role: &Role) -> Errors {
    rules::check(role.rules.as_ref(), true)
}
