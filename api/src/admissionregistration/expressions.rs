//! Named CEL expressions of webhooks and policies: conditions and variables. That an expression compiles is the
//! evaluator's to say.

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, Variable};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate;

const MOST_CONDITIONS: usize = 64;

/// An expression that has to be there.
pub(super) fn check(path: &Path, expression: &str) -> Option<Error> {
    expression.trim().is_empty().then(|| Error::required(path, ""))
}

pub(super) fn check_conditions(path: &Path, conditions: Option<&Vec<MatchCondition>>) -> Errors {
    let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
    let mut errors = Errors::new();
    if conditions.len() > MOST_CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), MOST_CONDITIONS));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        let name = path.child("name");
        errors.extend(check(&path.child("expression"), &condition.expression));
        if condition.name.is_empty() {
            errors.push(Error::required(&name, ""));
        } else {
            errors.extend(validate::complaints(&name, &condition.name, names::qualified_name(&condition.name)));
        }
        if conditions[..i].iter().any(|before| before.name == condition.name) {
            errors.push(Error::duplicate(&name, &condition.name));
        }
    }
    errors
}

pub(super) fn check_variables(path: &Path, variables: Option<&Vec<Variable>>) -> Errors {
    let variables = variables.map(Vec::as_slice).unwrap_or_default();
    let mut errors = Errors::new();
    for (i, variable) in variables.iter().enumerate() {
        let path = path.index(i);
        let name = path.child("name");
        if variable.name.is_empty() {
            errors.push(Error::required(&name, "name is required"));
        } else {
            errors.extend(validate::complaints(&name, &variable.name, names::c_identifier(&variable.name)));
        }
        errors.extend(check(&path.child("expression"), &variable.expression));
        if variables[..i].iter().any(|before| before.name == variable.name) {
            errors.push(Error::duplicate(&name, &variable.name));
        }
    }
    errors
}
