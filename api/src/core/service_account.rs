//! ServiceAccount: an identity for processes in pods.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};
use machinery::field::Errors;
use machinery::{names, table};
use serde_json::{Value, json};

use crate::kind::{Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

const MOUNTABLE_ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";

pub struct ServiceAccounts;

impl Kind for ServiceAccounts {
    type Object = ServiceAccount;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short: &["sa"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "serviceaccounts";
    const DELETE_RETURNS_OBJECT: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn prepare_create(_cx: &Context<'_>, account: &mut ServiceAccount) {
        keep_names_only(account);
    }

    fn validate_create(_cx: &Context<'_>, _account: &ServiceAccount) -> Errors {
        Errors::new()
    }

    fn warnings_create(account: &ServiceAccount) -> Vec<String> {
        warnings(account, None)
    }

    fn update() -> &'static dyn UpdateStrategy<ServiceAccount> {
        &Update
    }

    fn row(account: &ServiceAccount, now: Timestamp) -> Vec<Value> {
        vec![json!(account.metadata.name), json!(table::age(&account.metadata, now))]
    }
}

/// References to secrets say their names and nothing else.
fn keep_names_only(account: &mut ServiceAccount) {
    for secret in account.secrets.iter_mut().flatten() {
        *secret = ObjectReference { name: secret.name.take(), ..ObjectReference::default() };
    }
}

struct Update;

impl UpdateStrategy<ServiceAccount> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ServiceAccount, _old: &ServiceAccount) {
        keep_names_only(new);
    }

    fn validate(&self, _cx: &Context<'_>, _new: &ServiceAccount, _old: &ServiceAccount) -> Errors {
        Errors::new()
    }

    fn warnings(&self, new: &ServiceAccount, old: &ServiceAccount) -> Vec<String> {
        warnings(new, Some(old))
    }
}

/// The annotation is deprecated, of which those are told who add it.
fn warnings(account: &ServiceAccount, old: Option<&ServiceAccount>) -> Vec<String> {
    let has_it = |account: &ServiceAccount| account.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MOUNTABLE_ANNOTATION));
    if !has_it(account) || old.is_some_and(has_it) {
        return Vec::new();
    }
    vec![format!("metadata.annotations[{MOUNTABLE_ANNOTATION}] is deprecated; namespaces of their own keep mounted secrets apart")]
}
