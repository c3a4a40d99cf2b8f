//! Evaluation: a walk over the checked tree that counts what it costs, stops where that is too much, and takes errors for
//! values, as `&&`, `||`, `all` and `exists` need it.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use regex::Regex;

use super::Stop;
use super::ast::{Bind, BindKind, Element, Entry, Expr, FieldValue, Fold, FoldKind, Kind, Literal};
use super::checker::Note;
use super::cost::{ACCESS, LIST, MAP, STRUCT};
use super::libraries::list_extension;
use super::library::Overload;
use super::value::{Key, List, Made, Map, Text, Value};
use super::{Program, pattern};

pub(super) type Evaluated<'v> = Result<Value<'v>, Stop>;

/// Elements compared and bytes copied in one evaluation, at most. Upstream's costs do not see all of them: lists that are
/// joined again and again, or large values that are compared.
const MOST_WORK: usize = 64 << 20;
/// Patterns that are not written out are compiled when met; each evaluation keeps so many.
const KEPT_PATTERNS: usize = 32;
/// What compiling a pattern costs in work.
const PATTERN_WORK: usize = 64 << 10;

pub(super) struct Run<'v> {
    program: &'v Program,
    slots: Vec<Option<Value<'v>>>,
    pub cost: u64,
    limit: u64,
    work: usize,
    patterns: HashMap<String, Regex>,
}

impl<'v> Run<'v> {
    pub fn new(program: &'v Program, inputs: Vec<Option<Value<'v>>>, limit: u64) -> Self {
        Self { program, slots: inputs, cost: 0, limit, work: 0, patterns: HashMap::new() }
    }

    pub fn spend(&mut self, cost: u64) -> Result<(), Stop> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Stop::Cost) } else { Ok(()) }
    }

    /// Counts what upstream has no price for.
    pub fn work(&mut self, amount: usize) -> Result<(), Stop> {
        self.work = self.work.saturating_add(amount);
        if self.work > MOST_WORK { Err(Stop::Cost) } else { Ok(()) }
    }

    pub fn pattern(&mut self, text: &str) -> Result<Regex, Stop> {
        if let Some(found) = self.program.patterns.get(text).or_else(|| self.patterns.get(text)) {
            return Ok(found.clone());
        }
        self.work(PATTERN_WORK)?;
        let compiled = pattern::compile(text).map_err(Stop::Failed)?;
        if self.patterns.len() < KEPT_PATTERNS {
            self.patterns.insert(text.to_owned(), compiled.clone());
        }
        Ok(compiled)
    }

    pub fn evaluate(&mut self, expr: &'v Expr) -> Evaluated<'v> {
        match &expr.kind {
            Kind::Literal(literal) => Ok(literal_value(literal)),
            Kind::Ident(name) => self.name(expr, name),
            Kind::Select { operand, field, optional } => self.select(expr, operand, field, *optional),
            Kind::Has { operand, field } => self.has(operand, field),
            Kind::Call { target, args, function } => self.call(expr, function, target.as_deref(), args),
            Kind::All(terms) => self.logic(terms, false),
            Kind::Any(terms) => self.logic(terms, true),
            Kind::Choice(parts) => self.choice(parts),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { fields, .. } => self.structure(fields),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Bind(bind) => self.bind(bind),
        }
    }

    fn note(&self, expr: &Expr) -> &'v Note {
        let program: &'v Program = self.program;
        &program.notes[expr.id as usize]
    }

    fn name(&mut self, expr: &'v Expr, name: &str) -> Evaluated<'v> {
        match self.note(expr) {
            Note::Slot(slot) => {
                self.spend(ACCESS)?;
                self.slots.get(*slot).cloned().flatten().ok_or_else(|| Stop::failed(format!("no such attribute: {name}")))
            }
            Note::TypeName(name) => Ok(Value::Type(Text::Borrowed(name))),
            _ => Err(Stop::failed(format!("undeclared reference to {name}"))),
        }
    }

    fn select(&mut self, expr: &'v Expr, operand: &'v Expr, field: &str, optional: bool) -> Evaluated<'v> {
        if !matches!(self.note(expr), Note::None) {
            return self.name(expr, field);
        }
        let operand = self.evaluate(operand)?;
        self.spend(ACCESS)?;
        let (found, optional) = match &operand {
            Value::Map(map) => (map.field(field).transpose()?, optional),
            Value::Optional(None) => (None, true),
            Value::Optional(Some(inner)) => match &**inner {
                Value::Map(map) => (map.field(field).transpose()?, true),
                _ => return Err(Stop::overload("select")),
            },
            _ => return Err(Stop::overload("select")),
        };
        match (found, optional) {
            (Some(Value::Optional(inner)), true) => Ok(Value::Optional(inner)),
            (found, true) => Ok(Value::optional(found)),
            (Some(found), false) => Ok(found),
            (None, false) => Err(Stop::failed(format!("no such key: {field}"))),
        }
    }

    fn has(&mut self, operand: &'v Expr, field: &str) -> Evaluated<'v> {
        let operand = self.evaluate(operand)?;
        let map = match &operand {
            Value::Map(map) => map,
            Value::Optional(None) => return Ok(Value::Bool(false)),
            Value::Optional(Some(inner)) => match &**inner {
                Value::Map(map) => map,
                _ => return Err(Stop::overload("has")),
            },
            _ => return Err(Stop::overload("has")),
        };
        Ok(Value::Bool(map.field(field).transpose()?.is_some()))
    }

    fn call(&mut self, expr: &'v Expr, function: &str, target: Option<&'v Expr>, args: &'v [Expr]) -> Evaluated<'v> {
        let Note::Call { overloads, qualified } = self.note(expr) else {
            return Err(Stop::failed(format!("undeclared reference to {function}")));
        };
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target.filter(|_| !qualified) {
            values.push(self.evaluate(target)?);
            // What stands in for a missing value is looked at only if one is missing.
            if let ("or" | "orValue", [Value::Optional(Some(value))]) = (function, &values[..]) {
                self.spend(ACCESS)?;
                return Ok(if function == "or" { Value::Optional(Some(value.clone())) } else { Value::clone(value) });
            }
        }
        for arg in args {
            values.push(self.evaluate(arg)?);
        }
        self.apply(overloads, function, &values)
    }

    fn apply(&mut self, overloads: &[&'static Overload], function: &str, values: &[Value<'v>]) -> Evaluated<'v> {
        let overload = overloads.iter().find(|overload| overload.accepts(values)).ok_or_else(|| Stop::overload(function))?;
        let cost = overload.function.cost.of(|at| values.get(at).map_or(1, Value::size), values.len());
        self.spend(cost)?;
        (overload.function.native)(self, values)
    }

    /// The first term that decides; an error only where none does.
    fn logic(&mut self, terms: &'v [Expr], decisive: bool) -> Evaluated<'v> {
        let mut failure = None;
        for term in terms {
            match self.evaluate(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failure = failure.or_else(|| Some(Stop::overload("logic"))),
                Err(Stop::Cost) => return Err(Stop::Cost),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn choice(&mut self, parts: &'v [Expr; 3]) -> Evaluated<'v> {
        let [condition, then, otherwise] = parts;
        match self.evaluate(condition)? {
            Value::Bool(true) => self.evaluate(then),
            Value::Bool(false) => self.evaluate(otherwise),
            _ => Err(Stop::overload("?:")),
        }
    }

    /// A value that is left out where it is an optional one without value.
    fn part(&mut self, expr: &'v Expr, optional: bool) -> Result<Option<Value<'v>>, Stop> {
        match (self.evaluate(expr)?, optional) {
            (value, false) => Ok(Some(value)),
            (Value::Optional(value), true) => Ok(value.as_deref().cloned()),
            _ => Err(Stop::overload("optional")),
        }
    }

    fn list(&mut self, elements: &'v [Element]) -> Evaluated<'v> {
        self.spend(LIST)?;
        let mut values = Vec::with_capacity(elements.len());
        for element in elements {
            values.extend(self.part(&element.value, element.optional)?);
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'v [Entry]) -> Evaluated<'v> {
        self.spend(MAP)?;
        let mut made = BTreeMap::new();
        for entry in entries {
            let key = self.evaluate(&entry.key)?;
            if let Some(value) = self.part(&entry.value, entry.optional)? {
                // Of a key that is written out twice, the last counts.
                made.insert(key_of(&key)?, value);
            }
        }
        Ok(Value::Map(Map::Made(Rc::new(Made { entries: made, default: None }))))
    }

    fn structure(&mut self, fields: &'v [FieldValue]) -> Evaluated<'v> {
        self.spend(STRUCT)?;
        let mut made = BTreeMap::new();
        for field in fields {
            if let Some(value) = self.part(&field.value, field.optional)? {
                made.insert(Key::String(Text::Borrowed(&field.name)), value);
            }
        }
        Ok(Value::Map(Map::Made(Rc::new(Made { entries: made, default: None }))))
    }

    fn bind(&mut self, bind: &'v Bind) -> Evaluated<'v> {
        let value = self.evaluate(&bind.value)?;
        self.spend(ACCESS)?;
        let value = match (bind.kind, value) {
            (BindKind::Plain, value) => value,
            (_, Value::Optional(Some(value))) => Value::clone(&value),
            (_, none @ Value::Optional(None)) => return Ok(none),
            _ => return Err(Stop::overload("optMap")),
        };
        self.slots.push(Some(value));
        let body = self.evaluate(&bind.body);
        self.slots.pop();
        Ok(if bind.kind == BindKind::OptMap { Value::optional(Some(body?)) } else { body? })
    }

    fn fold(&mut self, fold: &'v Fold) -> Evaluated<'v> {
        let range = self.evaluate(&fold.range)?;
        self.spend(fold.kind.overhead().0)?;
        let before = self.slots.len();
        let folded = match &range {
            Value::List(list) => self.fold_list(fold, list),
            Value::Map(map) => self.fold_map(fold, map),
            _ => Err(Stop::overload("macro")),
        };
        self.slots.truncate(before);
        folded
    }

    fn fold_list(&mut self, fold: &'v Fold, list: &List<'v>) -> Evaluated<'v> {
        let mut state = Folding::new(fold);
        for (at, element) in list.iter().enumerate() {
            let at = Value::Int(at as i64);
            let first = if fold.second.is_some() { at.clone() } else { element.clone() };
            if self.step(&mut state, &at, first, element)? {
                break;
            }
        }
        state.finish()
    }

    fn fold_map(&mut self, fold: &'v Fold, map: &Map<'v>) -> Evaluated<'v> {
        let mut state = Folding::new(fold);
        self.work(map.len())?;
        for key in map.keys() {
            let value = match fold.second {
                Some(_) => map.get(&key).transpose()?.unwrap_or(Value::Null),
                None => Value::Null,
            };
            let key = key.value();
            if self.step(&mut state, &key, key.clone(), value)? {
                break;
            }
        }
        state.finish()
    }

    /// One element; true where those after it no longer matter.
    fn step(&mut self, state: &mut Folding<'v>, key: &Value<'v>, first: Value<'v>, second: Value<'v>) -> Result<bool, Stop> {
        let fold = state.fold;
        self.spend(fold.kind.overhead().1)?;
        let before = self.slots.len();
        let element = first.clone();
        self.slots.push(Some(first));
        if fold.second.is_some() {
            self.slots.push(Some(second));
        }
        let kept = match &fold.filter {
            None => Ok(true),
            Some(filter) => self.evaluate(filter).and_then(holds),
        };
        let body = match kept {
            Ok(true) => Some(self.evaluate(&fold.body)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        };
        self.slots.truncate(before);
        match body {
            Some(body) => state.take(key, element, body),
            None => Ok(false),
        }
    }
}

/// What a macro has come to so far.
struct Folding<'v> {
    fold: &'v Fold,
    decided: bool,
    count: u64,
    failure: Option<Stop>,
    list: Vec<Value<'v>>,
    map: BTreeMap<Key<'v>, Value<'v>>,
    keyed: Vec<(Value<'v>, Value<'v>)>,
}

impl<'v> Folding<'v> {
    fn new(fold: &'v Fold) -> Self {
        Self { fold, decided: false, count: 0, failure: None, list: Vec::new(), map: BTreeMap::new(), keyed: Vec::new() }
    }

    fn take(&mut self, key: &Value<'v>, element: Value<'v>, body: Evaluated<'v>) -> Result<bool, Stop> {
        match self.fold.kind {
            FoldKind::All | FoldKind::Exists => match body.and_then(holds) {
                Ok(value) => self.decided |= value == (self.fold.kind == FoldKind::Exists),
                Err(Stop::Cost) => return Err(Stop::Cost),
                Err(error) => self.failure = self.failure.take().or(Some(error)),
            },
            FoldKind::ExistsOne => self.count += u64::from(holds(body?)?),
            FoldKind::Filter => {
                if holds(body?)? {
                    self.list.push(element);
                }
            }
            FoldKind::List => self.list.push(body?),
            FoldKind::Sort => self.keyed.push((body?, element)),
            FoldKind::Map => insert(&mut self.map, key, body?)?,
            FoldKind::Entries => {
                let Value::Map(entries) = body? else { return Err(Stop::overload("transformMapEntry")) };
                for key in entries.keys() {
                    if let Some(value) = entries.get(&key).transpose()? {
                        insert(&mut self.map, &key.value(), value)?;
                    }
                }
            }
        }
        Ok(self.decided)
    }

    fn finish(self) -> Evaluated<'v> {
        match (self.fold.kind, self.failure) {
            (FoldKind::All | FoldKind::Exists, failure) => {
                let exists = self.fold.kind == FoldKind::Exists;
                match failure {
                    Some(error) if !self.decided => Err(error),
                    _ => Ok(Value::Bool(self.decided == exists)),
                }
            }
            (FoldKind::ExistsOne, _) => Ok(Value::Bool(self.count == 1)),
            (FoldKind::List | FoldKind::Filter, _) => Ok(Value::list(self.list)),
            (FoldKind::Sort, _) => list_extension::sorted(self.keyed),
            (FoldKind::Map | FoldKind::Entries, _) => Ok(Value::Map(Map::Made(Rc::new(Made { entries: self.map, default: None })))),
        }
    }
}

fn holds(value: Value<'_>) -> Result<bool, Stop> {
    match value {
        Value::Bool(value) => Ok(value),
        _ => Err(Stop::overload("predicate")),
    }
}

fn insert<'v>(map: &mut BTreeMap<Key<'v>, Value<'v>>, key: &Value<'v>, value: Value<'v>) -> Result<(), Stop> {
    match map.insert(key_of(key)?, value) {
        None => Ok(()),
        Some(_) => Err(Stop::failed("a key is in a map twice")),
    }
}

fn key_of<'v>(value: &Value<'v>) -> Result<Key<'v>, Stop> {
    let key = match value {
        Value::Double(_) => None,
        value => Key::of(value),
    };
    key.ok_or_else(|| Stop::failed("unsupported type of key"))
}

fn literal_value(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::from(text.as_str()),
        Literal::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
    }
}
