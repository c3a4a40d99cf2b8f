//! JSON to protobuf, byte for byte as Go's types write it: what is no pointer there is written when it is empty, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::messages::{self, Field, Kind, Label, Message};
use super::special;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_tag(out: &mut Vec<u8>, number: u32, wire: u32) {
    put_varint(out, u64::from(number << 3 | wire));
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: i64) {
    put_tag(out, number, VARINT);
    // Negative numbers take ten bytes: their two's complement, as protobuf has it.
    put_varint(out, value as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_length(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// What stands before so many bytes.
pub(super) fn put_length(out: &mut Vec<u8>, number: u32, length: usize) {
    put_tag(out, number, BYTES);
    put_varint(out, length as u64);
}

/// Writes a message's fields from an object. What the table does not know, and values of another type than the
/// field's, are left out: objects were validated before they are encoded.
pub(super) fn message(out: &mut Vec<u8>, object: &Map<String, Value>, message: &Message) {
    for field in &message.fields {
        if field.inline {
            let Kind::Message(inner) = field.kind else { continue };
            let mut encoded = Vec::new();
            self::message(&mut encoded, object, messages::get(inner));
            put_bytes(out, field.number, &encoded);
            continue;
        }
        match object.get(field.json) {
            None | Some(Value::Null) => put_zero(out, field),
            Some(value) => put_field(out, field, value),
        }
    }
}

/// What Go writes for a field that is not set: nothing of lists, maps, bytes and pointers, and the zero of all else.
fn put_zero(out: &mut Vec<u8>, field: &Field) {
    if field.label != Label::Optional || field.pointer {
        return;
    }
    match field.kind {
        Kind::Bytes => {}
        Kind::String => put_bytes(out, field.number, b""),
        Kind::Boolean | Kind::Integer => put_number(out, field.number, 0),
        Kind::Double => {
            put_tag(out, field.number, FIXED64);
            out.extend_from_slice(&0f64.to_le_bytes());
        }
        Kind::Message(index) if field.value => {
            let inner = messages::get(index);
            let mut encoded = Vec::new();
            match inner.special {
                Some(special) => special::encode_zero(&mut encoded, special),
                None => message(&mut encoded, &Map::new(), inner),
            }
            put_bytes(out, field.number, &encoded);
        }
        Kind::Message(_) => {}
    }
}

fn put_field(out: &mut Vec<u8>, field: &Field, value: &Value) {
    match (field.label, value) {
        (Label::Optional, value) => put_value(out, field.number, field.kind, value),
        (Label::Repeated, Value::Array(items)) => items.iter().for_each(|item| put_value(out, field.number, field.kind, item)),
        (Label::Map, Value::Object(entries)) => {
            for (key, value) in entries {
                let mut entry = Vec::with_capacity(key.len() + 32);
                put_bytes(&mut entry, 1, key.as_bytes());
                put_value(&mut entry, 2, field.kind, value);
                put_bytes(out, field.number, &entry);
            }
        }
        _ => {}
    }
}

pub(super) fn put_value(out: &mut Vec<u8>, number: u32, kind: Kind, value: &Value) {
    match (kind, value) {
        (Kind::String, Value::String(text)) => put_bytes(out, number, text.as_bytes()),
        (Kind::Bytes, Value::String(text)) => put_bytes(out, number, &STANDARD.decode(text).unwrap_or_default()),
        (Kind::Boolean, Value::Bool(value)) => put_number(out, number, i64::from(*value)),
        (Kind::Integer, Value::Number(value)) => put_number(out, number, value.as_i64().unwrap_or_default()),
        (Kind::Double, Value::Number(value)) => {
            put_tag(out, number, FIXED64);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Kind::Message(index), value) => {
            let inner = messages::get(index);
            let mut encoded = Vec::with_capacity(64);
            match (inner.special, value) {
                (Some(special), value) => special::encode(&mut encoded, special, inner, value),
                (None, Value::Object(object)) => message(&mut encoded, object, inner),
                _ => return,
            }
            put_bytes(out, number, &encoded);
        }
        _ => {}
    }
}
