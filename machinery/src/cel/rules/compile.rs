//! The rules of a schema, compiled, in a tree like the schema's that has only what leads to a rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps as Schema, JSONSchemaPropsOrArray, ValidationRule,
};
use serde_json::Value as Json;

use super::declare::{self, declare, identity, values};
use super::field_path;
use crate::cel::types::{Declared, Identity, Shape, Type};
use crate::cel::{Environment, Program};
use crate::field::Path;

/// The rules at one place of a schema and below it.
#[derive(Debug)]
pub struct Rules {
    pub(super) declared: Arc<Declared>,
    pub(super) type_word: Json,
    pub(super) rules: Vec<Rule>,
    pub(super) properties: BTreeMap<String, Rules>,
    pub(super) values: Option<Box<Rules>>,
    pub(super) items: Option<Box<Rules>>,
    pub(super) all_of: Vec<Rules>,
    /// What makes two elements of the list here the same.
    pub(super) identity: Identity,
    /// Whether an object here is replaced as a whole.
    pub(super) atomic: bool,
}

/// One rule; those that do not compile have the reason in place of a program.
#[derive(Debug)]
pub(super) struct Rule {
    pub rule: ValidationRule,
    pub program: Result<Program, String>,
    pub message: Option<Result<Program, String>>,
    /// The field that a violation is reported at, below the rule's own place.
    pub field: Option<Path>,
    pub uses_old: bool,
}

impl Rules {
    /// The rules of a schema; None where there are none. A rule that does not compile fails each object: definitions are
    /// checked before they are stored.
    pub fn compile(schema: &Schema) -> Option<Self> {
        Self::of(schema, schema, true)
    }

    /// The rules of a schema within an object's.
    pub(super) fn compile_part(schema: &Schema) -> Option<Self> {
        Self::of(schema, schema, schema.x_kubernetes_embedded_resource == Some(true))
    }

    /// `source` has the rules, `shape` the types: they differ below `allOf`.
    fn of(source: &Schema, shape: &Schema, root: bool) -> Option<Self> {
        if !has_rules(source) {
            return None;
        }
        let declared = declare(shape, root)?;
        let rules = compile_all(source, shape, &declared);
        let embedded = |schema: &Schema| schema.x_kubernetes_embedded_resource == Some(true);
        let mut properties = BTreeMap::new();
        for (name, property) in source.properties.iter().flatten() {
            let Some(below) = shape.properties.as_ref().and_then(|properties| properties.get(name)) else { continue };
            properties.extend(Self::of(property, below, embedded(below)).map(|rules| (name.clone(), rules)));
        }
        let below = values(source).zip(values(shape));
        let values = below.and_then(|(source, shape)| Self::of(source, shape, embedded(shape)));
        let below = items(source).zip(items(shape));
        let items = below.and_then(|(source, shape)| Self::of(source, shape, embedded(shape)));
        let all_of = source.all_of.iter().flatten().filter_map(|part| Self::of(part, shape, root)).collect();
        Some(Self {
            declared: Arc::new(declared),
            type_word: declare::type_word(shape),
            rules,
            properties,
            values: values.map(Box::new),
            items: items.map(Box::new),
            all_of,
            identity: identity(shape),
            atomic: shape.x_kubernetes_map_type.as_deref() == Some("atomic"),
        })
    }
}

pub(super) fn items(schema: &Schema) -> Option<&Schema> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

/// Whether there are rules in a schema, at any place that can have some.
pub(super) fn has_rules(schema: &Schema) -> bool {
    schema.x_kubernetes_validations.as_ref().is_some_and(|rules| !rules.is_empty())
        || schema.properties.iter().flatten().any(|(_, property)| has_rules(property))
        || values(schema).is_some_and(has_rules)
        || items(schema).is_some_and(has_rules)
        || schema.all_of.iter().flatten().any(has_rules)
}

/// The rules at one place, of the schema that has them and of the one that has the types.
pub(super) fn compile_all(source: &Schema, shape: &Schema, declared: &Declared) -> Vec<Rule> {
    let environment = |old: Declared| Arc::new(Environment::new().variable("self", declared.clone()).variable("oldSelf", old));
    let plain = environment(declared.clone());
    let optional = environment(Declared::new(Shape::Optional(Arc::new(declared.clone()))));
    let rules = source.x_kubernetes_validations.iter().flatten();
    rules
        .map(|rule| {
            let environment = if rule.optional_old_self == Some(true) { &optional } else { &plain };
            compile_one(rule, shape, environment)
        })
        .collect()
}

fn compile_one(rule: &ValidationRule, shape: &Schema, environment: &Arc<Environment>) -> Rule {
    let program = compile(&rule.rule, environment, &Type::Bool);
    let message = rule.message_expression.as_deref().filter(|text| !text.trim().is_empty());
    let message = message.map(|text| compile(text, environment, &Type::String));
    let uses = |program: &Result<Program, String>| program.as_ref().is_ok_and(|program| program.uses("oldSelf"));
    Rule {
        uses_old: uses(&program) || message.as_ref().is_some_and(uses),
        field: rule.field_path.as_deref().and_then(|text| field_path::resolve(text.trim(), shape).ok()).map(|(path, _)| path),
        rule: rule.clone(),
        program,
        message,
    }
}

fn compile(source: &str, environment: &Arc<Environment>, wanted: &Type) -> Result<Program, String> {
    let program = Program::compile(source, environment).map_err(|error| format!("does not compile: {error}"))?;
    if program.result() == wanted { Ok(program) } else { Err(format!("must be {wanted}, not {}", program.result())) }
}
