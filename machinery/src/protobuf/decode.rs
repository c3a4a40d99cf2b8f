//! Protobuf to JSON. The input is a client's: every length is checked against what is there, nesting is bounded,
//! and nothing is allocated before its bytes have been seen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::messages::{self, Field, Kind, Label, Message};
use super::{Error, special};

/// A field as the wire has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

fn varint(rest: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, tail) = rest.split_first().ok_or(Error::Truncated)?;
        *rest = tail;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::Truncated)
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Error> {
    let length = usize::try_from(length).map_err(|_| Error::Truncated)?;
    let (head, tail) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    *rest = tail;
    Ok(head)
}

/// The next field's number and content; None at the end.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Wire<'a>)>, Error> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).map_err(|_| Error::Truncated)?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(take(rest, 8)?.try_into().map(u64::from_le_bytes).map_err(|_| Error::Truncated)?),
        2 => {
            let length = varint(rest)?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => {
            take(rest, 4)?;
            Wire::Fixed32
        }
        _ => return Err(Error::WireType(number)),
    };
    Ok(Some((number, wire)))
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Text)
}

/// Reads a message's fields. Unknown ones are skipped, as protobuf has it.
pub(super) fn message(mut rest: &[u8], message: &Message, depth: usize) -> Result<Map<String, Value>, Error> {
    if depth == 0 {
        return Err(Error::Nesting);
    }
    let mut object = Map::new();
    while let Some((number, wire)) = next(&mut rest)? {
        let Ok(at) = message.fields.binary_search_by_key(&number, |f| f.number) else { continue };
        put(&mut object, &message.fields[at], wire, depth)?;
    }
    Ok(object)
}

fn put(object: &mut Map<String, Value>, field: &Field, wire: Wire<'_>, depth: usize) -> Result<(), Error> {
    if field.inline {
        if let (Kind::Message(inner), Wire::Bytes(bytes)) = (field.kind, wire) {
            object.extend(message(bytes, messages::get(inner), depth - 1)?);
        }
        return Ok(());
    }
    match field.label {
        Label::Optional => {
            let value = value(field, wire, depth)?;
            // What is empty and no pointer in Go was not set.
            let is_unset = is_empty(&value, field.kind) || (field.value && value.as_object().is_some_and(Map::is_empty));
            if field.pointer || !is_unset {
                object.insert(field.json.to_owned(), value);
            }
        }
        Label::Repeated => {
            let value = value(field, wire, depth)?;
            match object.entry(field.json).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(items) => items.push(value),
                other => *other = Value::Array(vec![value]),
            }
        }
        Label::Map => {
            let Wire::Bytes(mut entry) = wire else { return Err(Error::WireType(field.number)) };
            let (mut key, mut found) = (String::new(), None);
            while let Some((number, wire)) = next(&mut entry)? {
                match (number, wire) {
                    (1, Wire::Bytes(bytes)) => key = text(bytes)?.to_owned(),
                    (2, wire) => found = Some(value(field, wire, depth)?),
                    _ => {}
                }
            }
            let found = found.unwrap_or_else(|| Value::String(String::new()));
            if let Value::Object(entries) = object.entry(field.json).or_insert_with(|| Value::Object(Map::new())) {
                entries.insert(key, found);
            }
        }
    }
    Ok(())
}

fn is_empty(value: &Value, kind: Kind) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() && !matches!(kind, Kind::Message(_)),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0) && !matches!(kind, Kind::Message(_)),
        _ => false,
    }
}

fn value(field: &Field, wire: Wire<'_>, depth: usize) -> Result<Value, Error> {
    Ok(match (field.kind, wire) {
        (Kind::String, Wire::Bytes(bytes)) => Value::String(text(bytes)?.to_owned()),
        (Kind::Bytes, Wire::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
        (Kind::Boolean, Wire::Varint(value)) => Value::Bool(value != 0),
        (Kind::Integer, Wire::Varint(value)) => Value::from(value as i64),
        (Kind::Double, Wire::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
        (Kind::Message(index), Wire::Bytes(bytes)) => {
            let inner = messages::get(index);
            match inner.special {
                Some(special) => special::decode(special, inner, bytes, depth)?,
                None => Value::Object(message(bytes, inner, depth - 1)?),
            }
        }
        _ => return Err(Error::WireType(field.number)),
    })
}
