//! Policies: rules in CEL that whoever runs the cluster has written. A policy says which requests it is for and what has to
//! hold ([`validating`]) or is changed ([`mutating`]); a binding puts it in force, with parameters.

mod activation;
mod authorizer;
mod index;
mod matching;
mod mutating;
mod params;
mod validating;

use api::Object;
use api::admissionregistration::environment::{Visible, Wanted, compile};
use k8s_openapi::api::admissionregistration::v1::{MatchCondition, Variable as Declaration};
use machinery::Status;
use machinery::cel::{Program, Value};

use super::Request;
use activation::{Activation, Variable};

pub use mutating::MutatingAdmissionPolicy;
pub use validating::ValidatingAdmissionPolicy;

/// Policies do not apply to what would let an administrator repair them.
fn is_exempt(request: &Request<'_>) -> bool {
    request.target.resource.names().group == "admissionregistration.k8s.io"
}

fn conditions(conditions: Option<&[MatchCondition]>, params: bool) -> Result<Vec<Program>, String> {
    let environment = Visible::of_conditions(params).environment();
    let conditions = conditions.unwrap_or_default().iter();
    conditions.map(|condition| compile(&condition.expression, &environment, Wanted::Condition)).collect()
}

/// The variables, each of which becomes visible to those after it.
fn variables(declared: Option<&[Declaration]>, visible: &mut Visible) -> Result<Vec<Variable>, String> {
    let mut variables: Vec<Variable> = Vec::new();
    for variable in declared.unwrap_or_default() {
        let program = compile(&variable.expression, &visible.environment(), Wanted::Anything)?;
        visible.variables.push((variable.name.clone(), program.result().clone()));
        variables.push(Variable::new(&variable.name, program, &variables));
    }
    Ok(variables)
}

/// Whether all conditions hold: one that does not decides, whatever became of the others.
fn is_meant<'v>(conditions: &'v [Program], activation: &Activation<'v>) -> Result<bool, String> {
    let mut failure = None;
    for condition in conditions {
        match activation.evaluate(condition) {
            Ok(Value::Bool(false)) => return Ok(false),
            Ok(_) => {}
            Err(error) => failure = failure.or_else(|| Some(format!("a match condition failed: {error}"))),
        }
    }
    failure.map_or(Ok(true), Err)
}

/// The answer to a request that a policy is against.
fn refused(request: &Request<'_>, object: Option<&dyn Object>, message: &str) -> Status {
    let name = matching::name_of(request, object);
    let refused = Status::forbidden(&request.target.resource.group_resource(), name, message);
    Status { reason: "Invalid".to_owned(), ..refused.with_cause("", message, "") }
}
