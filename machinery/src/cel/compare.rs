//! Equality and order of values: numbers compare by value whatever their type, lists that are sets or maps without regard
//! to order, and all else of different types is different.

use std::cmp::Ordering;

use super::Stop;
use super::evaluate::Run;
use super::types::Identity;
use super::value::{List, Map, Value};

pub(super) fn equal<'v>(run: &mut Run<'v>, a: &Value<'v>, b: &Value<'v>) -> Result<bool, Stop> {
    use Value as V;
    run.work(1)?;
    Ok(match (a, b) {
        (V::Null, V::Null) => true,
        (V::Bool(a), V::Bool(b)) => a == b,
        (V::String(a), V::String(b)) => {
            run.work(a.len().min(b.len()) / 8)?;
            **a == **b
        }
        (V::Bytes(a), V::Bytes(b)) => a == b,
        (V::Timestamp(a), V::Timestamp(b)) => a == b,
        (V::Duration(a), V::Duration(b)) => a == b,
        (V::Type(a), V::Type(b)) => **a == **b,
        (V::Optional(None), V::Optional(None)) => true,
        (V::Optional(Some(a)), V::Optional(Some(b))) => equal(run, a, b)?,
        (V::List(a), V::List(b)) => lists(run, a, b)?,
        (V::Map(a), V::Map(b)) => maps(run, a, b)?,
        (V::Quantity(a), V::Quantity(b)) => a == b,
        (V::Ip(a), V::Ip(b)) => a == b,
        (V::Cidr(a), V::Cidr(b)) => a == b,
        (V::Url(a), V::Url(b)) => a == b,
        (V::Semver(a), V::Semver(b)) => a == b,
        (V::Format(a), V::Format(b)) => std::ptr::eq(*a, *b),
        (V::Check(_, a), V::Check(_, b)) => a == b,
        (V::Decision(a), V::Decision(b)) => a == b,
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn lists<'v>(run: &mut Run<'v>, a: &List<'v>, b: &List<'v>) -> Result<bool, Stop> {
    if a.len() != b.len() {
        return Ok(false);
    }
    if let List::Json(_, _, identity @ (Identity::Value | Identity::Keys(_))) = a {
        return same_list::equal(run, identity, a, b);
    }
    for (a, b) in a.iter().zip(b.iter()) {
        if !equal(run, &a, &b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps<'v>(run: &mut Run<'v>, a: &Map<'v>, b: &Map<'v>) -> Result<bool, Stop> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for key in a.keys() {
        match (a.get(&key).transpose()?, b.get(&key).transpose()?) {
            (Some(a), Some(b)) if equal(run, &a, &b)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Which of two numbers is greater, without the loss that a conversion would have.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    use Value as V;
    Some(match (a, b) {
        (V::Int(a), V::Int(b)) => a.cmp(b),
        (V::Uint(a), V::Uint(b)) => a.cmp(b),
        (V::Int(a), V::Uint(b)) => i128::from(*a).cmp(&i128::from(*b)),
        (V::Uint(a), V::Int(b)) => i128::from(*a).cmp(&i128::from(*b)),
        (V::Double(a), V::Double(b)) => a.partial_cmp(b)?,
        (V::Int(a), V::Double(b)) => whole_with_double(i128::from(*a), *b)?,
        (V::Uint(a), V::Double(b)) => whole_with_double(i128::from(*a), *b)?,
        (V::Double(a), V::Int(b)) => whole_with_double(i128::from(*b), *a)?.reverse(),
        (V::Double(a), V::Uint(b)) => whole_with_double(i128::from(*b), *a)?.reverse(),
        _ => return None,
    })
}

fn whole_with_double(whole: i128, double: f64) -> Option<Ordering> {
    // Beyond these a double is greater or less than whatever 64 bits hold.
    const BOUND: f64 = 3e19;
    if double.is_nan() {
        return None;
    }
    let double = double.clamp(-BOUND, BOUND);
    Some(whole.cmp(&(double.floor() as i128)).then(if double.fract() == 0.0 { Ordering::Equal } else { Ordering::Less }))
}

/// The order of two values of types that have one.
pub(super) fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    use Value as V;
    Some(match (a, b) {
        (V::Bool(a), V::Bool(b)) => a.cmp(b),
        (V::String(a), V::String(b)) => (**a).cmp(&**b),
        (V::Bytes(a), V::Bytes(b)) => a.cmp(b),
        (V::Timestamp(a), V::Timestamp(b)) => a.cmp(b),
        (V::Duration(a), V::Duration(b)) => a.cmp(b),
        _ => return numbers(a, b),
    })
}

/// Lists in which order means nothing.
pub(super) mod same_list {
    use super::{Identity, List, Run, Stop, Value, equal as equal_values};

    pub(in crate::cel) fn equal<'v>(run: &mut Run<'v>, identity: &Identity, a: &List<'v>, b: &List<'v>) -> Result<bool, Stop> {
        // Mostly the order is the same, too: then each element is found at once.
        for (at, element) in a.iter().enumerate() {
            let mut found = match b.get(at) {
                Some(other) => equal_values(run, &element, &other)?,
                None => false,
            };
            if !found {
                for other in b.iter() {
                    if is_same(run, identity, &element, &other)? {
                        found = equal_values(run, &element, &other)?;
                        break;
                    }
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether two elements are the same one.
    pub(in crate::cel) fn is_same<'v>(run: &mut Run<'v>, identity: &Identity, a: &Value<'v>, b: &Value<'v>) -> Result<bool, Stop> {
        let (Identity::Keys(keys), Value::Map(a_fields), Value::Map(b_fields)) = (identity, a, b) else {
            return equal_values(run, a, b);
        };
        for key in keys {
            let same = match (a_fields.json_field(key), b_fields.json_field(key)) {
                (None, None) => true,
                (Some(a), Some(b)) => equal_values(run, &a, &b)?,
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
