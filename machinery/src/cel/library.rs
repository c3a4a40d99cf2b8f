//! The functions and operators: each overload's signature, what it costs, and what does it.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::cost::LIST;
use super::evaluate::{Evaluated, Run};
use super::libraries;
use super::types::Type;
use super::value::Value;

pub(super) type Native = for<'v> fn(&mut Run<'v>, &[Value<'v>]) -> Evaluated<'v>;

/// One overload as a library writes it.
pub(super) struct Function {
    pub name: &'static str,
    /// Called as `first.name(rest)`.
    pub member: bool,
    /// Types, separated by a comma and a space.
    pub params: &'static str,
    pub result: &'static str,
    pub cost: Cost,
    pub native: Native,
}

pub(super) const fn global(name: &'static str, params: &'static str, result: &'static str, cost: Cost, native: Native) -> Function {
    Function { name, member: false, params, result, cost, native }
}

pub(super) const fn member(name: &'static str, params: &'static str, result: &'static str, cost: Cost, native: Native) -> Function {
    Function { name, member: true, params, result, cost, native }
}

/// What a call costs, from the sizes of its arguments. Characters count a tenth, as upstream has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cost {
    Fixed(u64),
    /// Reading the first argument.
    Read,
    /// Reading it, and writing as much.
    ReadWrite,
    /// Reading the last argument.
    ReadLast,
    /// Matching the last argument with the pattern of a format.
    Format,
    /// Going through the elements of the first argument, which may be texts.
    Elements,
    /// Looking the first argument up in the elements of the last.
    Find,
    /// Comparing both.
    Compare,
    /// Reading both.
    Both,
    /// Looking for one text in the other.
    Product,
    /// Matching the first argument with the pattern that is the last.
    Pattern,
    /// Comparing each element of the one with each of the other.
    Pairs,
    /// A new list of the first argument's elements.
    Copy,
    /// A new list, for which each element of the first argument was compared with each.
    Squares,
}

pub(super) const ONE: Cost = Cost::Fixed(1);

/// Making a list, beside what its elements cost; how many there will be depends on more than sizes.
pub(super) const NEW_LIST: Cost = Cost::Fixed(1 + LIST);

/// A tenth, rounded up: what reading a text of so many characters costs.
pub(super) fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

/// Characters of the longest pattern of a format, as upstream has it.
const FORMAT_PATTERN: u64 = 128;

/// What sorting so many elements costs.
pub(super) fn squares(size: u64) -> u64 {
    size.saturating_mul(size).saturating_mul(2).saturating_add(1 + LIST)
}

impl Cost {
    pub fn of(self, size: impl Fn(usize) -> u64, args: usize) -> u64 {
        let last = args.saturating_sub(1);
        match self {
            Self::Fixed(cost) => cost,
            Self::Read => tenth(size(0)),
            Self::ReadWrite => size(0).div_ceil(5),
            Self::ReadLast => tenth(size(last)),
            Self::Format => tenth(size(last)).saturating_mul(FORMAT_PATTERN.div_ceil(4)),
            Self::Elements => size(0),
            Self::Find => size(last),
            Self::Compare => tenth(size(0).min(size(last))),
            Self::Both => tenth(size(0).saturating_add(size(last))),
            Self::Product => tenth(size(0)).saturating_mul(tenth(size(last))),
            Self::Pattern => tenth(size(0).saturating_add(1)).saturating_mul(size(last).div_ceil(4)),
            Self::Pairs => size(0).saturating_mul(size(last)),
            Self::Copy => size(0).saturating_add(1 + LIST),
            Self::Squares => squares(size(0)),
        }
    }
}

/// An overload with its types read.
pub(super) struct Overload {
    pub function: &'static Function,
    pub params: Vec<Type>,
    pub result: Type,
}

impl Overload {
    pub fn accepts(&self, args: &[Value<'_>]) -> bool {
        self.params.len() == args.len() && self.params.iter().zip(args).all(|(wanted, arg)| arg.is_a(wanted))
    }
}

/// Overloads by the name of their function.
type Index = HashMap<&'static str, Vec<Overload>>;

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = Index::new();
        for function in libraries::ALL.iter().copied().flatten() {
            let params = function.params.split(", ").filter(|param| !param.is_empty()).map(Type::parse).collect();
            let overload = Overload { function, params, result: Type::parse(function.result) };
            index.entry(function.name).or_default().push(overload);
        }
        index
    })
}

/// The overloads of a function that are called in one way.
pub(super) fn overloads(name: &str, member: bool) -> impl Iterator<Item = &'static Overload> {
    index().get(name).into_iter().flatten().filter(move |overload| overload.function.member == member)
}

/// Names of types, as expressions can use them.
pub(super) const TYPE_NAMES: [&str; 20] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "optional_type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "kubernetes.Quantity",
    "kubernetes.URL",
    "kubernetes.Semver",
    "kubernetes.NamedFormat",
    "net.IP",
    "net.CIDR",
    "kubernetes.authorization.Authorizer",
];
