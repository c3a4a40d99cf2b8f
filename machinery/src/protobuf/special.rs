//! Types whose JSON is not an object of their message's fields: times, quantities, raw JSON and their like.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::decode::{self, Wire};
use super::messages::{Kind, Label, Message, Special};
use super::{Error, encode};
use crate::tape;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

pub(super) fn encode(out: &mut Vec<u8>, special: Special, message: &Message, value: tape::Value<'_>) {
    let json = value.text();
    match special {
        Special::Raw => encode::put_bytes(out, 1, json.as_str().as_bytes()),
        Special::SchemaOr => encode_schema_or(out, message, value),
        Special::Items => {
            let Some(field) = message.fields.first() else { return };
            value.items().for_each(|item| encode::put_value(out, field.number, field.kind, item));
        }
        Special::IntOrString if json.is_number() => {
            encode::put_number(out, 1, 0);
            encode::put_number(out, 2, json.as_str().parse().unwrap_or_default());
            encode::put_bytes(out, 3, b"");
        }
        _ if json.is_string() => encode_text(out, special, &json.unquoted()),
        _ => {}
    }
}

fn encode_text(out: &mut Vec<u8>, special: Special, text: &str) {
    match special {
        Special::Time | Special::MicroTime => {
            let Ok(time) = text.parse::<Timestamp>() else { return };
            encode::put_number(out, 1, time.as_second());
            encode::put_number(out, 2, i64::from(time.subsec_nanosecond()));
        }
        Special::Quantity => encode::put_bytes(out, 1, text.as_bytes()),
        Special::IntOrString => {
            encode::put_number(out, 1, 1);
            encode::put_number(out, 2, 0);
            encode::put_bytes(out, 3, text.as_bytes());
        }
        Special::Duration => {
            let nanos = text.parse::<jiff::SignedDuration>().map_or(0, |d| d.as_nanos());
            encode::put_number(out, 1, i64::try_from(nanos).unwrap_or_default());
        }
        Special::Raw | Special::Items | Special::SchemaOr => {}
    }
}

/// What Go writes within a message of such a type that is not set.
pub(super) fn encode_zero(out: &mut Vec<u8>, special: Special) {
    match special {
        Special::Quantity => encode::put_bytes(out, 1, b"0"),
        Special::IntOrString => {
            encode::put_number(out, 1, 0);
            encode::put_number(out, 2, 0);
            encode::put_bytes(out, 3, b"");
        }
        Special::Duration => encode::put_number(out, 1, 0),
        Special::Time | Special::MicroTime | Special::Raw | Special::Items | Special::SchemaOr => {}
    }
}

fn encode_schema_or(out: &mut Vec<u8>, message: &Message, value: tape::Value<'_>) {
    let json = value.text();
    for field in &message.fields {
        match (field.label, field.kind) {
            (Label::Repeated, kind) => value.items().for_each(|item| encode::put_value(out, field.number, kind, item)),
            // A schema allows what it describes.
            (Label::Optional, Kind::Boolean) if json.is_object() => encode::put_number(out, field.number, 1),
            (Label::Optional, Kind::Boolean) => encode::put_value(out, field.number, field.kind, value),
            (Label::Optional, Kind::Message(_)) if json.is_object() => encode::put_value(out, field.number, field.kind, value),
            _ => {}
        }
    }
}

pub(super) fn decode(special: Special, message: &Message, mut bytes: &[u8], depth: usize) -> Result<Value, Error> {
    match special {
        Special::Time | Special::MicroTime => time(bytes, special),
        Special::Quantity => {
            let mut text = String::new();
            while let Some((number, wire)) = decode::next(&mut bytes)? {
                if let (1, Wire::Bytes(found)) = (number, wire) {
                    text = decode::text(found)?.to_owned();
                }
            }
            Ok(Value::String(text))
        }
        Special::IntOrString => int_or_string(bytes),
        Special::Duration => {
            let nanos = first_number(bytes)?;
            let (seconds, rest) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
            Ok(Value::String(if rest == 0 { format!("{seconds}s") } else { format!("{nanos}ns") }))
        }
        Special::Raw => raw(bytes),
        Special::Items => {
            let mut items = Vec::new();
            while let Some((_, wire)) = decode::next(&mut bytes)? {
                if let Wire::Bytes(text) = wire {
                    items.push(Value::String(decode::text(text)?.to_owned()));
                }
            }
            Ok(Value::Array(items))
        }
        Special::SchemaOr => schema_or(decode::message(bytes, message, depth - 1)?),
    }
}

/// A time that is not set is null.
fn time(mut bytes: &[u8], special: Special) -> Result<Value, Error> {
    let (mut seconds, mut nanos, mut seen) = (0i64, 0i32, false);
    while let Some((number, wire)) = decode::next(&mut bytes)? {
        match (number, wire) {
            (1, Wire::Varint(value)) => (seconds, seen) = (value as i64, true),
            (2, Wire::Varint(value)) => nanos = value as i32,
            _ => {}
        }
    }
    if !seen {
        return Ok(Value::Null);
    }
    let nanos = if special == Special::Time { 0 } else { nanos / 1_000 * 1_000 };
    let time = Timestamp::new(seconds, nanos).map_err(|_| Error::Time)?;
    Ok(Value::String(if special == Special::Time { format!("{time:.0}") } else { format!("{time:.6}") }))
}

fn int_or_string(mut bytes: &[u8]) -> Result<Value, Error> {
    let (mut kind, mut int, mut text) = (0, 0i64, String::new());
    while let Some((number, wire)) = decode::next(&mut bytes)? {
        match (number, wire) {
            (1, Wire::Varint(value)) => kind = value,
            (2, Wire::Varint(value)) => int = value as i64,
            (3, Wire::Bytes(found)) => text = decode::text(found)?.to_owned(),
            _ => {}
        }
    }
    Ok(if kind == 0 { Value::from(int) } else { Value::String(text) })
}

fn first_number(mut bytes: &[u8]) -> Result<i64, Error> {
    while let Some((number, wire)) = decode::next(&mut bytes)? {
        if let (1, Wire::Varint(value)) = (number, wire) {
            return Ok(value as i64);
        }
    }
    Ok(0)
}

fn raw(mut bytes: &[u8]) -> Result<Value, Error> {
    while let Some((number, wire)) = decode::next(&mut bytes)? {
        if let (1, Wire::Bytes(json)) = (number, wire) {
            return crate::json::parse(json).map(|parsed| parsed.value).map_err(|_| Error::Json);
        }
    }
    Ok(Value::Null)
}

fn schema_or(mut fields: Map<String, Value>) -> Result<Value, Error> {
    if let Some(schema) = fields.remove("schema") {
        return Ok(schema);
    }
    for list in ["jSONSchemas", "property"] {
        if let Some(items) = fields.remove(list) {
            return Ok(items);
        }
    }
    Ok(fields.remove("allows").unwrap_or(Value::Bool(false)))
}
