//! Rules in the schemas of custom resources (`x-kubernetes-validations`): compiled once with the schema, evaluated at each
//! write on `self`, the value at the rule's place in the schema, and on `oldSelf`, the value that was there before.

mod check;
mod compile;
mod declare;
mod escape;
mod field_path;
mod validate;

pub use check::check;
pub use compile::Rules;
pub use declare::declare;
pub use escape::escape;
pub use field_path::resolve;
pub use validate::{Findings, validate_defaults};

/// What one rule may cost at most, by estimate, at all places together.
const RULE_LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost at most, by estimate.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// What evaluating the rules on one object may cost.
const OBJECT_LIMIT: u64 = 10_000_000;

#[cfg(test)]
mod tests;
