//! Conversions between types. What does not fit is an error, never another value.

use super::native;
use crate::cel::Stop;
use crate::cel::library::{Cost, Function, ONE, global};
use crate::cel::text;
use crate::cel::time;
use crate::cel::value::Value as V;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("bool", "bool", "bool", ONE, bool),
    global("bool", "string", "bool", ONE, bool),
    global("bytes", "bytes", "bytes", ONE, bytes),
    global("bytes", "string", "bytes", Cost::Read, bytes),
    global("double", "double", "double", ONE, double),
    global("double", "int", "double", ONE, double),
    global("double", "uint", "double", ONE, double),
    global("double", "string", "double", ONE, double),
    global("int", "int", "int", ONE, int),
    global("int", "uint", "int", ONE, int),
    global("int", "double", "int", ONE, int),
    global("int", "string", "int", ONE, int),
    global("int", "timestamp", "int", ONE, int),
    global("int", "duration", "int", ONE, int),
    global("uint", "uint", "uint", ONE, uint),
    global("uint", "int", "uint", ONE, uint),
    global("uint", "double", "uint", ONE, uint),
    global("uint", "string", "uint", ONE, uint),
    global("string", "string", "string", ONE, string),
    global("string", "bool", "string", ONE, string),
    global("string", "bytes", "string", Cost::Read, string),
    global("string", "double", "string", ONE, string),
    global("string", "int", "string", ONE, string),
    global("string", "uint", "string", ONE, string),
    global("string", "timestamp", "string", ONE, string),
    global("string", "duration", "string", ONE, string),
    global("string", "ip", "string", ONE, string),
    global("string", "cidr", "string", ONE, string),
    global("timestamp", "timestamp", "timestamp", ONE, timestamp),
    global("timestamp", "string", "timestamp", ONE, timestamp),
    global("timestamp", "int", "timestamp", ONE, timestamp),
    global("duration", "duration", "duration", ONE, duration),
    global("duration", "string", "duration", ONE, duration),
    global("duration", "int", "duration", ONE, duration),
];

fn unfit(what: &str) -> Stop {
    Stop::failed(format!("{what} cannot be converted"))
}

native! {
    bool(_run: value) match value {
        V::Bool(value) => Ok(V::Bool(*value)),
        V::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(V::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(V::Bool(false)),
            _ => Err(unfit("the string")),
        },
        _ => Err(Stop::overload("bool")),
    };
    bytes(run: value) match value {
        V::Bytes(_) => Ok(value.clone()),
        V::String(text) => {
            run.work(text.len())?;
            Ok(V::Bytes(text.as_bytes().into()))
        }
        _ => Err(Stop::overload("bytes")),
    };
    double(_run: value) match value {
        V::Double(_) => Ok(value.clone()),
        V::Int(number) => Ok(V::Double(*number as f64)),
        V::Uint(number) => Ok(V::Double(*number as f64)),
        V::String(text) => text.parse().map(V::Double).map_err(|_| unfit("the string")),
        _ => Err(Stop::overload("double")),
    };
    int(_run: value) match value {
        V::Int(_) => Ok(value.clone()),
        V::Uint(number) => i64::try_from(*number).map(V::Int).map_err(|_| Stop::overflow()),
        V::Double(number) if *number > i64::MIN as f64 && *number < i64::MAX as f64 => Ok(V::Int(*number as i64)),
        V::Double(_) => Err(Stop::overflow()),
        V::String(text) => text.parse().map(V::Int).map_err(|_| unfit("the string")),
        V::Timestamp(time) => Ok(V::Int(time.as_second())),
        V::Duration(nanos) => Ok(V::Int(*nanos)),
        _ => Err(Stop::overload("int")),
    };
    uint(_run: value) match value {
        V::Uint(_) => Ok(value.clone()),
        V::Int(number) => u64::try_from(*number).map(V::Uint).map_err(|_| Stop::overflow()),
        V::Double(number) if *number >= 0.0 && *number < u64::MAX as f64 => Ok(V::Uint(*number as u64)),
        V::Double(_) => Err(Stop::overflow()),
        V::String(text) => text.parse().map(V::Uint).map_err(|_| unfit("the string")),
        _ => Err(Stop::overload("uint")),
    };
    string(run: value) match value {
        V::String(_) => Ok(value.clone()),
        V::Bytes(bytes) => {
            run.work(bytes.len())?;
            std::str::from_utf8(bytes).map(V::text).map_err(|_| Stop::failed("the bytes are no UTF-8"))
        }
        _ => text::plain(value).map(V::text).ok_or_else(|| Stop::overload("string")),
    };
    timestamp(_run: value) match value {
        V::Timestamp(_) => Ok(value.clone()),
        V::String(text) => time::parse_timestamp(text).map(V::Timestamp).ok_or_else(|| unfit("the string")),
        V::Int(seconds) => {
            let time = jiff::Timestamp::from_second(*seconds).ok().and_then(time::in_range);
            time.map(V::Timestamp).ok_or_else(Stop::overflow)
        }
        _ => Err(Stop::overload("timestamp")),
    };
    duration(_run: value) match value {
        V::Duration(_) => Ok(value.clone()),
        V::String(text) => time::parse_duration(text).map(V::Duration).ok_or_else(|| unfit("the string")),
        V::Int(nanos) => Ok(V::Duration(*nanos)),
        _ => Err(Stop::overload("duration")),
    };
}
