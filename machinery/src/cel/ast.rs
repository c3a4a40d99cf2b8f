//! The tree of an expression. Macros are nodes of their own ([`Fold`], [`Kind::Has`], [`Kind::Bind`]), not what they
//! would expand to, so that checking, estimating and evaluating can each say what they mean.
//!
//! No tree is higher than [`MOST_HEIGHT`], so whatever walks one may recurse.

/// Nodes from root to leaf, at most. Upstream stops at 250; expressions that people write have ten or so.
pub(super) const MOST_HEIGHT: u16 = 100;

/// The place of a node in what is known about each node: nodes are numbered from zero without gaps.
pub(super) type Id = u32;

#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub id: Id,
    /// Where it begins, in bytes of the source.
    pub at: u32,
    pub height: u16,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Literal(Literal),
    /// A variable, or the first part of a qualified name.
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        /// `a.?b`: an optional value, of an operand that may be optional itself.
        optional: bool,
    },
    /// `has(a.b)`
    Has {
        operand: Box<Expr>,
        field: String,
    },
    /// A function, or an operator under the name that [`super::library`] has for it.
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// `a && b && c`
    All(Vec<Expr>),
    /// `a || b || c`
    Any(Vec<Expr>),
    /// `condition ? then : otherwise`
    Choice(Box<[Expr; 3]>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    /// `Name{field: value}`
    Struct {
        name: String,
        fields: Vec<FieldValue>,
    },
    Fold(Box<Fold>),
    /// `cel.bind(name, value, body)`
    Bind(Box<Bind>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(super) struct Element {
    pub value: Expr,
    /// `[?a]`: left out where `a` holds nothing.
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(super) struct FieldValue {
    pub at: u32,
    pub name: String,
    pub value: Expr,
    pub optional: bool,
}

/// A macro that walks a list or a map.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub kind: FoldKind,
    pub range: Expr,
    /// One name: of elements or keys. Two: of indices and elements, or of keys and values.
    pub first: String,
    pub second: Option<String>,
    pub filter: Option<Expr>,
    pub body: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, `transformList`
    List,
    /// `filter`: the elements of which the body holds.
    Filter,
    /// `transformMap`
    Map,
    /// `transformMapEntry`
    Entries,
    /// `sortBy`: the elements in the order of their bodies.
    Sort,
}

#[derive(Clone, Debug)]
pub(super) struct Bind {
    pub name: String,
    pub value: Expr,
    pub body: Expr,
    pub kind: BindKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindKind {
    Plain,
    /// `optMap`: the value is optional, and the body is a value.
    OptMap,
    /// `optFlatMap`: the value is optional, and the body is as well.
    OptFlatMap,
}

impl Expr {
    /// The dotted name that an expression spells, if it is one.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, optional: false } => Some(format!("{}.{field}", operand.qualified_name()?)),
            _ => None,
        }
    }

    /// Calls `visit` for each node directly below this one.
    pub fn children<'e>(&'e self, mut visit: impl FnMut(&'e Expr)) {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } | Kind::Has { operand, .. } => visit(operand),
            Kind::Call { target, args, .. } => target.as_deref().into_iter().chain(args).for_each(visit),
            Kind::All(terms) | Kind::Any(terms) => terms.iter().for_each(visit),
            Kind::Choice(parts) => parts.iter().for_each(visit),
            Kind::List(elements) => elements.iter().for_each(|element| visit(&element.value)),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                visit(&entry.key);
                visit(&entry.value);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
            Kind::Fold(fold) => {
                visit(&fold.range);
                fold.filter.iter().for_each(&mut visit);
                visit(&fold.body);
            }
            Kind::Bind(bind) => {
                visit(&bind.value);
                visit(&bind.body);
            }
        }
    }
}
