//! Amounts of resources.

use std::cmp::Ordering;

use super::native;
use crate::cel::Stop;
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::value::Value as V;
use crate::quantity::{Format, Quantity};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("quantity", "string", "quantity", Cost::Read, quantity),
    global("isQuantity", "string", "bool", Cost::Read, is_quantity),
    global("sign", "quantity", "int", ONE, sign),
    member("isInteger", "quantity", "bool", ONE, is_integer),
    member("asInteger", "quantity", "int", ONE, as_integer),
    member("asApproximateFloat", "quantity", "double", ONE, as_float),
    member("add", "quantity, quantity", "quantity", ONE, add),
    member("add", "quantity, int", "quantity", ONE, add),
    member("sub", "quantity, quantity", "quantity", ONE, subtract),
    member("sub", "quantity, int", "quantity", ONE, subtract),
    member("isGreaterThan", "quantity, quantity", "bool", ONE, is_greater),
    member("isLessThan", "quantity, quantity", "bool", ONE, is_less),
    member("compareTo", "quantity, quantity", "int", ONE, compare),
];

/// The amount as a number, if it is a whole one of 64 bits.
fn whole(amount: Quantity) -> Option<i64> {
    let number = amount.value();
    (amount.is_integer() && Quantity::new(number, Format::DecimalSi) == amount).then_some(number)
}

fn other(value: &V<'_>) -> Result<Quantity, Stop> {
    match value {
        V::Quantity(amount) => Ok(*amount),
        V::Int(number) => Ok(Quantity::new(*number, Format::DecimalExponent)),
        _ => Err(Stop::overload("quantity")),
    }
}

native! {
    quantity(_run: V::String(text)) match text.parse() {
        Ok(amount) => Ok(V::Quantity(amount)),
        Err(error) => Err(Stop::failed(format!("quantity {:?}: {error}", &**text))),
    };
    is_quantity(_run: V::String(text)) Ok(V::Bool(text.parse::<Quantity>().is_ok()));
    sign(_run: V::Quantity(amount)) Ok(V::Int(if amount.is_zero() { 0 } else if amount.is_negative() { -1 } else { 1 }));
    is_integer(_run: V::Quantity(amount)) Ok(V::Bool(whole(*amount).is_some()));
    as_integer(_run: V::Quantity(amount)) whole(*amount).map(V::Int).ok_or_else(|| Stop::failed("the quantity is no integer"));
    as_float(_run: V::Quantity(amount)) Ok(V::Double(amount.as_f64()));
    add(_run: V::Quantity(a), b) Ok(V::Quantity(*a + other(b)?));
    subtract(_run: V::Quantity(a), b) Ok(V::Quantity(*a - other(b)?));
    is_greater(_run: V::Quantity(a), V::Quantity(b)) Ok(V::Bool(a > b));
    is_less(_run: V::Quantity(a), V::Quantity(b)) Ok(V::Bool(a < b));
    compare(_run: V::Quantity(a), V::Quantity(b)) Ok(V::Int(match a.cmp(b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }));
}
