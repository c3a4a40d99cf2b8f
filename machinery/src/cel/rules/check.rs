//! What is wrong with the expressions of rules in a schema that is to be stored: that they do not compile, compare with a
//! value that cannot be told, or could cost too much.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps as Schema;

use super::compile::{Rule, compile_all, has_rules, items};
use super::declare::{declare, fewest_bytes, most_items, most_values, values};
use super::{RULE_LIMIT, SCHEMA_LIMIT};
use crate::field::{Error, Errors, Path};

/// So many expressions are named of those that cost too much together.
const MOST_NAMED: usize = 4;

/// Checks all rules of a schema that has no other errors. `path` is the schema's.
pub fn check(path: &Path, schema: &Schema) -> Errors {
    let mut checker = Checker { errors: Errors::new(), total: 0, dearest: Vec::new() };
    if has_rules(schema) {
        checker.node(path, schema, schema, &Place { root: true, most: 1, uncorrelated: None });
    }
    checker.check_total(path);
    checker.errors
}

/// Where in the schema a node is.
struct Place {
    root: bool,
    /// How often the node can be in one object.
    most: u64,
    /// The list above or here whose old elements cannot be told from each other. Maps are no such thing, not even atomic ones.
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
    /// The expressions that cost most, and what; those of a share that matters only.
    dearest: Vec<(Path, u64)>,
}

impl Checker {
    /// `source` has the rules, `shape` the types: they differ below `allOf`.
    fn node(&mut self, path: &Path, source: &Schema, shape: &Schema, place: &Place) {
        for (name, property) in source.properties.iter().flatten() {
            let below = shape.properties.as_ref().and_then(|properties| properties.get(name)).unwrap_or(property);
            let place = place.below(below, 1, None);
            self.node(&path.child("properties").key(name), property, below, &place);
        }
        if let Some(source) = values(source) {
            let below = values(shape).unwrap_or(source);
            let place = place.below(below, most_values(shape, fewest_bytes(below)), None);
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
            self.errors.push(Error::internal(path, "rules need a schema with a type"));
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
        if !rule.uses_old
            && let Some(optional) = rule.rule.optional_old_self
        {
            let why = "must be unset where the rule does not use `oldSelf`";
            self.errors.push(Error::invalid(&path.child("optionalOldSelf"), optional, why));
        }
    }

    fn charge(&mut self, path: &Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.dearest.push((path.clone(), cost));
        }
        if cost > RULE_LIMIT {
            let why = format!(
                "the estimated cost is more than {} times what is allowed; bound lists, maps and texts by maxItems, maxProperties and maxLength",
                cost / RULE_LIMIT
            );
            self.errors.push(Error::forbidden(path, why));
        }
    }

    /// Where all expressions together cost too much, those that cost most are named.
    fn check_total(&mut self, path: &Path) {
        if self.total <= SCHEMA_LIMIT {
            return;
        }
        self.dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        let part = |(path, _): &(Path, u64)| Error::forbidden(path, "costs most of what the rules of the whole schema cost too much");
        self.errors.extend(self.dearest.iter().take(MOST_NAMED).map(part));
        let why = format!("the rules of the schema are estimated to cost {} times what is allowed", self.total / SCHEMA_LIMIT + 1);
        self.errors.push(Error::forbidden(path, why));
    }
}
