//! MutatingAdmissionPolicyBinding: puts a policy in force, for some resources and with parameters.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{MutatingAdmissionPolicyBinding, MutatingAdmissionPolicyBindingSpec};
use machinery::field::{Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::matching;
use crate::apps::bump_generation;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, zero};

pub struct MutatingAdmissionPolicyBindings;

impl Kind for MutatingAdmissionPolicyBindings {
    type Object = MutatingAdmissionPolicyBinding;

    const NAMES: Names =
        super::names("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", "mutatingadmissionpolicybinding");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "mutatingadmissionpolicybindings";
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

    fn default(binding: &mut MutatingAdmissionPolicyBinding) {
        let spec = zero::keep(&mut binding.spec);
        spec.match_resources.iter_mut().for_each(matching::default_resources);
        matching::default_param_ref(&mut spec.param_ref);
    }

    fn prepare_create(_cx: &Context<'_>, binding: &mut MutatingAdmissionPolicyBinding) {
        binding.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, binding: &MutatingAdmissionPolicyBinding) -> Errors {
        check(binding)
    }

    fn update() -> &'static dyn UpdateStrategy<MutatingAdmissionPolicyBinding> {
        &Update
    }

    fn row(binding: &MutatingAdmissionPolicyBinding, now: Timestamp) -> Vec<Value> {
        let none = MutatingAdmissionPolicyBindingSpec::default();
        let spec = binding.spec.as_ref().unwrap_or(&none);
        vec![
            columns::name(&binding.metadata),
            json!(spec.policy_name.as_deref().unwrap_or_default()),
            json!(matching::param_ref_cell(spec.param_ref.as_ref())),
            columns::age(&binding.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<MutatingAdmissionPolicyBinding> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut MutatingAdmissionPolicyBinding, old: &MutatingAdmissionPolicyBinding) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &MutatingAdmissionPolicyBinding, _old: &MutatingAdmissionPolicyBinding) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

fn check(binding: &MutatingAdmissionPolicyBinding) -> Errors {
    let none = MutatingAdmissionPolicyBindingSpec::default();
    let spec = binding.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = matching::check_policy_name(&path.child("policyName"), spec.policy_name.as_deref().unwrap_or_default());
    errors.extend(matching::check_param_ref(&path.child("paramRef"), spec.param_ref.as_ref()));
    if let Some(resources) = &spec.match_resources {
        let path = path.child("matchResources");
        errors.extend(matching::check_resources(&path, resources, false));
        errors.extend(matching::check_mutating_operations(&path, resources));
    }
    errors
}
