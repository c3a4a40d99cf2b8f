//! The attributes of rules in CEL (`x-kubernetes-validations`). What the expressions say is `machinery::cel::rules`' business.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use machinery::cel::rules::resolve;
use machinery::field::{Error, Errors, Path};

use super::{Schema, some, structure};
use crate::validate::text;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

pub(super) fn check(path: &Path, schema: &Schema, errors: &mut Errors) {
    for (i, rule) in some(schema.x_kubernetes_validations.as_ref()).iter().enumerate() {
        check_one(&path.child("x-kubernetes-validations").index(i), schema, rule, errors);
    }
}

fn has_lines(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

fn check_one(path: &Path, schema: &Schema, rule: &ValidationRule, errors: &mut Errors) {
    errors.extend(check_message(path, rule));
    let expression = text(&rule.message_expression);
    if !expression.is_empty() && expression.trim().is_empty() {
        errors.push(Error::required(&path.child("messageExpression"), "must say something if it is there"));
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        errors.push(Error::not_supported(&path.child("reason"), reason, &REASONS));
    }
    let field_path = text(&rule.field_path);
    if field_path.is_empty() {
        return;
    }
    let at = path.child("fieldPath");
    if field_path.trim().is_empty() {
        errors.push(Error::invalid(&at, field_path, "must say something if it is there"));
    }
    if has_lines(field_path) {
        errors.push(Error::invalid(&at, field_path, "must be one line"));
    }
    // Where the schema cannot be used, that is what is wrong.
    if structure::unusable(schema).is_none()
        && let Err(why) = resolve(field_path, schema)
    {
        errors.push(Error::invalid(&at, field_path, why));
    }
}

/// The rule itself, and the message that somebody who breaks it reads.
fn check_message(path: &Path, rule: &ValidationRule) -> Option<Error> {
    let (expression, message) = (rule.rule.trim(), text(&rule.message));
    if expression.is_empty() {
        Some(Error::required(&path.child("rule"), "a rule has an expression"))
    } else if !message.is_empty() && message.trim().is_empty() {
        Some(Error::invalid(&path.child("message"), message, "must say something if it is there"))
    } else if has_lines(message.trim()) {
        Some(Error::invalid(&path.child("message"), message, "must be one line"))
    } else if has_lines(expression) && message.trim().is_empty() {
        Some(Error::required(&path.child("message"), "a rule of several lines needs a message of its own"))
    } else {
        None
    }
}
