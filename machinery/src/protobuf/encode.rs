//! JSON to protobuf, byte for byte as Go's types write it: what is no pointer there is written when it is empty, too. Messages
//! are written where they come to stand, and their lengths filled in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::messages::{self, Field, Kind, Label, Message};
use super::special;
use crate::tape::Value;
use crate::text::Text;

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

/// Writes a field that is a message, or another sequence of bytes, whose contents `put` writes.
pub(super) fn put_nested(out: &mut Vec<u8>, number: u32, put: impl FnOnce(&mut Vec<u8>)) {
    put_length(out, number, 0);
    let start = out.len();
    put(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    // Room was left for a length of one byte.
    let mut varint = Vec::with_capacity(5);
    put_varint(&mut varint, length as u64);
    out.splice(start - 1..start, varint);
}

/// Writes a message's fields from an object; None stands for an empty one. What the table does not know, and values of another
/// type than the field's, are left out: objects were validated before they are encoded.
pub(super) fn message(out: &mut Vec<u8>, object: Option<Value<'_>>, message: &Message) {
    let mut values = [None; messages::MOST_FIELDS];
    for (name, value) in object.into_iter().flat_map(Value::written_members) {
        if let Some(slot) = message.place(name).and_then(|at| values.get_mut(at)) {
            slot.get_or_insert(value);
        }
    }
    for (field, value) in message.fields.iter().zip(values) {
        if field.inline {
            let Kind::Message(inner) = field.kind else { continue };
            put_nested(out, field.number, |out| self::message(out, object, messages::get(inner)));
            continue;
        }
        match value.filter(|value| !value.text().is_null()) {
            None => put_zero(out, field),
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
        Kind::Double => put_double(out, field.number, 0.0),
        Kind::Message(index) if field.value => {
            let inner = messages::get(index);
            put_nested(out, field.number, |out| match inner.special {
                Some(special) => special::encode_zero(out, special),
                None => message(out, None, inner),
            });
        }
        Kind::Message(_) => {}
    }
}

fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_field(out: &mut Vec<u8>, field: &Field, value: Value<'_>) {
    match field.label {
        Label::Optional => put_value(out, field.number, field.kind, value),
        Label::Repeated => value.items().for_each(|item| put_value(out, field.number, field.kind, item)),
        Label::Map => {
            for (key, value) in value.members() {
                put_nested(out, field.number, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    put_value(out, 2, field.kind, value);
                });
            }
        }
    }
}

pub(super) fn put_value(out: &mut Vec<u8>, number: u32, kind: Kind, value: Value<'_>) {
    let text = value.text();
    match kind {
        Kind::String if text.is_string() => put_bytes(out, number, text.unquoted().as_bytes()),
        Kind::Bytes if text.is_string() => put_bytes(out, number, &STANDARD.decode(&*text.unquoted()).unwrap_or_default()),
        Kind::Boolean if text.is_boolean() => put_number(out, number, i64::from(text == Text::TRUE)),
        Kind::Integer if text.is_number() => put_number(out, number, text.as_str().parse().unwrap_or_default()),
        Kind::Double if text.is_number() => put_double(out, number, text.as_str().parse().unwrap_or_default()),
        Kind::Message(index) => {
            let inner = messages::get(index);
            match inner.special {
                Some(special) => put_nested(out, number, |out| special::encode(out, special, inner, value)),
                None if text.is_object() => put_nested(out, number, |out| message(out, Some(value), inner)),
                None => {}
            }
        }
        _ => {}
    }
}
