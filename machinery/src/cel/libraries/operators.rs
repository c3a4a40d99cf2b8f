//! Operators: arithmetic that never wraps, comparison across the types of numbers, indexing and membership.

use std::cmp::Ordering;

use super::native;
use crate::cel::Stop;
use crate::cel::compare::{equal, order, same_list};
use crate::cel::evaluate::{Evaluated, Run};
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::time;
use crate::cel::types::Identity;
use crate::cel::value::{Key, List, Map, Value as V};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("_==_", "A, A", "bool", Cost::Compare, equals),
    global("_!=_", "A, A", "bool", Cost::Compare, differs),
    global("_+_", "int, int", "int", ONE, add),
    global("_+_", "uint, uint", "uint", ONE, add),
    global("_+_", "double, double", "double", ONE, add),
    global("_+_", "string, string", "string", Cost::Both, add),
    global("_+_", "bytes, bytes", "bytes", Cost::Both, add),
    global("_+_", "list(A), list(A)", "list(A)", ONE, add),
    global("_+_", "timestamp, duration", "timestamp", ONE, add),
    global("_+_", "duration, timestamp", "timestamp", ONE, add),
    global("_+_", "duration, duration", "duration", ONE, add),
    global("_-_", "int, int", "int", ONE, subtract),
    global("_-_", "uint, uint", "uint", ONE, subtract),
    global("_-_", "double, double", "double", ONE, subtract),
    global("_-_", "timestamp, timestamp", "duration", ONE, subtract),
    global("_-_", "timestamp, duration", "timestamp", ONE, subtract),
    global("_-_", "duration, duration", "duration", ONE, subtract),
    global("_*_", "int, int", "int", ONE, multiply),
    global("_*_", "uint, uint", "uint", ONE, multiply),
    global("_*_", "double, double", "double", ONE, multiply),
    global("_/_", "int, int", "int", ONE, divide),
    global("_/_", "uint, uint", "uint", ONE, divide),
    global("_/_", "double, double", "double", ONE, divide),
    global("_%_", "int, int", "int", ONE, modulo),
    global("_%_", "uint, uint", "uint", ONE, modulo),
    global("-_", "int", "int", ONE, negate),
    global("-_", "double", "double", ONE, negate),
    global("!_", "bool", "bool", ONE, not),
    global("_[_]", "list(A), int", "A", ONE, index),
    global("_[_]", "map(A,B), A", "B", ONE, index),
    global("_[_]", "optional(list(A)), int", "optional(A)", ONE, optional_index),
    global("_[_]", "optional(map(A,B)), A", "optional(B)", ONE, optional_index),
    global("_[?_]", "list(A), int", "optional(A)", ONE, optional_index),
    global("_[?_]", "map(A,B), A", "optional(B)", ONE, optional_index),
    global("_[?_]", "optional(list(A)), int", "optional(A)", ONE, optional_index),
    global("_[?_]", "optional(map(A,B)), A", "optional(B)", ONE, optional_index),
    global("@in", "A, list(A)", "bool", Cost::Find, within),
    global("@in", "A, map(A,B)", "bool", ONE, within),
    global("size", "string", "int", ONE, size), member("size", "string", "int", ONE, size),
    global("size", "bytes", "int", ONE, size), member("size", "bytes", "int", ONE, size),
    global("size", "list(A)", "int", ONE, size), member("size", "list(A)", "int", ONE, size),
    global("size", "map(A,B)", "int", ONE, size), member("size", "map(A,B)", "int", ONE, size),
    global("type", "A", "type", ONE, type_of),
    global("dyn", "A", "dyn", ONE, itself),
    global("_<_", "bool, bool", "bool", ONE, less), global("_<=_", "bool, bool", "bool", ONE, at_most),
    global("_>_", "bool, bool", "bool", ONE, more), global("_>=_", "bool, bool", "bool", ONE, at_least),
    global("_<_", "string, string", "bool", Cost::Compare, less), global("_<=_", "string, string", "bool", Cost::Compare, at_most),
    global("_>_", "string, string", "bool", Cost::Compare, more), global("_>=_", "string, string", "bool", Cost::Compare, at_least),
    global("_<_", "bytes, bytes", "bool", Cost::Compare, less), global("_<=_", "bytes, bytes", "bool", Cost::Compare, at_most),
    global("_>_", "bytes, bytes", "bool", Cost::Compare, more), global("_>=_", "bytes, bytes", "bool", Cost::Compare, at_least),
    global("_<_", "timestamp, timestamp", "bool", ONE, less), global("_<=_", "timestamp, timestamp", "bool", ONE, at_most),
    global("_>_", "timestamp, timestamp", "bool", ONE, more), global("_>=_", "timestamp, timestamp", "bool", ONE, at_least),
    global("_<_", "duration, duration", "bool", ONE, less), global("_<=_", "duration, duration", "bool", ONE, at_most),
    global("_>_", "duration, duration", "bool", ONE, more), global("_>=_", "duration, duration", "bool", ONE, at_least),
    global("_<_", "int, int", "bool", ONE, less), global("_<=_", "int, int", "bool", ONE, at_most),
    global("_>_", "int, int", "bool", ONE, more), global("_>=_", "int, int", "bool", ONE, at_least),
    global("_<_", "int, uint", "bool", ONE, less), global("_<=_", "int, uint", "bool", ONE, at_most),
    global("_>_", "int, uint", "bool", ONE, more), global("_>=_", "int, uint", "bool", ONE, at_least),
    global("_<_", "int, double", "bool", ONE, less), global("_<=_", "int, double", "bool", ONE, at_most),
    global("_>_", "int, double", "bool", ONE, more), global("_>=_", "int, double", "bool", ONE, at_least),
    global("_<_", "uint, int", "bool", ONE, less), global("_<=_", "uint, int", "bool", ONE, at_most),
    global("_>_", "uint, int", "bool", ONE, more), global("_>=_", "uint, int", "bool", ONE, at_least),
    global("_<_", "uint, uint", "bool", ONE, less), global("_<=_", "uint, uint", "bool", ONE, at_most),
    global("_>_", "uint, uint", "bool", ONE, more), global("_>=_", "uint, uint", "bool", ONE, at_least),
    global("_<_", "uint, double", "bool", ONE, less), global("_<=_", "uint, double", "bool", ONE, at_most),
    global("_>_", "uint, double", "bool", ONE, more), global("_>=_", "uint, double", "bool", ONE, at_least),
    global("_<_", "double, int", "bool", ONE, less), global("_<=_", "double, int", "bool", ONE, at_most),
    global("_>_", "double, int", "bool", ONE, more), global("_>=_", "double, int", "bool", ONE, at_least),
    global("_<_", "double, uint", "bool", ONE, less), global("_<=_", "double, uint", "bool", ONE, at_most),
    global("_>_", "double, uint", "bool", ONE, more), global("_>=_", "double, uint", "bool", ONE, at_least),
    global("_<_", "double, double", "bool", ONE, less), global("_<=_", "double, double", "bool", ONE, at_most),
    global("_>_", "double, double", "bool", ONE, more), global("_>=_", "double, double", "bool", ONE, at_least),
];

native! {
    equals(run: a, b) Ok(V::Bool(equal(run, a, b)?));
    differs(run: a, b) Ok(V::Bool(!equal(run, a, b)?));
    less(_run: a, b) compare(a, b, |order| order == Ordering::Less);
    at_most(_run: a, b) compare(a, b, |order| order != Ordering::Greater);
    more(_run: a, b) compare(a, b, |order| order == Ordering::Greater);
    at_least(_run: a, b) compare(a, b, |order| order != Ordering::Less);
    not(_run: V::Bool(value)) Ok(V::Bool(!value));
    size(_run: value) Ok(V::Int(value.size() as i64));
    type_of(_run: value) Ok(V::Type(crate::cel::value::Text::Borrowed(value.type_name())));
    itself(_run: value) Ok(value.clone());
}

fn compare<'v>(a: &V<'v>, b: &V<'v>, holds: fn(Ordering) -> bool) -> Evaluated<'v> {
    match (a, b) {
        // Nothing is less, equal or greater than what is not a number.
        (V::Double(number), _) | (_, V::Double(number)) if number.is_nan() => Ok(V::Bool(false)),
        _ => order(a, b).map(|order| V::Bool(holds(order))).ok_or_else(|| Stop::overload("comparison")),
    }
}

fn add<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let [a, b] = args else { return Err(Stop::overload("_+_")) };
    Ok(match (a, b) {
        (V::Int(a), V::Int(b)) => V::Int(a.checked_add(*b).ok_or_else(Stop::overflow)?),
        (V::Uint(a), V::Uint(b)) => V::Uint(a.checked_add(*b).ok_or_else(Stop::overflow)?),
        (V::Double(a), V::Double(b)) => V::Double(a + b),
        (V::String(a), V::String(b)) => {
            run.work(a.len() + b.len())?;
            V::text(format!("{}{}", &**a, &**b))
        }
        (V::Bytes(a), V::Bytes(b)) => {
            run.work(a.len() + b.len())?;
            V::Bytes([&a[..], &b[..]].concat().into())
        }
        (V::List(a), V::List(b)) => V::list(join(run, a, b)?),
        (V::Timestamp(time), V::Duration(nanos)) | (V::Duration(nanos), V::Timestamp(time)) => {
            V::Timestamp(time::add(*time, *nanos).ok_or_else(Stop::overflow)?)
        }
        (V::Duration(a), V::Duration(b)) => V::Duration(a.checked_add(*b).ok_or_else(Stop::overflow)?),
        _ => return Err(Stop::overload("_+_")),
    })
}

/// Lists one after the other; but of lists that are sets or maps, the union, in which elements of the second list take the
/// place of those of the first that are the same.
fn join<'v>(run: &mut Run<'v>, a: &List<'v>, b: &List<'v>) -> Result<Vec<V<'v>>, Stop> {
    run.work((a.len() + b.len()).saturating_mul(4))?;
    let identity = match a {
        List::Json(_, _, identity) => identity,
        List::Made(_) => &Identity::Index,
    };
    let mut joined: Vec<V<'v>> = a.iter().collect();
    if *identity == Identity::Index {
        joined.extend(b.iter());
        return Ok(joined);
    }
    for element in b.iter() {
        let mut place = None;
        for (at, before) in joined.iter().enumerate().take(a.len()) {
            if same_list::is_same(run, identity, before, &element)? {
                place = Some(at);
                break;
            }
        }
        match place {
            Some(at) => joined[at] = element,
            None => joined.push(element),
        }
    }
    Ok(joined)
}

fn subtract<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let [a, b] = args else { return Err(Stop::overload("_-_")) };
    let difference = match (a, b) {
        (V::Int(a), V::Int(b)) => a.checked_sub(*b).map(V::Int),
        (V::Uint(a), V::Uint(b)) => a.checked_sub(*b).map(V::Uint),
        (V::Double(a), V::Double(b)) => Some(V::Double(a - b)),
        (V::Timestamp(a), V::Timestamp(b)) => time::between(*a, *b).map(V::Duration),
        (V::Timestamp(time), V::Duration(nanos)) => nanos.checked_neg().and_then(|nanos| time::add(*time, nanos)).map(V::Timestamp),
        (V::Duration(a), V::Duration(b)) => a.checked_sub(*b).map(V::Duration),
        _ => return Err(Stop::overload("_-_")),
    };
    difference.ok_or_else(Stop::overflow)
}

fn multiply<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [V::Int(a), V::Int(b)] => a.checked_mul(*b).map(V::Int).ok_or_else(Stop::overflow),
        [V::Uint(a), V::Uint(b)] => a.checked_mul(*b).map(V::Uint).ok_or_else(Stop::overflow),
        [V::Double(a), V::Double(b)] => Ok(V::Double(a * b)),
        _ => Err(Stop::overload("_*_")),
    }
}

fn divide<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [V::Int(_), V::Int(0)] | [V::Uint(_), V::Uint(0)] => Err(Stop::failed("division by zero")),
        [V::Int(a), V::Int(b)] => a.checked_div(*b).map(V::Int).ok_or_else(Stop::overflow),
        [V::Uint(a), V::Uint(b)] => Ok(V::Uint(a / b)),
        [V::Double(a), V::Double(b)] => Ok(V::Double(a / b)),
        _ => Err(Stop::overload("_/_")),
    }
}

fn modulo<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [V::Int(_), V::Int(0)] | [V::Uint(_), V::Uint(0)] => Err(Stop::failed("modulus by zero")),
        [V::Int(a), V::Int(b)] => a.checked_rem(*b).map(V::Int).ok_or_else(Stop::overflow),
        [V::Uint(a), V::Uint(b)] => Ok(V::Uint(a % b)),
        _ => Err(Stop::overload("_%_")),
    }
}

fn negate<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [V::Int(value)] => value.checked_neg().map(V::Int).ok_or_else(Stop::overflow),
        [V::Double(value)] => Ok(V::Double(-value)),
        _ => Err(Stop::overload("-_")),
    }
}

/// A place in a list: a number of any type that is whole.
fn place(index: &V<'_>) -> Option<usize> {
    match Key::of(index) {
        Some(Key::Number { value, .. }) => usize::try_from(value).ok(),
        _ => None,
    }
}

fn find<'v>(container: &V<'v>, key: &V<'v>) -> Result<Option<V<'v>>, Stop> {
    match (container, key) {
        (V::List(list), V::Int(_) | V::Uint(_) | V::Double(_)) => Ok(place(key).and_then(|place| list.get(place))),
        (V::Map(map), _) => match Key::of(key) {
            Some(key) => map.get(&key).transpose(),
            None => Ok(None),
        },
        _ => Err(Stop::overload("_[_]")),
    }
}

fn index<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let [container, key] = args else { return Err(Stop::overload("_[_]")) };
    if let V::Optional(_) = container {
        return optional_index(run, args);
    }
    find(container, key)?.ok_or_else(|| match container {
        V::List(_) => Stop::failed("index out of bounds"),
        _ => Stop::failed("no such key"),
    })
}

fn optional_index<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [V::Optional(None), _] => Ok(V::Optional(None)),
        [V::Optional(Some(container)), key] => Ok(V::optional(find(container, key)?)),
        [container, key] => Ok(V::optional(find(container, key)?)),
        _ => Err(Stop::overload("_[?_]")),
    }
}

fn within<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    match args {
        [wanted, V::List(list)] => {
            for element in list.iter() {
                if equal(run, wanted, &element)? {
                    return Ok(V::Bool(true));
                }
            }
            Ok(V::Bool(false))
        }
        [key, V::Map(map)] => Ok(V::Bool(Key::of(key).is_some_and(|key| has(map, &key)))),
        _ => Err(Stop::overload("@in")),
    }
}

/// Whether a map really has a key, whatever it says of missing ones.
fn has<'v>(map: &Map<'v>, key: &Key<'v>) -> bool {
    match map {
        Map::Made(made) => made.entries.contains_key(key) || made.default.is_some(),
        _ => map.get(key).is_some(),
    }
}
