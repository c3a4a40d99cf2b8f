//! Optional values. Those functions that look at their last argument only if they need it are known to the evaluator.

use super::native;
use crate::cel::Stop;
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::value::{Map, Value as V};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("optional.of", "A", "optional(A)", ONE, of),
    global("optional.ofNonZeroValue", "A", "optional(A)", ONE, of_non_zero),
    global("optional.none", "", "optional(A)", ONE, none),
    global("optional.unwrap", "list(optional(A))", "list(A)", Cost::Elements, unwrap),
    member("unwrapOpt", "list(optional(A))", "list(A)", Cost::Elements, unwrap),
    member("hasValue", "optional(A)", "bool", ONE, has_value),
    member("value", "optional(A)", "A", ONE, value),
    member("or", "optional(A), optional(A)", "optional(A)", ONE, or),
    member("orValue", "optional(A), A", "A", ONE, or_value),
    member("first", "list(A)", "optional(A)", ONE, first),
    member("last", "list(A)", "optional(A)", ONE, last),
];

fn none<'v>(_: &mut crate::cel::evaluate::Run<'v>, _: &[V<'v>]) -> crate::cel::evaluate::Evaluated<'v> {
    Ok(V::Optional(None))
}

native! {
    of(_run: value) Ok(V::optional(Some(value.clone())));
    of_non_zero(_run: value) Ok(V::optional((!is_zero(value)).then(|| value.clone())));
    has_value(_run: V::Optional(value)) Ok(V::Bool(value.is_some()));
    value(_run: V::Optional(value)) match value {
        Some(value) => Ok(V::clone(value)),
        None => Err(Stop::failed("optional.none() has no value")),
    };
    or(_run: V::Optional(value), other) Ok(if value.is_some() { V::Optional(value.clone()) } else { other.clone() });
    or_value(_run: V::Optional(value), other) Ok(value.as_deref().unwrap_or(other).clone());
    first(_run: V::List(list)) Ok(V::optional(list.get(0)));
    last(_run: V::List(list)) Ok(V::optional(list.len().checked_sub(1).and_then(|at| list.get(at))));
    unwrap(run: V::List(list)) {
        run.work(list.len())?;
        let values = list.iter().filter_map(|element| match element {
            V::Optional(value) => value.as_deref().cloned(),
            other => Some(other),
        });
        Ok(V::list(values.collect()))
    };
}

fn is_zero(value: &V<'_>) -> bool {
    match value {
        V::Null => true,
        V::Bool(value) => !value,
        V::Int(number) => *number == 0,
        V::Uint(number) => *number == 0,
        V::Double(number) => *number == 0.0,
        V::String(text) => text.is_empty(),
        V::Bytes(bytes) => bytes.is_empty(),
        V::List(list) => list.len() == 0,
        V::Map(Map::Lazy(_)) => false,
        V::Map(map) => map.len() == 0,
        V::Duration(nanos) => *nanos == 0,
        V::Optional(value) => value.is_none(),
        _ => false,
    }
}
