//! What evaluating an expression can cost at most, from what its inputs were declared with. The numbers are upstream's:
//! which rules a definition may have depends on them.

use super::ast::{Bind, Expr, Fold, FoldKind, Kind, Literal};
use super::checker::{Checked, Note};
use super::environment::Environment;
use super::library::{self, Cost};
use super::types::{Declared, Shape, Type, UNBOUNDED};

/// A name, or a field of something.
pub(super) const ACCESS: u64 = 1;
pub(super) const LIST: u64 = 10;
pub(super) const MAP: u64 = 30;
pub(super) const STRUCT: u64 = 40;
/// Characters of a scalar that was turned into text.
const SCALAR_TEXT: u64 = 40;

impl FoldKind {
    /// What the macro itself costs: at the start, and for each element beside its body.
    pub(super) fn overhead(self) -> (u64, u64) {
        match self {
            Self::All => (1, 3),
            Self::Exists => (1, 4),
            Self::ExistsOne => (2, 2),
            Self::List | Self::Filter | Self::Sort => (LIST + 1, LIST + 2),
            Self::Map | Self::Entries => (MAP + 1, MAP + 2),
        }
    }
}

/// The size of a value, and of what is in it.
#[derive(Clone)]
struct Extent<'d> {
    most: u64,
    inside: Inside<'d>,
}

#[derive(Clone)]
enum Inside<'d> {
    Unknown,
    Declared(&'d Declared),
    Elements(Box<Extent<'d>>),
}

impl<'d> Extent<'d> {
    fn of(declared: &'d Declared) -> Self {
        let declared = match &declared.shape {
            Shape::Optional(inner) => inner,
            _ => declared,
        };
        Self { most: declared.most, inside: Inside::Declared(declared) }
    }

    fn unknown() -> Self {
        Self::sized(UNBOUNDED)
    }

    fn sized(most: u64) -> Self {
        Self { most, inside: Inside::Unknown }
    }

    fn element(&self) -> Self {
        match &self.inside {
            Inside::Elements(element) => Self::clone(element),
            Inside::Declared(Declared { shape: Shape::List(list), .. }) => Self::of(&list.element),
            Inside::Declared(Declared { shape: Shape::Map { value, .. }, .. }) => Self::of(value),
            _ => Self::unknown(),
        }
    }

    /// The size of elements as far as the input was declared; upstream's own functions count those of lists that are
    /// written out as of any size.
    fn declared_element(&self) -> u64 {
        match self.inside {
            Inside::Declared(_) => self.element().most,
            _ => UNBOUNDED,
        }
    }

    fn key(&self) -> Self {
        match &self.inside {
            Inside::Declared(Declared { shape: Shape::Map { longest_key, .. }, .. }) => Self::sized(*longest_key),
            _ => Self::unknown(),
        }
    }

    fn field(&self, name: &str) -> Self {
        match &self.inside {
            Inside::Declared(Declared { shape: Shape::Object(object), .. }) => {
                object.fields.get(name).map_or_else(Self::unknown, |field| Self::of(&field.declared))
            }
            // The size of whatever it is applies to all that is in it.
            Inside::Declared(any @ Declared { shape: Shape::Any, .. }) => Self::of(any),
            _ => self.element(),
        }
    }

    fn or(self, other: Self) -> Self {
        let inside = if self.most >= other.most { self.inside } else { other.inside };
        Self { most: self.most.max(other.most), inside }
    }
}

/// The cost of the whole expression.
pub(super) fn estimate(root: &Expr, checked: &Checked, environment: &Environment) -> u64 {
    let slots = environment.variables().iter().map(|(_, declared)| Extent::of(declared)).collect();
    Estimator { checked, slots }.estimate(root).0
}

struct Estimator<'d> {
    checked: &'d Checked,
    slots: Vec<Extent<'d>>,
}

impl<'d> Estimator<'d> {
    /// The cost of a node with all below it, and the size of its value.
    fn estimate(&mut self, expr: &'d Expr) -> (u64, Extent<'d>) {
        let (cost, mut extent) = match &expr.kind {
            Kind::Literal(literal) => (0, Extent::sized(literal_size(literal))),
            Kind::Ident(_) => match &self.checked.notes[expr.id as usize] {
                Note::Slot(slot) => (ACCESS, self.slots.get(*slot).cloned().unwrap_or_else(Extent::unknown)),
                _ => (0, Extent::sized(1)),
            },
            Kind::Select { .. } if !matches!(self.checked.notes[expr.id as usize], Note::None) => (ACCESS, Extent::sized(1)),
            Kind::Select { operand, field, .. } => {
                let (cost, operand) = self.estimate(operand);
                (cost.saturating_add(ACCESS), operand.field(field))
            }
            Kind::Has { operand, .. } => (self.estimate(operand).0, Extent::sized(1)),
            Kind::Call { target, args, function } => self.call(expr, function, target.as_deref(), args),
            Kind::All(terms) | Kind::Any(terms) => (self.sum(terms), Extent::sized(1)),
            Kind::Choice(parts) => self.choice(parts),
            Kind::List(elements) => {
                let mut cost = LIST;
                let mut inside: Option<Extent<'d>> = None;
                for element in elements {
                    let (more, extent) = self.estimate(&element.value);
                    cost = cost.saturating_add(more);
                    inside = Some(inside.map_or(extent.clone(), |inside| inside.or(extent)));
                }
                let inside = inside.map_or(Inside::Unknown, |inside| Inside::Elements(Box::new(inside)));
                (cost, Extent { most: elements.len() as u64, inside })
            }
            Kind::Map(entries) => {
                let parts = entries.iter().flat_map(|entry| [&entry.key, &entry.value]);
                (self.sum(parts).saturating_add(MAP), Extent::sized(entries.len() as u64))
            }
            Kind::Struct { fields, .. } => (self.sum(fields.iter().map(|field| &field.value)).saturating_add(STRUCT), Extent::sized(1)),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Bind(bind) => self.bind(bind),
        };
        if is_scalar(&self.checked.types[expr.id as usize]) {
            extent = Extent::sized(1);
        }
        (cost, extent)
    }

    fn sum(&mut self, terms: impl IntoIterator<Item = &'d Expr>) -> u64 {
        terms.into_iter().fold(0, |sum: u64, term| sum.saturating_add(self.estimate(term).0))
    }

    fn choice(&mut self, parts: &'d [Expr; 3]) -> (u64, Extent<'d>) {
        let [condition, then, otherwise] = parts;
        let (condition, _) = self.estimate(condition);
        let ((a, a_extent), (b, b_extent)) = (self.estimate(then), self.estimate(otherwise));
        (condition.saturating_add(a.max(b)), a_extent.or(b_extent))
    }

    fn call(&mut self, expr: &'d Expr, function: &str, target: Option<&'d Expr>, args: &'d [Expr]) -> (u64, Extent<'d>) {
        let Note::Call { overloads, qualified } = &self.checked.notes[expr.id as usize] else { return (0, Extent::unknown()) };
        let mut cost: u64 = 0;
        let mut extents = Vec::with_capacity(args.len() + 1);
        for arg in target.filter(|_| !qualified).into_iter().chain(args) {
            let (more, extent) = self.estimate(arg);
            cost = cost.saturating_add(more);
            extents.push(extent);
        }
        let size = |at: usize| extents.get(at).map_or(1, |extent| extent.most);
        let own = overloads.iter().map(|overload| match overload.function.cost {
            // Comparing or joining texts costs their lengths as well.
            Cost::Elements => match overload.params.first() {
                Some(Type::List(element)) if **element == Type::String || **element == Type::Bytes => {
                    let element = extents.first().map_or(UNBOUNDED, Extent::declared_element);
                    size(0).saturating_mul(1 + element.div_ceil(10))
                }
                _ => size(0),
            },
            cost => cost.of(size, extents.len()),
        });
        let own = own.max().unwrap_or(1);
        // The name with its namespace: the tree has only the last part of it.
        let function = overloads.first().map_or(function, |overload| overload.function.name);
        if let Some((more, size)) = new_list(function, args, size(0)) {
            let inside = extents.first().map_or(Inside::Unknown, |list| Inside::Elements(Box::new(list.element())));
            return (cost.saturating_add(own).saturating_add(more), Extent { most: size, inside });
        }
        (cost.saturating_add(own), result(function, &extents, &self.checked.types[expr.id as usize]))
    }

    fn fold(&mut self, fold: &'d Fold) -> (u64, Extent<'d>) {
        let (cost, range) = self.estimate(&fold.range);
        let before = self.slots.len();
        let is_map = matches!(self.checked.types[fold.range.id as usize], Type::Map(_));
        match (is_map, fold.second.is_some()) {
            (true, true) => self.slots.extend([range.key(), range.element()]),
            (true, false) => self.slots.push(range.key()),
            (false, true) => self.slots.extend([Extent::sized(1), range.element()]),
            (false, false) => self.slots.push(range.element()),
        }
        let first = self.slots[before].clone();
        let filter = fold.filter.as_ref().map_or(0, |filter| self.estimate(filter).0);
        let (body, extent) = self.estimate(&fold.body);
        self.slots.truncate(before);
        let (start, step) = fold.kind.overhead();
        let each = step.saturating_add(filter).saturating_add(body);
        let cost = cost.saturating_add(start).saturating_add(range.most.saturating_mul(each));
        let inside = match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => return (cost, Extent::sized(1)),
            FoldKind::Filter => first,
            FoldKind::Sort => {
                let most = range.most.saturating_mul(range.most);
                return (cost.saturating_add(library::squares(range.most)), Extent { most, inside: Inside::Elements(Box::new(first)) });
            }
            FoldKind::Entries => extent.element(),
            FoldKind::List | FoldKind::Map => extent,
        };
        (cost, Extent { most: range.most, inside: Inside::Elements(Box::new(inside)) })
    }

    fn bind(&mut self, bind: &'d Bind) -> (u64, Extent<'d>) {
        let (cost, extent) = self.estimate(&bind.value);
        self.slots.push(extent);
        let (body, extent) = self.estimate(&bind.body);
        self.slots.pop();
        (cost.saturating_add(body).saturating_add(ACCESS), extent)
    }
}

/// What a function that makes a list costs beyond that, and the size that upstream takes the list to have. Numbers are
/// known where they are written out.
fn new_list(function: &str, args: &[Expr], of: u64) -> Option<(u64, u64)> {
    let number = |at: usize| match args.get(at).map(|arg| &arg.kind) {
        Some(Kind::Literal(Literal::Int(number))) => Some(u64::try_from(*number).unwrap_or(0)),
        _ => None,
    };
    let size = match function {
        "lists.range" => number(0).unwrap_or(UNBOUNDED),
        "slice" => number(1).unwrap_or(of).checked_sub(number(0).unwrap_or(0)).unwrap_or(UNBOUNDED),
        "flatten" => {
            let levels = if args.is_empty() { 1 } else { number(0).unwrap_or(UNBOUNDED) };
            return Some((of.saturating_mul(levels), of));
        }
        "distinct" | "sort" => return Some((0, of.saturating_mul(of))),
        _ => return None,
    };
    Some((size, size))
}

/// The size of what a function gives.
fn result<'d>(function: &str, args: &[Extent<'d>], found: &Type) -> Extent<'d> {
    let arg = |at: usize| args.get(at).cloned().unwrap_or_else(Extent::unknown);
    match function {
        "_+_" => Extent { most: arg(0).most.saturating_add(arg(1).most), inside: arg(0).or(arg(1)).inside },
        "_[_]" | "_[?_]" | "first" | "last" | "min" | "max" => arg(0).element(),
        "reverse" => arg(0),
        "orValue" | "or" => arg(0).or(arg(1)),
        "dyn"
        | "value"
        | "optional.of"
        | "optional.ofNonZeroValue"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "find"
        | "bytes"
        | "url"
        | "ip"
        | "cidr" => arg(0),
        "optional.unwrap" | "unwrapOpt" => arg(0),
        "validate" => arg(1),
        "string" if arg(0).most == 1 => Extent::sized(SCALAR_TEXT),
        "string" => arg(0),
        "charAt" => Extent::sized(1),
        "strings.quote" | "jsonpatch.escapeKey" => Extent::sized(arg(0).most.saturating_mul(2)),
        "replace" => Extent::sized(arg(0).most.saturating_add(arg(0).most.saturating_add(1).saturating_mul(arg(2).most))),
        "split" | "findAll" => Extent { most: arg(0).most, inside: Inside::Elements(Box::new(arg(0))) },
        "join" => {
            let separator = if args.len() > 1 { arg(1).most } else { 0 };
            Extent::sized(arg(0).most.saturating_mul(arg(0).declared_element().saturating_add(separator)))
        }
        "format" => Extent::sized(arg(0).most.saturating_add(arg(1).most.saturating_mul(arg(1).element().most.max(SCALAR_TEXT)))),
        _ if matches!(found, Type::Opaque(_)) => Extent::sized(SCALAR_TEXT),
        _ => Extent::unknown(),
    }
}

fn is_scalar(found: &Type) -> bool {
    if let Type::Optional(inner) = found {
        return is_scalar(inner);
    }
    matches!(found, Type::Null | Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Timestamp | Type::Duration | Type::Type)
}

fn literal_size(literal: &Literal) -> u64 {
    match literal {
        Literal::String(text) => text.chars().count() as u64,
        Literal::Bytes(bytes) => bytes.len() as u64,
        _ => 1,
    }
}
