//! Evaluating the rules of a schema on an object that already conforms to it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps as Schema;
use serde_json::{Map as JsonMap, Value as Json};

use super::OBJECT_LIMIT;
use super::compile::{Rule, Rules, has_rules, items};
use crate::cel::types::Identity;
use crate::cel::{CALL_LIMIT, Program, Stop, Value};
use crate::field::{Error, Errors, Path};

/// Bytes of a message that an expression made, at most.
const LONGEST_MESSAGE: usize = 5 << 10;

/// What the rules say of an object.
#[derive(Debug, Default)]
pub struct Findings {
    pub errors: Errors,
    /// What was wrong before already, in a part that the write does not change: upstream lets it pass with a warning.
    pub warnings: Vec<String>,
}

/// How a value goes with what was there before.
#[derive(Clone, Copy)]
struct Before<'o> {
    /// The old value at this very place, if it can be told.
    old: Option<&'o Json>,
    /// Whether an ancestor that could be compared is as it was.
    unchanged_above: bool,
    /// Whether the value stands where an old one could be told.
    correlated: bool,
}

impl Rules {
    /// Evaluates all rules on an object, and on its state before an update.
    pub fn validate(&self, object: &Json, old: Option<&Json>) -> Findings {
        self.validate_at(&Path::root(), object, old)
    }

    /// The same of a value that stands at `path`.
    fn validate_at(&self, path: &Path, value: &Json, old: Option<&Json>) -> Findings {
        let mut run = Run { findings: Findings::default(), budget: OBJECT_LIMIT, updating: old.is_some() };
        let before = Before { old, unchanged_above: false, correlated: old.is_some() };
        // Running out of the budget was reported, and ends the walk.
        let _ = run.node(self, path, value, before);
        run.findings
    }
}

/// What the rules of a schema say of the defaults in it. A default must be fit to stay, and fit to be there of a sudden.
pub fn validate_defaults(path: &Path, schema: &Schema) -> Errors {
    let mut errors = Errors::new();
    if has_rules(schema) {
        validate_default_of(path, schema, &mut errors);
    }
    errors
}

fn validate_default_of(path: &Path, schema: &Schema, errors: &mut Errors) {
    if let Some(default) = &schema.default
        && let Some(rules) = Rules::compile_part(schema)
    {
        let path = path.child("default");
        let staying = rules.validate_at(&path, &default.0, Some(&default.0)).errors;
        let found = if staying.is_empty() { rules.validate_at(&path, &default.0, None).errors } else { staying };
        errors.extend(found);
    }
    if let Some(items) = items(schema) {
        validate_default_of(&path.child("items"), items, errors);
    }
    for (name, property) in schema.properties.iter().flatten() {
        validate_default_of(&path.child("properties").key(name), property, errors);
    }
}

struct Run {
    findings: Findings,
    budget: u64,
    updating: bool,
}

/// The budget is used up.
struct Exhausted;

impl Run {
    fn node(&mut self, rules: &Rules, path: &Path, value: &Json, before: Before<'_>) -> Result<(), Exhausted> {
        if value.is_null() {
            return Ok(());
        }
        for rule in &rules.rules {
            self.rule(rules, rule, path, value, before)?;
        }
        for part in &rules.all_of {
            self.node(part, path, value, before)?;
        }
        match value {
            Json::Object(fields) => self.fields(rules, path, value, fields, before),
            Json::Array(elements) => self.elements(rules, path, value, elements, before),
            _ => Ok(()),
        }
    }

    fn fields(
        &mut self,
        rules: &Rules,
        path: &Path,
        value: &Json,
        fields: &JsonMap<String, Json>,
        before: Before<'_>,
    ) -> Result<(), Exhausted> {
        if rules.properties.is_empty() && rules.values.is_none() {
            return Ok(());
        }
        for (name, field) in fields {
            let old = before.old.filter(|_| !rules.atomic).and_then(|old| old.get(name));
            if let Some(below) = rules.properties.get(name) {
                self.node(below, &path.child(name), field, before.below(value, old, !rules.atomic))?;
            } else if let Some(below) = &rules.values {
                self.node(below, &path.key(name), field, before.below(value, old, !rules.atomic))?;
            }
        }
        Ok(())
    }

    fn elements(&mut self, rules: &Rules, path: &Path, value: &Json, elements: &[Json], before: Before<'_>) -> Result<(), Exhausted> {
        let Some(below) = &rules.items else { return Ok(()) };
        let old_elements = before.old.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        for (at, element) in elements.iter().enumerate() {
            let (old, correlated) = match &rules.identity {
                Identity::Keys(keys) => (find(old_elements, at, element, keys), true),
                _ => (None, false),
            };
            self.node(below, &path.index(at), element, before.below(value, old, correlated))?;
        }
        Ok(())
    }

    fn rule(&mut self, rules: &Rules, rule: &Rule, path: &Path, value: &Json, before: Before<'_>) -> Result<(), Exhausted> {
        let shown = &rules.type_word;
        let path = &if path.as_str().is_empty() { Path::new("<nil>") } else { path.clone() };
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => {
                self.findings.errors.push(Error::invalid(path, shown, format!("rule {:?} {why}", rule.rule.rule)));
                return Ok(());
            }
        };
        let optional = rule.rule.optional_old_self == Some(true);
        if rule.uses_old && before.old.is_none() && !optional {
            return Ok(());
        }
        let (satisfied, detail) = match self.evaluate(rules, program, value, before.old, optional)? {
            Ok(Value::Bool(satisfied)) => (satisfied, None),
            Ok(_) => (false, Some("the rule is no condition".to_owned())),
            Err(Stop::Cost) => return Err(self.exhausted(path, shown)),
            Err(Stop::Failed(why)) => (false, Some(format!("{why} evaluating rule: {}", name_of(rule)))),
        };
        if satisfied {
            return Ok(());
        }
        if let Some(detail) = detail {
            self.findings.errors.push(Error::invalid(path, shown, detail));
            return Ok(());
        }
        let detail = match self.message(rules, rule, value, before.old, optional)? {
            Some(message) => message,
            None if rule.rule.message.is_some() => name_of(rule),
            None => format!("failed rule: {}", name_of(rule)),
        };
        let at = match &rule.field {
            Some(field) if path.as_str() == "<nil>" => field.clone(),
            Some(field) => join(path, field),
            None => path.clone(),
        };
        let error = match rule.rule.reason.as_deref() {
            Some("FieldValueForbidden") => Error::forbidden(&at, detail),
            Some("FieldValueRequired") => Error::required(&at, detail),
            Some("FieldValueDuplicate") => Error::duplicate(&at, shown),
            _ => Error::invalid(&at, shown, detail),
        };
        if self.updating && !rule.uses_old && before.is_unchanged(value) {
            self.findings.warnings.push(error.body());
        } else {
            self.findings.errors.push(error);
        }
        Ok(())
    }

    /// Evaluates one expression and takes what it cost from the budget.
    fn evaluate<'v>(
        &mut self,
        rules: &'v Rules,
        program: &'v Program,
        value: &'v Json,
        old: Option<&'v Json>,
        optional: bool,
    ) -> Result<Result<Value<'v>, Stop>, Exhausted> {
        let old = old.map(|old| Value::from_json(old, &rules.declared));
        let old = if optional { Some(Value::optional(old)) } else { old };
        let inputs = vec![Some(Value::from_json(value, &rules.declared)), old];
        let evaluation = program.evaluate(inputs, CALL_LIMIT.min(self.budget));
        self.budget = self.budget.saturating_sub(evaluation.cost);
        Ok(evaluation.value)
    }

    fn exhausted(&mut self, path: &Path, shown: &Json) -> Exhausted {
        let why = "the rules cost more than is allowed; no further ones were evaluated";
        self.findings.errors.push(Error::invalid(path, shown, why));
        Exhausted
    }

    /// What the rule's message expression says, if it says something fit to be shown.
    fn message(
        &mut self,
        rules: &Rules,
        rule: &Rule,
        value: &Json,
        old: Option<&Json>,
        optional: bool,
    ) -> Result<Option<String>, Exhausted> {
        let Some(Ok(program)) = &rule.message else { return Ok(None) };
        Ok(match self.evaluate(rules, program, value, old, optional)? {
            Ok(Value::String(text)) => {
                let text = text.trim();
                (!text.is_empty() && !text.contains('\n') && text.len() <= LONGEST_MESSAGE).then(|| text.to_owned())
            }
            _ => None,
        })
    }
}

impl<'o> Before<'o> {
    fn below(self, value: &Json, old: Option<&'o Json>, correlated: bool) -> Self {
        if self.correlated && correlated {
            return Before { old, unchanged_above: self.unchanged_above, correlated: true };
        }
        // The nearest place above that can be compared decides for all below it.
        let unchanged_above = if self.correlated { self.old == Some(value) } else { self.unchanged_above };
        Before { old: None, unchanged_above, correlated: false }
    }

    fn is_unchanged(self, value: &Json) -> bool {
        if self.correlated { self.old == Some(value) } else { self.unchanged_above }
    }
}

/// The old element with the same keys; mostly it is at the same place.
fn find<'o>(old: &'o [Json], at: usize, element: &Json, keys: &[String]) -> Option<&'o Json> {
    let same = |old: &&Json| keys.iter().all(|key| old.get(key) == element.get(key));
    old.get(at).filter(same).or_else(|| old.iter().find(same))
}

/// What stands for a rule in messages.
fn name_of(rule: &Rule) -> String {
    let message = rule.rule.message.as_deref().filter(|message| !message.is_empty());
    message.unwrap_or(&rule.rule.rule).trim().to_owned()
}

fn join(path: &Path, field: &Path) -> Path {
    if field.as_str().starts_with('[') { Path::new(&format!("{path}{field}")) } else { path.child(field.as_str()) }
}
