//! ValidatingAdmissionPolicy: expressions that a write has to satisfy.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec, ValidatingAdmissionPolicyStatus, Validation,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::environment::{Visible, Wanted};
use super::{FAILURE_POLICIES, expressions, matching};
use crate::apps::bump_generation;
use crate::custom::jsonpath::JsonPath;
use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{self, Context, UpdateStrategy};
use crate::{columns, conditions, validate, zero};

const MOST_AUDIT_ANNOTATIONS: usize = 20;
/// Of an audit annotation's value.
const MOST_EXPRESSION_BYTES: usize = 5 * 1024;

pub struct ValidatingAdmissionPolicies;

impl Kind for ValidatingAdmissionPolicies {
    type Object = ValidatingAdmissionPolicy;

    const NAMES: Names = super::names("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicy");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "validatingadmissionpolicies";
    const MARK: Option<Mark> = Some(conditions::mark_missing_times);
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Validations", "How many expressions there are."),
        Column::text("ParamKind", "What the parameters are."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(policy: &mut ValidatingAdmissionPolicy) {
        let spec = zero::keep(&mut policy.spec);
        spec.failure_policy.get_or_insert_with(|| "Fail".to_owned());
        spec.match_constraints.iter_mut().for_each(matching::default_resources);
        zero::omit(&mut spec.match_conditions);
        zero::omit(&mut spec.validations);
        zero::omit(&mut spec.audit_annotations);
        zero::omit(&mut spec.variables);
        for validation in spec.validations.iter_mut().flatten() {
            zero::omit(&mut validation.message);
            zero::omit(&mut validation.message_expression);
        }
        let status = zero::keep(&mut policy.status);
        zero::omit(&mut status.observed_generation);
        zero::omit(&mut status.conditions);
    }

    fn prepare_create(_cx: &Context<'_>, policy: &mut ValidatingAdmissionPolicy) {
        policy.status = Some(ValidatingAdmissionPolicyStatus::default());
        policy.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, policy: &ValidatingAdmissionPolicy) -> Errors {
        check(policy)
    }

    fn update() -> &'static dyn UpdateStrategy<ValidatingAdmissionPolicy> {
        &Update
    }

    fn subresources() -> Vec<Subresource<ValidatingAdmissionPolicy>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(policy: &ValidatingAdmissionPolicy, now: Timestamp) -> Vec<Value> {
        let spec = policy.spec.as_ref();
        vec![
            columns::name(&policy.metadata),
            json!(spec.and_then(|s| s.validations.as_ref()).map_or(0, Vec::len)),
            json!(matching::param_kind_cell(spec.and_then(|s| s.param_kind.as_ref()))),
            columns::age(&policy.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<ValidatingAdmissionPolicy> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ValidatingAdmissionPolicy, old: &ValidatingAdmissionPolicy) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ValidatingAdmissionPolicy, _old: &ValidatingAdmissionPolicy) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<ValidatingAdmissionPolicy> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ValidatingAdmissionPolicy, old: &ValidatingAdmissionPolicy) {
        new.spec.clone_from(&old.spec);
        strategy::keep_metadata(&mut new.metadata, &old.metadata);
    }

    fn validate(&self, _cx: &Context<'_>, new: &ValidatingAdmissionPolicy, _old: &ValidatingAdmissionPolicy) -> Errors {
        new.status.as_ref().map(|status| check_status(&Path::new("status"), status)).unwrap_or_default()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }
}

fn check_status(path: &Path, status: &ValidatingAdmissionPolicyStatus) -> Errors {
    let warnings = status.type_checking.iter().flat_map(|checking| checking.expression_warnings.iter().flatten());
    let mut errors = Errors::new();
    for (i, warning) in warnings.enumerate() {
        let path = path.child("typeChecking").child("expressionWarnings").index(i);
        errors.extend(validate::required(&path.child("warning"), &warning.warning));
        let field = path.child("fieldRef");
        match warning.field_ref.trim() {
            "" => errors.push(Error::required(&field, "")),
            text if JsonPath::parse(&format!(".{}", text.trim_start_matches('.'))).is_none() => {
                errors.push(Error::invalid(&field, text, "is no path to a field"));
            }
            _ => {}
        }
    }
    errors.extend(validate::conditions(&path.child("conditions"), status.conditions.as_deref().unwrap_or_default()));
    errors
}

fn check(policy: &ValidatingAdmissionPolicy) -> Errors {
    let none = ValidatingAdmissionPolicySpec::default();
    let spec = policy.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = super::choice(&path.child("failurePolicy"), spec.failure_policy.as_deref(), &FAILURE_POLICIES);
    errors.extend(matching::check_param_kind(&path.child("paramKind"), spec.param_kind.as_ref()));
    let constraints = path.child("matchConstraints");
    match &spec.match_constraints {
        None => errors.push(Error::required(&constraints, "")),
        Some(resources) => errors.extend(matching::check_resources(&constraints, resources, true)),
    }
    errors.extend(expressions::check_conditions(&path.child("matchConditions"), spec.match_conditions.as_ref(), spec.param_kind.is_some()));
    let mut visible = Visible { params: spec.param_kind.is_some(), authorizer: true, ..Visible::default() };
    errors.extend(expressions::check_variables(&path.child("variables"), spec.variables.as_ref(), &mut visible));
    if spec.validations.is_none() && spec.audit_annotations.is_none() {
        errors.push(Error::required(&path.child("validations"), "validations or auditAnnotations"));
        errors.push(Error::required(&path.child("auditAnnotations"), "validations or auditAnnotations"));
    }
    for (i, validation) in spec.validations.iter().flatten().enumerate() {
        errors.extend(check_validation(&path.child("validations").index(i), validation, &visible));
    }
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    errors.extend(check_annotations(&path.child("auditAnnotations"), name, spec, &visible));
    errors
}

fn check_validation(path: &Path, validation: &Validation, visible: &Visible) -> Errors {
    const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    let condition = expressions::check(&path.child("expression"), &validation.expression, visible, Wanted::Condition);
    let mut errors: Errors = condition.into_iter().collect();
    if let Some(text) = &validation.message_expression {
        let path = path.child("messageExpression");
        if text.trim().is_empty() {
            errors.push(Error::invalid(&path, text, "must not be blank"));
        } else {
            // Messages are for whoever was refused, and say nothing of what others may do.
            let visible = Visible { authorizer: false, ..visible.clone() };
            errors.extend(expressions::check(&path, text, &visible, Wanted::Message));
        }
    }
    if let Some(text) = &validation.message {
        let path = path.child("message");
        if text.trim().is_empty() {
            errors.push(Error::invalid(&path, text, "must not be blank"));
        } else if text.contains('\n') {
            errors.push(Error::invalid(&path, text, "must not contain line breaks"));
        }
    }
    if let Some(reason) = &validation.reason {
        errors.extend(validate::supported_value(&path.child("reason"), reason, &REASONS));
    }
    errors
}

fn check_annotations(path: &Path, name: &str, spec: &ValidatingAdmissionPolicySpec, visible: &Visible) -> Errors {
    let annotations = spec.audit_annotations.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    if annotations.len() > MOST_AUDIT_ANNOTATIONS {
        errors.push(Error::invalid(path, annotations, format!("must not be more than {MOST_AUDIT_ANNOTATIONS}")));
    }
    for (i, annotation) in annotations.iter().enumerate() {
        let path = path.index(i);
        let key = path.child("key");
        // It becomes part of a key with the policy's name.
        errors.extend(validate::complaints(&key, &annotation.key, names::qualified_name(&format!("{name}/{}", annotation.key))));
        let expression = path.child("valueExpression");
        if annotation.value_expression.trim().len() > MOST_EXPRESSION_BYTES {
            errors.push(Error::required(&expression, format!("must not be longer than {MOST_EXPRESSION_BYTES} bytes")));
        } else {
            errors.extend(expressions::check(&expression, &annotation.value_expression, visible, Wanted::Annotation));
        }
        if annotations[..i].iter().any(|before| before.key == annotation.key) {
            errors.push(Error::duplicate(&key, &annotation.key));
        }
    }
    errors
}
