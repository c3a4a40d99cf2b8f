//! CEL's extension for lists: new lists from old ones. `sortBy` is a macro, and the evaluator's; it sorts with [`sorted`].

use std::cmp::Ordering;

use super::native;
use crate::cel::Stop;
use crate::cel::compare::{equal, order};
use crate::cel::evaluate::{Evaluated, Run};
use crate::cel::library::{Cost, Function, NEW_LIST, global, member};
use crate::cel::value::{List, Value as V};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    member("distinct", "list(A)", "list(A)", Cost::Squares, distinct),
    // What lists that are not nested further are flattened to is known; the rest is dyn.
    member("flatten", "list(list(A))", "list(A)", NEW_LIST, flatten), member("flatten", "list(dyn), int", "list(dyn)", NEW_LIST, flatten),
    global("lists.range", "int", "list(int)", NEW_LIST, range),
    member("reverse", "list(A)", "list(A)", Cost::Copy, reverse),
    member("slice", "list(A), int, int", "list(A)", NEW_LIST, slice),
    member("sort", "list(int)", "list(int)", Cost::Squares, sort), member("sort", "list(uint)", "list(uint)", Cost::Squares, sort),
    member("sort", "list(double)", "list(double)", Cost::Squares, sort), member("sort", "list(bool)", "list(bool)", Cost::Squares, sort),
    member("sort", "list(string)", "list(string)", Cost::Squares, sort), member("sort", "list(bytes)", "list(bytes)", Cost::Squares, sort),
    member("sort", "list(timestamp)", "list(timestamp)", Cost::Squares, sort), member("sort", "list(duration)", "list(duration)", Cost::Squares, sort),
];

/// Elements of a range, at most: nothing else bounds what is made of one number.
const LONGEST_RANGE: i64 = 1 << 20;

native! {
    distinct(run: V::List(list)) {
        let mut found: Vec<V<'v>> = Vec::new();
        'elements: for element in list.iter() {
            for other in &found {
                if equal(run, other, &element)? {
                    continue 'elements;
                }
            }
            found.push(element);
        }
        Ok(V::list(found))
    };
    range(run: V::Int(end)) {
        if *end > LONGEST_RANGE {
            return Err(Stop::Cost);
        }
        run.spend(u64::try_from(*end).unwrap_or_default())?;
        Ok(V::list((0..*end).map(V::Int).collect()))
    };
    reverse(run: V::List(list)) {
        run.work(list.len())?;
        let mut elements: Vec<V<'v>> = list.iter().collect();
        elements.reverse();
        Ok(V::list(elements))
    };
    slice(run: V::List(list), V::Int(start), V::Int(end)) {
        let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
            return Err(Stop::failed(format!("slice({start}, {end}) of a list: no index is negative")));
        };
        if from > to || to > list.len() {
            return Err(Stop::failed(format!("slice({start}, {end}) of a list of {}", list.len())));
        }
        run.spend((to - from) as u64)?;
        Ok(V::list(list.iter().skip(from).take(to - from).collect()))
    };
    sort(run: V::List(list)) {
        run.work(list.len())?;
        sorted(list.iter().map(|element| (element.clone(), element)).collect())
    };
}

fn flatten<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    let (list, levels) = match args {
        [V::List(list)] => (list, 1),
        [V::List(list), V::Int(levels)] => (list, *levels),
        _ => return Err(Stop::overload("flatten")),
    };
    let levels = u64::try_from(levels).map_err(|_| Stop::failed("flatten: the number of levels is negative"))?;
    run.spend(levels.saturating_mul(list.len() as u64))?;
    let mut flat = Vec::new();
    append(run, list, levels, &mut flat)?;
    Ok(V::list(flat))
}

/// Values are not nested deeper than the expression or the JSON that they come from, so this may recurse.
fn append<'v>(run: &mut Run<'v>, list: &List<'v>, levels: u64, flat: &mut Vec<V<'v>>) -> Result<(), Stop> {
    run.work(list.len())?;
    for element in list.iter() {
        match element {
            V::List(inner) if levels > 0 => append(run, &inner, levels - 1, flat)?,
            element => flat.push(element),
        }
    }
    Ok(())
}

/// The values in the order of their keys, which must all be of one type that has an order.
pub(in crate::cel) fn sorted<'v>(mut keyed: Vec<(V<'v>, V<'v>)>) -> Evaluated<'v> {
    if let Some((first, _)) = keyed.first()
        && keyed.iter().any(|(key, _)| std::mem::discriminant(key) != std::mem::discriminant(first) || order(first, key).is_none())
    {
        return Err(Stop::failed("what is sorted by must be of one type that has an order"));
    }
    keyed.sort_by(|(a, _), (b, _)| order(a, b).unwrap_or(Ordering::Equal));
    Ok(V::list(keyed.into_iter().map(|(_, value)| value).collect()))
}
