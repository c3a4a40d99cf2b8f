//! ValidatingAdmissionPolicyBinding: puts a policy in force, for some resources and with parameters.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::matching;
use crate::apps::bump_generation;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate};

pub struct ValidatingAdmissionPolicyBindings;

impl Kind for ValidatingAdmissionPolicyBindings {
    type Object = ValidatingAdmissionPolicyBinding;

    const NAMES: Names =
        super::names("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "validatingadmissionpolicybinding");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "validatingadmissionpolicybindings";
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("PolicyName", "The policy that is put in force."),
        Column::text("ParamRef", "Its parameters."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(binding: &mut ValidatingAdmissionPolicyBinding) {
        let spec = &mut binding.spec;
        spec.match_resources.iter_mut().for_each(matching::default_resources);
        matching::default_param_ref(&mut spec.param_ref);
    }

    fn prepare_create(_cx: &Context<'_>, binding: &mut ValidatingAdmissionPolicyBinding) {
        binding.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, binding: &ValidatingAdmissionPolicyBinding) -> Errors {
        check(binding)
    }

    fn update() -> &'static dyn UpdateStrategy<ValidatingAdmissionPolicyBinding> {
        &Update
    }

    fn row(binding: &ValidatingAdmissionPolicyBinding, now: Timestamp) -> Vec<Value> {
        let spec = &binding.spec;
        vec![
            columns::name(&binding.metadata),
            json!(spec.policy_name),
            json!(matching::param_ref_cell(spec.param_ref.as_ref())),
            columns::age(&binding.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<ValidatingAdmissionPolicyBinding> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ValidatingAdmissionPolicyBinding, old: &ValidatingAdmissionPolicyBinding) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ValidatingAdmissionPolicyBinding, _old: &ValidatingAdmissionPolicyBinding) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

fn check(binding: &ValidatingAdmissionPolicyBinding) -> Errors {
    let spec = &binding.spec;
    let path = Path::new("spec");
    let mut errors = matching::check_policy_name(&path.child("policyName"), &spec.policy_name);
    errors.extend(matching::check_param_ref(&path.child("paramRef"), spec.param_ref.as_ref()));
    if let Some(resources) = &spec.match_resources {
        errors.extend(matching::check_resources(&path.child("matchResources"), resources, false));
    }
    errors.extend(check_actions(&path.child("validationActions"), &spec.validation_actions));
    errors
}

fn check_actions(path: &Path, actions: &[String]) -> Errors {
    let mut errors = Errors::new();
    if actions.is_empty() {
        errors.push(Error::required(path, "one at least"));
    }
    for (i, action) in actions.iter().enumerate() {
        errors.extend(validate::supported_value(&path.index(i), action, &["Audit", "Deny", "Warn"]));
        if actions[..i].contains(action) {
            errors.push(Error::duplicate(&path.index(i), action));
        }
    }
    let has = |wanted: &str| actions.iter().any(|action| action == wanted);
    if has("Deny") && has("Warn") {
        errors.push(Error::invalid(path, actions, "must not contain both Deny and Warn (repeating the same message)"));
    }
    errors
}
