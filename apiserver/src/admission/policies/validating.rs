//! ValidatingAdmissionPolicy: what has to hold, and what becomes of requests for which it does not.

use api::Object;
use api::admissionregistration::environment::{Visible, Wanted, compile};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding, ValidatingAdmissionPolicySpec as Spec, Validation,
};
use machinery::Status;
use machinery::cel::{Program, Stop, Value};

use super::activation::{Activation, Facts, Variable};
use super::index::{Index, Kinds};
use super::{conditions, is_exempt, is_meant, matching, params, refused, variables};
use crate::admission::{Plugin, Request};

/// Bytes of a message that an expression made, at most.
const LONGEST_MESSAGE: usize = 5 << 10;

#[derive(Default)]
pub struct ValidatingAdmissionPolicy {
    index: Index<Validating>,
}

struct Validating;

type Bound = super::index::Bound<Validating>;

struct Expressions {
    conditions: Vec<Program>,
    variables: Vec<Variable>,
    /// Of each validation, whether it holds, and what is said if it does not.
    validations: Vec<(Program, Option<Program>)>,
}

impl Kinds for Validating {
    type Policy = Policy;
    type Binding = Binding;
    type Expressions = Expressions;

    const POLICIES: &'static str = "validatingadmissionpolicies";
    const BINDINGS: &'static str = "validatingadmissionpolicybindings";

    fn policy_of(binding: &Binding) -> &str {
        &binding.spec.policy_name
    }

    fn compile(policy: &Policy) -> Result<Expressions, String> {
        policy.spec.as_ref().map_or_else(|| Err("the policy is empty".to_owned()), expressions)
    }
}

fn expressions(spec: &Spec) -> Result<Expressions, String> {
    let params = spec.param_kind.is_some();
    let conditions = conditions(spec.match_conditions.as_deref(), params)?;
    let mut visible = Visible { params, authorizer: true, ..Visible::default() };
    let variables = variables(spec.variables.as_deref(), &mut visible)?;
    let environment = visible.environment();
    let of_messages = Visible { authorizer: false, ..visible }.environment();
    let mut validations = Vec::new();
    for validation in spec.validations.iter().flatten() {
        let message = validation.message_expression.as_deref();
        let message = message.map(|text| compile(text, &of_messages, Wanted::Message)).transpose()?;
        validations.push((compile(&validation.expression, &environment, Wanted::Condition)?, message));
    }
    Ok(Expressions { conditions, variables, validations })
}

/// Why a request is refused, and with which reason.
struct Violation {
    /// Which of the policy's validations it is of.
    index: usize,
    message: String,
    reason: Option<String>,
}

impl Violation {
    fn of(why: impl Into<String>) -> Self {
        Self { index: 0, message: why.into(), reason: None }
    }
}

impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, warnings: &mut Vec<String>) -> Result<(), Status> {
        let bound = self.index.bound(request.world);
        if bound.is_empty() || is_exempt(request) {
            return Ok(());
        }
        let mut facts = None;
        for bound in bound.iter().filter(|bound| concerns(bound, request, object)) {
            let facts = facts.get_or_insert_with(|| Facts::new(request, object));
            for violation in violations(bound, request, facts) {
                act(bound, request, object, &violation, warnings)?;
            }
        }
        Ok(())
    }
}

fn concerns(bound: &Bound, request: &Request<'_>, object: Option<&dyn Object>) -> bool {
    let constraints = bound.policy.policy.spec.as_ref().and_then(|spec| spec.match_constraints.as_ref());
    constraints.is_some_and(|constraints| matching::matches(constraints, request, object))
        && bound.binding.spec.match_resources.as_ref().is_none_or(|resources| matching::matches(resources, request, object))
}

/// What a policy has to say against a request, with each set of parameters.
fn violations(bound: &Bound, request: &Request<'_>, facts: &Facts<'_>) -> Vec<Violation> {
    let Some(spec) = &bound.policy.policy.spec else { return Vec::new() };
    let fails_closed = spec.failure_policy.as_deref() != Some("Ignore");
    let failure = |why: String| if fails_closed { vec![Violation::of(why)] } else { Vec::new() };
    let expressions = match &bound.policy.expressions {
        Ok(expressions) => expressions,
        Err(why) => return failure(why.clone()),
    };
    let params = match params::find(spec.param_kind.as_ref(), bound.binding.spec.param_ref.as_ref(), request) {
        Ok(params) => params,
        Err(why) => return failure(why),
    };
    let mut violations = Vec::new();
    for params in &params {
        let activation = Activation::new(facts, params, &expressions.variables);
        match is_meant(&expressions.conditions, &activation) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(why) => {
                violations.extend(failure(why));
                continue;
            }
        }
        let all = spec.validations.as_deref().unwrap_or_default();
        violations.extend(evaluate(all, expressions, &activation, fails_closed));
    }
    violations
}

fn evaluate<'v>(
    validations: &[Validation],
    expressions: &'v Expressions,
    activation: &Activation<'v>,
    fails_closed: bool,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, (validation, (program, message))) in validations.iter().zip(&expressions.validations).enumerate() {
        match activation.evaluate(program) {
            Ok(Value::Bool(true)) => {}
            Ok(_) => {
                let message = message.as_ref().and_then(|message| say(activation.evaluate(message)));
                let message = message.or_else(|| validation.message.as_deref().map(|message| message.trim().to_owned()));
                violations.push(Violation {
                    index,
                    message: message.unwrap_or_else(|| format!("failed expression: {}", validation.expression.trim())),
                    reason: validation.reason.clone(),
                });
            }
            Err(error) if fails_closed => {
                let message = format!("expression '{}' resulted in error: {error}", validation.expression.trim());
                violations.push(Violation { index, ..Violation::of(message) });
            }
            Err(_) => {}
        }
    }
    violations
}

/// What an expression said, if it is fit to be shown.
fn say(said: Result<Value<'_>, Stop>) -> Option<String> {
    let Ok(Value::String(text)) = said else { return None };
    let text = text.trim();
    (!text.is_empty() && !text.contains('\n') && text.len() <= LONGEST_MESSAGE).then(|| text.to_owned())
}

fn act(
    bound: &Bound,
    request: &Request<'_>,
    object: Option<&dyn Object>,
    violation: &Violation,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let (policy, binding) = (&bound.policy.name, &bound.name);
    let mut denied = Ok(());
    for action in &bound.binding.spec.validation_actions {
        match action.as_str() {
            "Deny" => {
                let message =
                    format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {}", violation.message);
                denied = Err(denial(request, object, violation.reason.as_deref(), &message));
            }
            "Warn" => {
                let message = &violation.message;
                warnings.push(format!("Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"));
            }
            // Of several, the audit log has the first.
            _ => request.trail.note("validation.policy.admission.k8s.io/validation_failure", || {
                serde_json::json!([{
                    "message": violation.message,
                    "policy": policy,
                    "binding": binding,
                    "expressionIndex": violation.index,
                    "validationActions": bound.binding.spec.validation_actions,
                }])
                .to_string()
            }),
        }
    }
    denied
}

/// The answer to a request that is refused.
fn denial(request: &Request<'_>, object: Option<&dyn Object>, reason: Option<&str>, message: &str) -> Status {
    let (code, reason) = match reason {
        Some("Unauthorized") => (401, "Unauthorized"),
        Some("Forbidden") => (403, "Forbidden"),
        Some("RequestEntityTooLarge") => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    Status { code, reason: reason.to_owned(), ..refused(request, object, message) }
}
