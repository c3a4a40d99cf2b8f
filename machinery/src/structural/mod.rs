//! The compiled structural schema of a custom resource: what one version of a definition means for its objects.
//!
//! A [`Structural`] is compiled once, of the `openAPIV3Schema` of a definition that was accepted, and then used for every
//! object, in this order:
//!
//! 1. [`Structural::conform`] makes a decoded body fit: metadata (of the object, and of objects within it) is as
//!    everybody's is, and fields that the schema does not know are dropped, each a [`Finding`]. This takes the place of
//!    [`decode::conform`](crate::decode::conform), which serves built-in kinds. Values of a wrong type are let through:
//!    they are validation's business. [`Structural::prune`] drops unknown fields only, as a conversion needs it.
//! 2. [`Structural::default`] takes nulls away that may not be, and fills in defaults.
//! 3. [`Structural::validate`] says everything that is wrong: values, embedded objects, and repeated elements of sets and
//!    maps. Given the old object, it lets what has not changed stay as it is (ratcheting). Rules in CEL
//!    (`x-kubernetes-validations`) are not looked at here, but by [`cel::rules`](crate::cel::rules).
//!
//! Field ownership goes by a [`Schema`](crate::schema::Schema), which [`Schema::build`](crate::schema::Schema::build)
//! makes of the same JSON.
//!
//! Whoever writes schemas and objects is not trusted: no walk costs more than the size of the object times that of the
//! schema, what defaults add is bounded, and so is the number of errors.

mod compile;
mod default;
mod embedded;
mod formats;
mod lists;
mod node;
pub mod openapi;
mod prune;
#[cfg(test)]
mod tests;
mod validate;

pub use formats::is_known as is_known_format;

use serde_json::Value;

use self::node::Node;
use crate::decode::TypeError;
use crate::field::{Errors, Path};
use crate::finding::Finding;

/// A schema that cannot be compiled. No definition that was validated has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}: a schema is an object")]
    NotAnObject(String),
    #[error("{0}: {1}")]
    Invalid(String, &'static str),
}

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct Structural {
    root: Node,
}

impl Structural {
    /// Compiles the `openAPIV3Schema` of a version.
    pub fn compile(schema: &Value) -> Result<Self, Error> {
        let mut root = compile::node(schema, &mut Vec::new())?;
        // An object's own type and metadata are never pruned.
        root.embedded = true;
        Ok(Self { root })
    }

    /// Makes a decoded body fit. Unknown fields are findings; metadata of a wrong type is an error.
    pub fn conform(&self, object: &mut Value, findings: &mut Vec<Finding>) -> Result<(), TypeError> {
        embedded::conform(&self.root, object, findings)?;
        self.prune(object, findings);
        Ok(())
    }

    /// Drops the fields that the schema does not know, each a finding (as far as findings are counted).
    pub fn prune(&self, object: &mut Value, findings: &mut Vec<Finding>) {
        prune::prune(&self.root, object, findings);
    }

    /// Takes away nulls of fields that are neither nullable nor have a default.
    pub fn drop_nulls(&self, object: &mut Value) {
        default::drop_nulls(&self.root, object);
    }

    /// Fills in defaults. False if there was too much to fill in; the object is then larger than any that can be stored, and
    /// some defaults are missing.
    pub fn default(&self, object: &mut Value) -> bool {
        default::fill(&self.root, object)
    }

    /// Everything wrong with an object, or with what an update changes.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Errors {
        let path = Path::root();
        let mut errors = validate::validate(&self.root, &path, new, old);
        errors.extend(embedded::validate_below(&self.root, &path, new));
        if old.is_none_or(|old| lists::validate(&self.root, &path, old).is_empty()) {
            errors.extend(lists::validate(&self.root, &path, new));
        }
        errors
    }

    /// Everything wrong with the defaults in the schema, which stands at `path`: a default is an object's part like any other,
    /// and has no field that would be dropped. Those of metadata are held to their schema alone.
    pub fn validate_defaults(&self, path: &Path) -> Errors {
        let mut errors = Errors::new();
        default::validate_all(&self.root, path, false, &mut errors);
        errors
    }
}
