//! Named CEL expressions of webhooks and policies: conditions and variables.

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, Variable};
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::environment::{Visible, Wanted, compile};
use crate::validate;

const MOST_CONDITIONS: usize = 64;
/// Upstream has no bound; but each variable is visible to all after it, so that their number counts twice.
const MOST_VARIABLES: usize = 256;

/// An expression that has to be there, and to be what is wanted.
pub(super) fn check(path: &Path, expression: &str, visible: &Visible, wanted: Wanted) -> Option<Error> {
    if expression.trim().is_empty() {
        return Some(Error::required(path, ""));
    }
    compile(expression, &visible.environment(), wanted).err().map(|why| Error::invalid(path, expression, why))
}

pub(super) fn check_conditions(path: &Path, conditions: Option<&Vec<MatchCondition>>, params: bool) -> Errors {
    let visible = Visible::of_conditions(params);
    let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
    let mut errors = Errors::new();
    if conditions.len() > MOST_CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), MOST_CONDITIONS));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        let name = path.child("name");
        errors.extend(check(&path.child("expression"), &condition.expression, &visible, Wanted::Condition));
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

/// Variables, each of which may refer to those before it. Those that compile are visible from then on.
pub(super) fn check_variables(path: &Path, variables: Option<&Vec<Variable>>, visible: &mut Visible) -> Errors {
    let variables = variables.map(Vec::as_slice).unwrap_or_default();
    let mut errors = Errors::new();
    if variables.len() > MOST_VARIABLES {
        return vec![Error::too_many(path, variables.len(), MOST_VARIABLES)];
    }
    for (i, variable) in variables.iter().enumerate() {
        let path = path.index(i);
        let name = path.child("name");
        if variable.name.is_empty() {
            errors.push(Error::required(&name, "name is required"));
        } else {
            errors.extend(validate::complaints(&name, &variable.name, names::c_identifier(&variable.name)));
            if machinery::cel::is_reserved(&variable.name) {
                errors.push(Error::invalid(&name, &variable.name, "is a word of the language"));
            }
        }
        let expression = path.child("expression");
        if variable.expression.trim().is_empty() {
            errors.push(Error::required(&expression, ""));
        } else {
            match compile(&variable.expression, &visible.environment(), Wanted::Anything) {
                Ok(program) => {
                    // Of several of one name, the last counts.
                    visible.variables.retain(|(known, _)| *known != variable.name);
                    visible.variables.push((variable.name.clone(), program.result().clone()));
                }
                Err(why) => errors.push(Error::invalid(&expression, &variable.expression, why)),
            }
        }
    }
    errors
}
