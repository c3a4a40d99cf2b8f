//! MutatingAdmissionPolicy: expressions that change what is written.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicySpec, Mutation};
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::environment::{Visible, Wanted};
use super::{FAILURE_POLICIES, REINVOCATION_POLICIES, expressions, matching};
use crate::apps::bump_generation;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

pub struct MutatingAdmissionPolicies;

impl Kind for MutatingAdmissionPolicies {
    type Object = MutatingAdmissionPolicy;

    const NAMES: Names = super::names("MutatingAdmissionPolicy", "mutatingadmissionpolicies", "mutatingadmissionpolicy");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "mutatingadmissionpolicies";
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Mutations", "How many changes there are."),
        Column::text("ParamKind", "What the parameters are."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(policy: &mut MutatingAdmissionPolicy) {
        let spec = zero::keep(&mut policy.spec);
        spec.failure_policy.get_or_insert_with(|| "Fail".to_owned());
        spec.match_constraints.iter_mut().for_each(matching::default_resources);
        zero::omit(&mut spec.match_conditions);
        zero::omit(&mut spec.mutations);
        zero::omit(&mut spec.variables);
        zero::omit(&mut spec.reinvocation_policy);
    }

    fn prepare_create(_cx: &Context<'_>, policy: &mut MutatingAdmissionPolicy) {
        policy.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, policy: &MutatingAdmissionPolicy) -> Errors {
        check(policy)
    }

    fn update() -> &'static dyn UpdateStrategy<MutatingAdmissionPolicy> {
        &Update
    }

    fn row(policy: &MutatingAdmissionPolicy, now: Timestamp) -> Vec<Value> {
        let spec = policy.spec.as_ref();
        vec![
            columns::name(&policy.metadata),
            json!(spec.and_then(|s| s.mutations.as_ref()).map_or(0, Vec::len)),
            json!(matching::param_kind_cell(spec.and_then(|s| s.param_kind.as_ref()))),
            columns::age(&policy.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<MutatingAdmissionPolicy> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut MutatingAdmissionPolicy, old: &MutatingAdmissionPolicy) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &MutatingAdmissionPolicy, _old: &MutatingAdmissionPolicy) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }
}

fn check(policy: &MutatingAdmissionPolicy) -> Errors {
    let none = MutatingAdmissionPolicySpec::default();
    let spec = policy.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = super::choice(&path.child("failurePolicy"), spec.failure_policy.as_deref(), &FAILURE_POLICIES);
    errors.extend(matching::check_param_kind(&path.child("paramKind"), spec.param_kind.as_ref()));
    let constraints = path.child("matchConstraints");
    match &spec.match_constraints {
        None => errors.push(Error::required(&constraints, "")),
        Some(resources) => {
            errors.extend(matching::check_resources(&constraints, resources, true));
            errors.extend(matching::check_mutating_operations(&constraints, resources));
        }
    }
    errors.extend(expressions::check_conditions(&path.child("matchConditions"), spec.match_conditions.as_ref(), spec.param_kind.is_some()));
    let mut visible = Visible { params: spec.param_kind.is_some(), authorizer: true, mutations: true, ..Visible::default() };
    errors.extend(expressions::check_variables(&path.child("variables"), spec.variables.as_ref(), &mut visible));
    let mutations = path.child("mutations");
    if spec.mutations.is_none() {
        errors.push(Error::required(&mutations, "one at least"));
    }
    for (i, mutation) in spec.mutations.iter().flatten().enumerate() {
        errors.extend(check_mutation(&mutations.index(i), mutation, &visible));
    }
    errors.extend(validate::one_of(&path.child("reinvocationPolicy"), spec.reinvocation_policy.as_deref(), &REINVOCATION_POLICIES));
    errors
}

fn check_mutation(path: &Path, mutation: &Mutation, visible: &Visible) -> Errors {
    let apply = mutation.apply_configuration.as_ref().map(|apply| apply.expression.as_deref().unwrap_or_default());
    let patch = mutation.json_patch.as_ref().map(|patch| patch.expression.as_deref().unwrap_or_default());
    let mut both =
        [("ApplyConfiguration", "applyConfiguration", apply, Wanted::Configuration), ("JSONPatch", "jsonPatch", patch, Wanted::Patch)];
    // What is asked for comes first.
    both.sort_by_key(|(kind, ..)| *kind != mutation.patch_type);
    let kinds = ["ApplyConfiguration", "JSONPatch"];
    let mut errors = validate::one_of(&path.child("patchType"), Some(&mutation.patch_type), &kinds);
    if !errors.is_empty() {
        return errors;
    }
    for (kind, name, expression, wanted) in both {
        match (kind == mutation.patch_type, expression) {
            (true, None) => errors.push(Error::required(&path.child(name), format!("when `patchType` is {kind}"))),
            (true, Some(text)) => errors.extend(expressions::check(&path.child(name).child("expression"), text, visible, wanted)),
            (false, Some(_)) => {
                errors.push(Error::bare_invalid(&path.child(name), format!("must be unset when `patchType` is {}", mutation.patch_type)));
            }
            (false, None) => {}
        }
    }
    errors
}
