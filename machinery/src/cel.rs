//! CEL, the Common Expression Language, as Kubernetes has it: an expression is compiled once, in an environment of declared
//! variables, and evaluated as often as needed, on JSON where it lies.
//!
//! Whoever writes an expression is not trusted: its length, nesting and estimated cost are bounded when it is compiled,
//! and its cost and the memory it takes when it is evaluated.

mod ast;
mod authorizer;
mod checker;
mod compare;
mod cost;
mod environment;
mod evaluate;
mod lexer;
mod libraries;
mod library;
mod parser;
mod pattern;
pub mod rules;
#[cfg(test)]
mod tests;
mod text;
mod time;
pub mod types;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

pub use authorizer::{Authorizer, Check, Verdict};
pub use environment::{Environment, is_object, is_patch};
pub use pattern::compile as compile_pattern;
pub use types::{Declared, Type};
pub use value::{Fields, Key, List, Made, Map, Text, Value};

/// Whether a word is the language's own, so that nothing can be called so.
pub fn is_reserved(word: &str) -> bool {
    parser::RESERVED.contains(&word) || matches!(word, "true" | "false" | "null" | "in")
}

use ast::{Expr, Kind, Literal};
use checker::Note;

/// What one evaluation may cost where nothing else is said: a call from admission, or a device's selector.
pub const CALL_LIMIT: u64 = 1_000_000;

/// Why an expression does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("syntax error: {0}")]
    Syntax(String),
    #[error("{0}")]
    Check(String),
}

impl Error {
    fn syntax(source: &str, at: u32, why: impl Into<String>) -> Self {
        Self::Syntax(located(source, at, &why.into()))
    }

    fn check(source: &str, at: u32, why: impl Into<String>) -> Self {
        Self::Check(located(source, at, &why.into()))
    }
}

/// A complaint with the line and the column of what it is about.
fn located(source: &str, at: u32, why: &str) -> String {
    let before = source.get(..at as usize).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}: {why}")
}

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("{0}")]
    Failed(String),
    /// No value is worth more; unlike an error this cannot be made up for by other parts of the expression.
    #[error("the evaluation costs more than is allowed")]
    Cost,
}

impl Stop {
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    fn overload(function: &str) -> Self {
        Self::Failed(format!("no such overload: {function}"))
    }

    fn overflow() -> Self {
        Self::failed("the result does not fit into its type")
    }
}

/// A compiled expression.
pub struct Program {
    root: Expr,
    notes: Vec<Note>,
    result: Type,
    cost: u64,
    /// Patterns that the expression has written out.
    patterns: HashMap<String, Regex>,
    environment: Arc<Environment>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("result", &self.result).field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// The value of an expression, and what it cost to find.
pub struct Evaluation<'v> {
    pub value: Result<Value<'v>, Stop>,
    pub cost: u64,
}

impl Program {
    /// Reads and checks an expression.
    pub fn compile(source: &str, environment: &Arc<Environment>) -> Result<Self, Error> {
        let (root, nodes) = parser::parse(source, environment.has_bind())?;
        let checked = checker::check(source, &root, nodes, environment)?;
        let cost = cost::estimate(&root, &checked, environment);
        let mut patterns = HashMap::new();
        collect_patterns(&root, &mut patterns);
        let program = Self { root, notes: checked.notes, result: checked.result, cost, patterns, environment: environment.clone() };
        program.check_constants(source, &program.root)?;
        Ok(program)
    }

    /// Conversions of what is written out are made at once; those that fail are not compiled.
    fn check_constants(&self, source: &str, expr: &Expr) -> Result<(), Error> {
        if is_constant_conversion(expr)
            && let Err(stop) = evaluate::Run::new(self, Vec::new(), CALL_LIMIT).evaluate(expr)
        {
            return Err(Error::check(source, expr.at, stop.to_string()));
        }
        let mut found = Ok(());
        expr.children(|child| {
            if found.is_ok() {
                found = self.check_constants(source, child);
            }
        });
        found
    }

    /// The type of the value.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// What an evaluation costs at most, as far as the declared sizes of the inputs tell.
    pub fn estimated_cost(&self) -> u64 {
        self.cost
    }

    /// Whether the expression refers to a variable of the environment.
    pub fn uses(&self, variable: &str) -> bool {
        let slot = self.environment.variables().iter().position(|(name, _)| name == variable);
        slot.is_some_and(|slot| self.notes.iter().any(|note| matches!(note, Note::Slot(used) if *used == slot)))
    }

    /// The fields of a variable of the environment that the expression names, in the order in which it does.
    pub fn fields_used(&self, variable: &str) -> Vec<&str> {
        let mut fields = Vec::new();
        if let Some(slot) = self.environment.variables().iter().position(|(name, _)| name == variable) {
            self.collect_fields(&self.root, slot, &mut fields);
        }
        fields
    }

    fn collect_fields<'p>(&'p self, expr: &'p Expr, slot: usize, fields: &mut Vec<&'p str>) {
        if let Kind::Select { operand, field, .. } | Kind::Has { operand, field } = &expr.kind
            && matches!(&self.notes[operand.id as usize], Note::Slot(used) if *used == slot)
            && !fields.contains(&field.as_str())
        {
            fields.push(field);
        }
        expr.children(|child| self.collect_fields(child, slot, fields));
    }

    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Evaluates with a value for each variable, in the order of the environment. Evaluation stops where it would cost more
    /// than `limit`.
    pub fn evaluate<'v>(&'v self, inputs: Vec<Option<Value<'v>>>, limit: u64) -> Evaluation<'v> {
        let mut inputs = inputs;
        inputs.resize(self.environment.variables().len(), None);
        let mut run = evaluate::Run::new(self, inputs, limit);
        let value = run.evaluate(&self.root);
        Evaluation { value, cost: run.cost }
    }
}

/// Whether all that an expression does is to turn a literal into another type, or to format literals.
fn is_constant_conversion(expr: &Expr) -> bool {
    let is_literal = |expr: &Expr| matches!(expr.kind, Kind::Literal(_));
    let Kind::Call { function, target, args } = &expr.kind else { return false };
    match (function.as_str(), target.as_deref(), args.as_slice()) {
        ("int" | "uint" | "double" | "bool" | "string" | "bytes" | "duration" | "timestamp", None, [arg]) => is_literal(arg),
        ("format", Some(pattern), [Expr { kind: Kind::List(values), .. }]) => {
            is_literal(pattern) && values.iter().all(|value| is_literal(&value.value))
        }
        _ => false,
    }
}

fn collect_patterns(expr: &Expr, patterns: &mut HashMap<String, Regex>) {
    if let Kind::Call { function, args, .. } = &expr.kind
        && matches!(function.as_str(), "matches" | "find" | "findAll")
        && let Some(Kind::Literal(Literal::String(text))) =
            args.iter().map(|arg| &arg.kind).find(|kind| matches!(kind, Kind::Literal(Literal::String(_))))
        && let Ok(pattern) = pattern::compile(text)
    {
        patterns.insert(text.clone(), pattern);
    }
    expr.children(|child| collect_patterns(child, patterns));
}
