//! What an expression can refer to: variables with their types, and which libraries beyond those that are always there.

use std::sync::Arc;

use super::types::{Declared, Field, Object, Shape, Type};

#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(String, Declared)>,
    bind: bool,
    mutations: bool,
}

impl Environment {
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more variable. Values are handed to the evaluator in the order of variables.
    pub fn variable(mut self, name: impl Into<String>, declared: Declared) -> Self {
        self.variables.push((name.into(), declared));
        self
    }

    /// With the macro `cel.bind`.
    pub fn with_bind(mut self) -> Self {
        self.bind = true;
        self
    }

    /// With what mutating policies have: `Object{…}` with any fields and with types below it, `JSONPatch{…}`, and
    /// `jsonpatch.escapeKey`.
    pub fn with_mutations(mut self) -> Self {
        self.mutations = true;
        self
    }

    pub fn variables(&self) -> &[(String, Declared)] {
        &self.variables
    }

    pub(super) fn has_bind(&self) -> bool {
        self.bind
    }

    pub(super) fn has_function(&self, name: &str) -> bool {
        self.mutations || !name.starts_with("jsonpatch.")
    }

    /// Whether a type has any field.
    pub(super) fn is_open(&self, name: &str) -> bool {
        self.mutations && (name == "Object" || name.starts_with("Object."))
    }

    /// A type of which expressions can make values.
    pub(super) fn structure(&self, name: &str) -> Option<Arc<Object>> {
        if self.is_open(name) {
            return Some(Arc::new(Object { name: name.to_owned(), fields: Default::default() }));
        }
        if !self.mutations || name != "JSONPatch" {
            return None;
        }
        let field = |name: &str, shape| (name.to_owned(), Field { json: name.to_owned(), declared: Declared::new(shape) });
        let fields = [field("op", Shape::String), field("path", Shape::String), field("from", Shape::String), field("value", Shape::Any)];
        Some(Arc::new(Object { name: name.to_owned(), fields: fields.into() }))
    }
}

/// Whether a type is that of what an `Object{…}` makes.
pub fn is_object(found: &Type) -> bool {
    matches!(found, Type::Object(object) if object.name == "Object")
}

/// Whether a type is that of a list of `JSONPatch{…}`.
pub fn is_patch(found: &Type) -> bool {
    match found {
        Type::List(element) => match &**element {
            Type::Object(object) => object.name == "JSONPatch",
            other => other.is_dyn(),
        },
        _ => false,
    }
}
