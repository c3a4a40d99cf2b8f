//! What is wrong with the expressions of rules in a schema that is to be stored: that they do not compile, compare with a
//! value that cannot be told, or could cost too much.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps as Schema;

use super::compile::{Rule, compile_all, has_rules, items};
use super::declare::{declare, fewest_bytes, most_items, most_values, values};
use super::{RULE_LIMIT, SCHEMA_LIMIT};
use crate::field::{Error, Errors, Path};

/// Checks all rules of a schema that has no other errors. `path` is the schema's.
pub fn check(path: &Path, schema: &Schema) -> Errors {
    let mut checker = Checker { errors: Errors::new(), total: 0 };
    if has_rules(schema) {
        checker.node(path, schema, schema, &Place { root: true, most: 1, uncorrelated: None });
    }
    if checker.total > SCHEMA_LIMIT && checker.errors.is_empty() {
        let why = format!("the rules of the schema are estimated to cost {} times what is allowed", checker.total / SCHEMA_LIMIT + 1);
        checker.errors.push(Error::forbidden(path, why));
    }
    checker.errors
}

/// Where in the schema a node is.
struct Place {
    root: bool,
    /// How often the node can be in one object.
    most: u64,
    /// The node above or here whose old elements cannot be told from each other.
    uncorrelated: Option<Path>,
}

impl Place {
    fn below(&self, schema: &Schema, times: u64, uncorrelated: Option<&Path>) -> Self {
        Self {
            root: schema.x_kubernetes_embedded_resource == Some(true),
            most: self.most.saturating_mul(times),
            uncorrelated: self.uncorrelated.clone().or_else(|| uncorrelated.cloned()),
        }
    }
}

struct Checker {
    errors: Errors,
    total: u64,
}

impl Checker {
    /// `source` has the rules, `shape` the types: they differ below `allOf`.
    fn node(&mut self, path: &Path, source: &Schema, shape: &Schema, place: &Place) {
        for (name, property) in source.properties.iter().flatten() {
            let below = shape.properties.as_ref().and_then(|properties| properties.get(name)).unwrap_or(property);
            let atomic = shape.x_kubernetes_map_type.as_deref() == Some("atomic");
            let place = place.below(below, 1, atomic.then_some(path));
            self.node(&path.child("properties").key(name), property, below, &place);
        }
        if let Some(source) = values(source) {
            let below = values(shape).unwrap_or(source);
            let atomic = shape.x_kubernetes_map_type.as_deref() == Some("atomic");
            let place = place.below(below, most_values(shape, fewest_bytes(below)), atomic.then_some(path));
            self.node(&path.child("additionalProperties"), source, below, &place);
        }
        if let Some(source) = items(source) {
            let below = items(shape).unwrap_or(source);
            let is_map = shape.x_kubernetes_list_type.as_deref() == Some("map");
            let place = place.below(below, most_items(shape), (!is_map).then_some(path));
            self.node(&path.child("items"), source, below, &place);
        }
        for (i, part) in source.all_of.iter().flatten().enumerate() {
            let place = Place { root: place.root, most: place.most, uncorrelated: place.uncorrelated.clone() };
            self.node(&path.child("allOf").index(i), part, shape, &place);
        }
        if source.x_kubernetes_validations.as_ref().is_some_and(|rules| !rules.is_empty()) {
            self.expressions(&path.child("x-kubernetes-validations"), source, shape, place);
        }
    }

    fn expressions(&mut self, path: &Path, source: &Schema, shape: &Schema, place: &Place) {
        let Some(declared) = declare(shape, place.root) else {
            self.errors.push(Error::bare_invalid(path, "rules need a schema with a type"));
            return;
        };
        for (i, rule) in compile_all(source, shape, &declared).iter().enumerate() {
            self.expression(&path.index(i), rule, place);
        }
    }

    fn expression(&mut self, path: &Path, rule: &Rule, place: &Place) {
        let at = path.child("rule");
        match &rule.program {
            Err(why) => self.errors.push(Error::invalid(&at, &rule.rule.rule, why)),
            Ok(program) => self.charge(&at, program.estimated_cost().saturating_mul(place.most)),
        }
        let at_message = path.child("messageExpression");
        match (&rule.message, rule.rule.message_expression.as_deref()) {
            (Some(Err(why)), Some(text)) => self.errors.push(Error::invalid(&at_message, text, why)),
            // Messages are made for violations only, and upstream counts one.
            (Some(Ok(program)), _) => self.charge(&at_message, program.estimated_cost()),
            _ => {}
        }
        match &place.uncorrelated {
            Some(list) if rule.uses_old => {
                let why = format!("`oldSelf` cannot be told within {list}, whose elements have no identity");
                self.errors.push(Error::invalid(&at, &rule.rule.rule, why));
            }
            _ => {}
        }
        if rule.program.is_ok()
            && !rule.uses_old
            && let Some(optional) = rule.rule.optional_old_self
        {
            let why = "must be unset where the rule does not use `oldSelf`";
            self.errors.push(Error::invalid(&path.child("optionalOldSelf"), optional, why));
        }
    }

    fn charge(&mut self, path: &Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost > RULE_LIMIT {
            let why = format!(
                "the estimated cost is more than {} times what is allowed; bound lists, maps and texts by maxItems, maxProperties and maxLength",
                cost / RULE_LIMIT
            );
            self.errors.push(Error::forbidden(path, why));
        }
    }
}
