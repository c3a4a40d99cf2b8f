//! Values against their schemas.
//!
//! An update may leave alone what was there before: what is wrong with a value that equals the old one is forgotten
//! (ratcheting). Which old value a new one goes with is known for fields, and for elements of lists that are maps.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::formats;
use super::node::{Additional, Bound, ListType, Node, Range, Type};
use crate::field::{Error, Errors, Path};

/// Of more errors than this nothing is said: an object has a value for every two bytes.
const MOST_ERRORS: usize = 1000;

/// Where Kubernetes reports that alternatives do not fit: it has no path for that of the whole object.
const NO_PATH: &str = "<nil>";

pub(super) fn validate(node: &Node, path: &Path, new: &Value, old: Option<&Value>) -> Errors {
    let base = if path.as_str().is_empty() { Path::new(NO_PATH) } else { path.clone() };
    let walk = Walk { base: &base, is_whole: path.as_str().is_empty() };
    walk.correlated(node, path, new, Before { node: old.map(|_| node), value: old }).errors
}

/// The outcome for one value.
#[derive(Default)]
struct Outcome {
    errors: Errors,
    /// How many checks there were that held; of alternatives that do not fit, the one with most is told of.
    held: u32,
}

impl Outcome {
    fn add(&mut self, error: Error) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(error);
        }
    }

    fn merge(&mut self, other: Self) {
        self.held = self.held.saturating_add(other.held);
        if self.errors.is_empty() {
            self.errors = other.errors;
        } else {
            let room = MOST_ERRORS.saturating_sub(self.errors.len());
            self.errors.extend(other.errors.into_iter().take(room));
        }
    }

    /// One check more, which held unless there is an error.
    fn note(&mut self, error: Option<Error>) {
        match error {
            Some(error) => self.add(error),
            None => self.held = self.held.saturating_add(1),
        }
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The old value that a new one goes with, and the schema of both, which says how lists are to be compared. Alternatives
/// (`anyOf` and so on) have schemas of their own, but what goes with what is a matter of the structure.
#[derive(Clone, Copy)]
struct Before<'v> {
    node: Option<&'v Node>,
    value: Option<&'v Value>,
}

impl<'v> Before<'v> {
    const NOTHING: Self = Self { node: None, value: None };

    fn field(self, name: &str) -> Self {
        match (self.node.and_then(|node| node.child(name)), self.value.and_then(Value::as_object)) {
            (Some(node), Some(fields)) => Self { node: Some(node), value: fields.get(name) },
            _ => Self::NOTHING,
        }
    }

    /// Finds the old elements of a list by their keys.
    fn elements(self, new: &[Value]) -> Elements<'v> {
        let (Some(node), Some(Value::Array(old))) = (self.node, self.value) else { return Elements::default() };
        let (ListType::Map(keys), Some(below)) = (&node.list, node.items.as_deref()) else { return Elements::default() };
        if new.is_empty() {
            return Elements::default();
        }
        let by_key = old.iter().map(|item| (key_of(keys, below, item), item)).collect();
        Elements { keys, below: Some(below), by_key }
    }
}

#[derive(Default)]
struct Elements<'v> {
    keys: &'v [Box<str>],
    below: Option<&'v Node>,
    by_key: HashMap<String, &'v Value>,
}

impl<'v> Elements<'v> {
    fn of(&self, item: &Value) -> Before<'v> {
        let Some(below) = self.below else { return Before::NOTHING };
        match self.by_key.get(&key_of(self.keys, below, item)) {
            Some(value) => Before { node: Some(below), value: Some(value) },
            None => Before::NOTHING,
        }
    }
}

fn key_of(keys: &[Box<str>], below: &Node, item: &Value) -> String {
    let default = |name: &str| below.properties.get(name).and_then(|key| key.default.as_ref());
    let values: Vec<Option<&Value>> = keys.iter().map(|name| item.get(&**name).or_else(|| default(name))).collect();
    // Values are JSON already.
    serde_json::to_string(&values).unwrap_or_default()
}

/// How many of several schemas a value fits, and the outcome by one of them.
struct Alternatives {
    fitting: usize,
    outcome: Outcome,
}

struct Walk<'w> {
    /// Where it is reported that alternatives do not fit.
    base: &'w Path,
    /// The value is a whole object, whose type cannot be ratcheted: the old one has been given the new one's version.
    is_whole: bool,
}

impl Walk<'_> {
    /// [`Self::value`], unless the value is as it was.
    fn correlated(&self, node: &Node, path: &Path, value: &Value, before: Before<'_>) -> Outcome {
        let outcome = self.value(node, path, value, before);
        if !outcome.is_valid() && before.value == Some(value) {
            return Outcome { errors: Errors::new(), held: outcome.held };
        }
        outcome
    }

    fn value(&self, node: &Node, path: &Path, value: &Value, before: Before<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        if node.kind.is_some() || node.int_or_string {
            let wrong = check_type(node, path, value);
            let has_fraction = wrong.is_some() && node.kind == Some(Type::Integer) && value.is_number();
            outcome.note(wrong);
            // Kubernetes says so twice, once as of a value that does not fit its format.
            if has_fraction {
                outcome.add(Error::invalid(self.base, "", format!("{:?} must be an integer of 64 bits", path.as_str())));
            }
        }
        if value.is_null() {
            outcome.note(check_enum(node, path, value));
            return outcome;
        }
        self.junctors(node, path, value, before, &mut outcome);
        match value {
            Value::String(text) => check_text(node, path, text, &mut outcome),
            Value::Number(number) => self.number(node, path, number, &mut outcome),
            Value::Array(items) => self.list(node, path, items, before, &mut outcome),
            _ => {}
        }
        outcome.note(check_enum(node, path, value));
        if let Value::Object(fields) = value {
            self.object(node, path, fields, before, &mut outcome);
        }
        outcome.held = outcome.held.saturating_add(1);
        outcome
    }

    fn junctors(&self, node: &Node, path: &Path, value: &Value, before: Before<'_>, outcome: &mut Outcome) {
        let checks = &node.checks;
        let complain = |outcome: &mut Outcome, why: &str| {
            let shown = path.as_str();
            outcome.add(Error::invalid(self.base, "", format!("{shown:?} {why}")));
        };
        if !checks.any_of.is_empty() {
            let found = self.alternatives(&checks.any_of, path, value, before, 1);
            if found.fitting == 0 {
                complain(outcome, "must fit at least one of the schemas of anyOf");
            }
            outcome.merge(found.outcome);
        }
        if !checks.one_of.is_empty() {
            let found = self.alternatives(&checks.one_of, path, value, before, checks.one_of.len());
            match found.fitting {
                0 => complain(outcome, "must fit one of the schemas of oneOf, and fits none"),
                1 => {}
                several => complain(outcome, &format!("must fit one of the schemas of oneOf only, and fits {several}")),
            }
            outcome.merge(found.outcome);
        }
        let mut fits_all = true;
        for one in &checks.all_of {
            let found = self.value(one, path, value, before);
            fits_all &= found.is_valid();
            outcome.merge(found);
        }
        if !fits_all {
            complain(outcome, "must fit all of the schemas of allOf");
        }
        if checks.not.as_ref().is_some_and(|not| self.value(not, path, value, before).is_valid()) {
            complain(outcome, "must not fit the schema of not");
        }
        outcome.held = outcome.held.saturating_add(1);
    }

    /// Looks at alternatives, until `enough` of them fit. The outcome is that of the first that fits, or else of the one
    /// that is nearest to it.
    fn alternatives(&self, alternatives: &[Node], path: &Path, value: &Value, before: Before<'_>, enough: usize) -> Alternatives {
        let (mut fitting, mut best) = (0, None::<Outcome>);
        for one in alternatives {
            let found = self.value(one, path, value, before);
            let fits = found.is_valid();
            let is_better = best.as_ref().is_none_or(|best| !best.is_valid() && (fits || found.held > best.held));
            if is_better {
                best = Some(found);
            }
            fitting += usize::from(fits);
            if fitting == enough {
                break;
            }
        }
        Alternatives { fitting, outcome: best.unwrap_or_default() }
    }

    fn number(&self, node: &Node, path: &Path, number: &serde_json::Number, outcome: &mut Outcome) {
        let checks = &node.checks;
        let Some(value) = number.as_f64() else { return };
        if checks.format.as_deref() == Some("int32") && (value < f64::from(i32::MIN) || value > f64::from(i32::MAX)) {
            outcome.add(Error::invalid(self.base, "", format!("{:?} must fit into 32 bits", path.as_str())));
        }
        let mut wrong = Vec::new();
        // Whole numbers are divided by whole numbers only, as Kubernetes does: it takes the fraction away.
        let factor = checks.multiple_of.map(|factor| if number.is_f64() { factor } else { factor.trunc() });
        if let Some(factor) = factor.filter(|factor| !is_multiple(value, *factor)) {
            wrong.push(format!("must be a multiple of {factor}"));
        }
        if let Some(Bound { value: least, exclusive }) = checks.minimum
            && (value < least || exclusive && value <= least)
        {
            wrong.push(format!("must be greater than {}{least}", if exclusive { "" } else { "or equal to " }));
        }
        if let Some(Bound { value: most, exclusive }) = checks.maximum
            && (value > most || exclusive && value >= most)
        {
            wrong.push(format!("must be less than {}{most}", if exclusive { "" } else { "or equal to " }));
        }
        wrong.into_iter().for_each(|why| outcome.add(Error::invalid(path, number, why)));
        outcome.held = outcome.held.saturating_add(1);
    }

    fn list(&self, node: &Node, path: &Path, items: &[Value], before: Before<'_>, outcome: &mut Outcome) {
        if let Some(below) = &node.items {
            let elements = before.elements(items);
            for (index, item) in items.iter().enumerate() {
                outcome.merge(self.correlated(below, &path.index(index), item, elements.of(item)));
            }
        }
        let Range { least, most } = node.checks.items;
        let count = items.len();
        if let Some(least) = least.filter(|least| below(count, *least)) {
            outcome.add(Error::invalid(path, count, format!("must have at least {least} items")));
        }
        if let Some(most) = most.filter(|most| above(count, *most)) {
            outcome.add(Error::too_many(path, count, usize::try_from(most).unwrap_or_default()));
        }
        outcome.held = outcome.held.saturating_add(1);
    }

    fn object(&self, node: &Node, path: &Path, fields: &Map<String, Value>, before: Before<'_>, outcome: &mut Outcome) {
        let Range { least, most } = node.checks.properties;
        if let Some(least) = least.filter(|least| below(fields.len(), *least)) {
            outcome.add(Error::invalid(path, fields.len(), format!("must have at least {least} properties")));
        }
        if let Some(most) = most.filter(|most| above(fields.len(), *most)) {
            outcome.add(Error::too_many(path, fields.len(), usize::try_from(most).unwrap_or_default()));
        }
        for (name, value) in fields {
            let schema = match (node.properties.get(name.as_str()), &node.additional) {
                (Some(schema), _) => schema,
                (None, Some(Additional::Schema(schema))) => schema,
                (None, Some(Additional::Allowed(false))) => {
                    outcome.add(Error::invalid(path, name, "is a property that is not allowed"));
                    continue;
                }
                _ => continue,
            };
            let is_type = self.is_whole && path.as_str().is_empty() && matches!(name.as_str(), "apiVersion" | "kind");
            let before = if is_type { Before::NOTHING } else { before.field(name) };
            outcome.merge(self.correlated(schema, &path.child(name), value, before));
        }
        let missing = node.checks.required.iter().filter(|name| !fields.contains_key(&***name));
        missing.for_each(|name| outcome.add(Error::required(&path.child(name), "")));
    }
}

fn below(count: usize, least: i64) -> bool {
    usize::try_from(least).is_ok_and(|least| count < least)
}

/// Nothing is as few as a negative bound asks for.
fn above(count: usize, most: i64) -> bool {
    usize::try_from(most).map_or(true, |most| count > most)
}

fn is_multiple(value: f64, factor: f64) -> bool {
    let quotient = value / factor;
    factor > 0.0 && quotient.is_finite() && (quotient - quotient.round()).abs() < 1e-9
}

/// Two to the 63rd.
const MOST_WHOLE: f64 = 9_223_372_036_854_775_808.0;

fn check_type(node: &Node, path: &Path, value: &Value) -> Option<Error> {
    // What is beyond 64 bits with a sign is a float to Kubernetes, and too large for one that is whole.
    let is_whole = |number: &serde_json::Number| {
        number.is_i64() || number.is_f64() && number.as_f64().is_some_and(|value| value.fract() == 0.0 && value.abs() < MOST_WHOLE)
    };
    let fits = match (value, node.kind) {
        (Value::Null, _) => node.nullable,
        (value, _) if node.int_or_string => value.is_string() || matches!(value, Value::Number(number) if is_whole(number)),
        // A format takes the place of the type for what is written as text or as a list.
        (Value::String(_) | Value::Array(_), Some(kind)) if node.checks.format.is_some() && kind == Type::String => true,
        (Value::Bool(_), Some(Type::Boolean))
        | (Value::Number(_), Some(Type::Number))
        | (Value::String(_), Some(Type::String))
        | (Value::Array(_), Some(Type::Array))
        | (Value::Object(_), Some(Type::Object)) => true,
        (Value::Number(number), Some(Type::Integer)) => is_whole(number),
        _ => false,
    };
    let wanted = match node.kind {
        _ if node.int_or_string => "integer or string",
        Some(Type::Object) => "object",
        Some(Type::Array) => "array",
        Some(Type::Integer) => "integer",
        Some(Type::Number) => "number",
        Some(Type::String) => "string",
        Some(Type::Boolean) => "boolean",
        None => return None,
    };
    (!fits).then(|| Error::type_invalid(path, value, format!("must be of type {wanted}")))
}

fn check_enum(node: &Node, path: &Path, value: &Value) -> Option<Error> {
    let allowed = &node.checks.enumerated;
    // Null is in no enumeration, even where one names it: null stands for no value there.
    if allowed.is_empty() || !value.is_null() && allowed.iter().any(|one| equal(one, value)) {
        return None;
    }
    let shown: Vec<String> = allowed.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    Some(Error::not_supported(path, value, &shown))
}

/// Numbers are equal whether or not they are written with a fraction.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()),
        _ => one == other,
    }
}

/// The first thing wrong with a text, and whether it has its format.
fn check_text(node: &Node, path: &Path, text: &str, outcome: &mut Outcome) {
    let checks = &node.checks;
    let Range { least, most } = checks.length;
    // Characters need not be counted where bytes tell already.
    let too_long = most.is_some_and(|most| above(text.len(), most) && above(text.chars().count(), most));
    let too_short = least.is_some_and(|least| below(text.len(), least) || below(text.chars().count(), least));
    if let (true, Some(most)) = (too_long, most) {
        outcome.add(Error::too_long(path, usize::try_from(most).unwrap_or_default()));
    } else if let (true, Some(least)) = (too_short, least) {
        outcome.add(Error::invalid(path, text, format!("must have at least {least} characters")));
    } else if let Some(pattern) = checks.pattern.as_ref().filter(|pattern| !pattern.is_in(text)) {
        outcome.add(Error::invalid(path, text, format!("must match {:?}", pattern.text)));
    } else {
        outcome.held = outcome.held.saturating_add(1);
    }
    if let Some(format) = &checks.format {
        let wrong = !formats::fits(format, text);
        // To Kubernetes, a format is a part of the type.
        outcome.note(wrong.then(|| Error::type_invalid(path, text, format!("must have the format {format:?}"))));
    }
}
