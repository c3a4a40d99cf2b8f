//! Kubernetes' functions of lists, and CEL's extension for sets.

use std::cmp::Ordering;

use super::native;
use crate::cel::Stop;
use crate::cel::compare::{equal, order};
use crate::cel::evaluate::{Evaluated, Run};
use crate::cel::library::{Cost, Function, global, member};
use crate::cel::value::{List, Value as V};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    member("isSorted", "list(int)", "bool", Cost::Elements, is_sorted), member("isSorted", "list(uint)", "bool", Cost::Elements, is_sorted),
    member("isSorted", "list(double)", "bool", Cost::Elements, is_sorted), member("isSorted", "list(bool)", "bool", Cost::Elements, is_sorted),
    member("isSorted", "list(string)", "bool", Cost::Elements, is_sorted), member("isSorted", "list(bytes)", "bool", Cost::Elements, is_sorted),
    member("isSorted", "list(timestamp)", "bool", Cost::Elements, is_sorted), member("isSorted", "list(duration)", "bool", Cost::Elements, is_sorted),
    member("min", "list(int)", "int", Cost::Elements, min), member("min", "list(uint)", "uint", Cost::Elements, min),
    member("min", "list(double)", "double", Cost::Elements, min), member("min", "list(bool)", "bool", Cost::Elements, min),
    member("min", "list(string)", "string", Cost::Elements, min), member("min", "list(bytes)", "bytes", Cost::Elements, min),
    member("min", "list(timestamp)", "timestamp", Cost::Elements, min), member("min", "list(duration)", "duration", Cost::Elements, min),
    member("max", "list(int)", "int", Cost::Elements, max), member("max", "list(uint)", "uint", Cost::Elements, max),
    member("max", "list(double)", "double", Cost::Elements, max), member("max", "list(bool)", "bool", Cost::Elements, max),
    member("max", "list(string)", "string", Cost::Elements, max), member("max", "list(bytes)", "bytes", Cost::Elements, max),
    member("max", "list(timestamp)", "timestamp", Cost::Elements, max), member("max", "list(duration)", "duration", Cost::Elements, max),
    member("sum", "list(int)", "int", Cost::Elements, sum), member("sum", "list(uint)", "uint", Cost::Elements, sum),
    member("sum", "list(double)", "double", Cost::Elements, sum), member("sum", "list(duration)", "duration", Cost::Elements, sum),
    member("indexOf", "list(A), A", "int", Cost::Elements, index_of),
    member("lastIndexOf", "list(A), A", "int", Cost::Elements, last_index_of),
    global("sets.contains", "list(A), list(A)", "bool", Cost::Pairs, set_contains),
    global("sets.equivalent", "list(A), list(A)", "bool", Cost::Pairs, set_equivalent),
    global("sets.intersects", "list(A), list(A)", "bool", Cost::Pairs, set_intersects),
];

native! {
    is_sorted(run: V::List(list)) {
        run.work(list.len())?;
        let mut before: Option<V<'v>> = None;
        for element in list.iter() {
            if let Some(before) = &before
                && order(before, &element).ok_or_else(|| Stop::overload("isSorted"))? == Ordering::Greater
            {
                return Ok(V::Bool(false));
            }
            before = Some(element);
        }
        Ok(V::Bool(true))
    };
    min(run: V::List(list)) extreme(run, list, Ordering::Less, "min");
    max(run: V::List(list)) extreme(run, list, Ordering::Greater, "max");
    index_of(run: V::List(list), wanted) place(run, list, wanted, 0..list.len());
    last_index_of(run: V::List(list), wanted) place(run, list, wanted, (0..list.len()).rev());
    set_contains(run: V::List(all), V::List(part)) Ok(V::Bool(contains(run, all, part)?));
    set_equivalent(run: V::List(a), V::List(b)) Ok(V::Bool(contains(run, a, b)? && contains(run, b, a)?));
    set_intersects(run: V::List(a), V::List(b)) {
        for element in b.iter() {
            if holds(run, a, &element)? {
                return Ok(V::Bool(true));
            }
        }
        Ok(V::Bool(false))
    };
}

fn extreme<'v>(run: &mut Run<'v>, list: &List<'v>, wanted: Ordering, name: &'static str) -> Evaluated<'v> {
    run.work(list.len())?;
    let mut found: Option<V<'v>> = None;
    for element in list.iter() {
        let better = match &found {
            None => true,
            Some(found) => order(&element, found).ok_or_else(|| Stop::overload(name))? == wanted,
        };
        if better {
            found = Some(element);
        }
    }
    found.ok_or_else(|| Stop::failed(format!("{name} of an empty list")))
}

fn sum<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let [V::List(list)] = args else { return Err(Stop::overload("sum")) };
    run.work(list.len())?;
    let mut total: Option<V<'v>> = None;
    for element in list.iter() {
        total = Some(match (total, element) {
            (None, first @ (V::Int(_) | V::Uint(_) | V::Double(_) | V::Duration(_))) => first,
            (Some(V::Int(a)), V::Int(b)) => V::Int(a.checked_add(b).ok_or_else(Stop::overflow)?),
            (Some(V::Uint(a)), V::Uint(b)) => V::Uint(a.checked_add(b).ok_or_else(Stop::overflow)?),
            (Some(V::Double(a)), V::Double(b)) => V::Double(a + b),
            (Some(V::Duration(a)), V::Duration(b)) => V::Duration(a.checked_add(b).ok_or_else(Stop::overflow)?),
            _ => return Err(Stop::overload("sum")),
        });
    }
    // The checker knows the type of an empty list; here any zero equals every other, but for durations.
    Ok(total.unwrap_or(V::Int(0)))
}

fn place<'v>(run: &mut Run<'v>, list: &List<'v>, wanted: &V<'v>, places: impl Iterator<Item = usize>) -> Evaluated<'v> {
    for at in places {
        if let Some(element) = list.get(at)
            && equal(run, &element, wanted)?
        {
            return Ok(V::Int(at as i64));
        }
    }
    Ok(V::Int(-1))
}

fn holds<'v>(run: &mut Run<'v>, list: &List<'v>, wanted: &V<'v>) -> Result<bool, Stop> {
    for element in list.iter() {
        if equal(run, &element, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn contains<'v>(run: &mut Run<'v>, all: &List<'v>, part: &List<'v>) -> Result<bool, Stop> {
    for element in part.iter() {
        if !holds(run, all, &element)? {
            return Ok(false);
        }
    }
    Ok(true)
}
