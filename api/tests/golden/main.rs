//! Every kind between its encodings: an object with every field set, made from the kind's schema, survives protobuf
//! and the kind's own type exactly; and any object, with whatever fields and zeros, is the same to the server whether
//! it came as JSON or as protobuf.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alter;
mod make;

use std::cell::Cell;

use api::object::Object;
use api::{Registry, Resource};
use machinery::decode::{Encoding, conform, parse_typed};
use machinery::protobuf::{decode_object, encode_json};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use make::Maker;

/// How many objects of each kind are made besides the full ones.
const OBJECTS: u64 = 12;

/// Where two values differ first, for a message that can be read.
fn difference(one: &Value, other: &Value, path: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let missing = a.keys().find(|name| !b.contains_key(*name)).map(|name| format!("{path}.{name} ({}) is missing", a[name]));
            let added = || b.keys().find(|name| !a.contains_key(*name)).map(|name| format!("{path}.{name} ({}) is new", b[name]));
            let within = || a.iter().find_map(|(name, value)| difference(value, b.get(name)?, &format!("{path}.{name}")));
            missing.or_else(added).or_else(within)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| difference(a, b, &format!("{path}[{at}]")))
        }
        (a, b) => (a != b).then(|| format!("{path}: {a} became {b}")),
    }
}

/// Runs `check` for every kind, and says of all at once what is wrong.
fn of_every_kind(check: impl Fn(&dyn Resource) -> Result<(), String>) {
    let wrong: Vec<String> = Registry::built_in()
        .all()
        .iter()
        .filter_map(|resource| {
            check(&**resource).err().map(|why| format!("{} {}: {why}", resource.kind().api_version(), resource.names().kind))
        })
        .collect();
    assert!(wrong.is_empty(), "{} kinds:\n{}", wrong.len(), wrong.join("\n"));
}

fn same(one: &Value, other: &Value, what: &str) -> Result<(), String> {
    difference(one, other, "").map_or(Ok(()), |why| Err(format!("{what}: {why}")))
}

fn through_protobuf(resource: &dyn Resource, object: &Value) -> Result<Value, String> {
    let bytes = encode_json(object.to_string().as_bytes()).ok_or("no message")?;
    decode_object(&bytes, &resource.kind()).map_err(|why| why.to_string())
}

/// Messages do not say what kinds of objects are within theirs; only JSON names them.
fn with_kinds_outside_only(mut object: Value) -> Value {
    for claim in object.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
        claim.as_object_mut().unwrap().retain(|name, _| name != "apiVersion" && name != "kind");
    }
    object
}

/// Version 1 of autoscalers says what it measured of the cpu twice, in a field and among the metrics of an annotation.
fn without_repetition(mut object: Value) -> Value {
    let metadata = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    metadata.map(|annotations| annotations.remove("autoscaling.alpha.kubernetes.io/current-metrics"));
    object
}

/// An object as a body becomes it.
fn decoded(resource: &dyn Resource, mut value: Value) -> Result<Box<dyn Object>, String> {
    conform(&mut value, resource.schema(), &mut Vec::new()).map_err(|why| why.to_string())?;
    resource.decode(value)
}

fn stored(object: &dyn Object) -> Vec<u8> {
    let mut bytes = Vec::new();
    object.write_json(&mut bytes);
    bytes
}

/// What clients are shown of an object that was stored.
fn presented(resource: &dyn Resource, object: &dyn Object) -> Value {
    serde_json::from_slice(&resource.present(&stored(object))).unwrap()
}

/// With either alternative where a field may be one of two types.
fn full(resource: &dyn Resource) -> [Value; 2] {
    [false, true].map(|other| Maker::full(resource, other).object())
}

#[test]
fn full_objects_survive_protobuf() {
    of_every_kind(|resource| {
        full(resource)
            .into_iter()
            .map(with_kinds_outside_only)
            .try_for_each(|object| same(&object, &through_protobuf(resource, &object)?, "protobuf"))
    });
}

#[test]
fn full_objects_survive_their_types() {
    of_every_kind(|resource| {
        full(resource).iter().try_for_each(|object| {
            let typed = decoded(resource, object.clone())?;
            same(object, &without_repetition(resource.encode(&*typed)), "the type")?;
            same(object, &without_repetition(presented(resource, &*typed)), "what is stored")?;
            let again = resource.decode_stored(&stored(&*typed))?;
            same(object, &without_repetition(resource.encode(&*again)), "what is read from the store")
        })
    });
}

#[test]
fn any_object_is_the_same_in_both_encodings() {
    of_every_kind(|resource| {
        (0..OBJECTS).try_for_each(|seed| {
            let object = Maker::random(resource, StdRng::seed_from_u64(seed)).object();
            let typed = decoded(resource, object.clone())?;
            let shown = presented(resource, &*typed);
            // What is empty and no pointer in Go, protobuf does not tell from nothing: both are compared as it has them.
            let plain = |value: &Value| through_protobuf(resource, value);
            // As a client of protobuf sends it, and as it is shown one.
            let sent = decoded(resource, plain(&object)?)?;
            same(&plain(&shown)?, &plain(&presented(resource, &*sent))?, "sent as protobuf")?;
            let shown_again = decoded(resource, plain(&shown)?)?;
            same(&plain(&shown)?, &plain(&presented(resource, &*shown_again))?, "shown as protobuf")
        })
    });
}

#[test]
fn metadata_decoded_alone_is_that_of_the_whole() {
    of_every_kind(|resource| {
        // Elsewhere, metadata may say what is in other fields of the stored version.
        if resource.kind() != resource.stored_kind() {
            return Ok(());
        }
        (0..OBJECTS).try_for_each(|seed| {
            let [object, other] = [seed, seed + OBJECTS].map(|seed| Maker::random(resource, StdRng::seed_from_u64(seed)).object());
            let mut whole = object.clone();
            whole["metadata"] = other["metadata"].clone();
            let (typed, mut whole) = (decoded(resource, object)?, decoded(resource, whole)?);

            let mut metadata = serde_json::json!({"metadata": other["metadata"]});
            conform(&mut metadata, resource.schema(), &mut Vec::new()).map_err(|why| why.to_string())?;
            let mut apart = typed.clone_boxed();
            *apart.meta_mut() = resource.decode_metadata(metadata)?;
            assert!(apart.differs_in_metadata_only(&*typed) && whole.differs_in_metadata_only(&*typed));
            same(&presented(resource, &*whole), &presented(resource, &*apart), "decoded apart")
        })
    });
}

/// An object as a body becomes it that is read with care; None where something is found in it.
fn decoded_carefully(resource: &dyn Resource, json: &str) -> Option<Box<dyn Object>> {
    let parsed = parse_typed(json.as_bytes(), Encoding::Json).ok()?;
    let (mut value, mut findings) = (parsed.value, parsed.duplicates);
    conform(&mut value, resource.schema(), &mut findings).ok().filter(|()| findings.is_empty())?;
    resource.decode(value).ok()
}

#[test]
fn what_is_said_plainly_is_read_as_with_care() {
    const ALTERED: usize = 20;
    let (read, kinds) = (Cell::new(0), Cell::new(0));
    of_every_kind(|resource| {
        let altered = full(resource).into_iter().flat_map(|object| {
            let mut random = StdRng::seed_from_u64(0);
            (0..ALTERED).map(move |_| alter::altered(&object, &mut random)).collect::<Vec<_>>()
        });
        let any = (0..OBJECTS).map(|seed| Maker::random(resource, StdRng::seed_from_u64(seed)).object().to_string());
        let is_plain = resource.decode_plain(full(resource)[0].to_string().as_bytes()).is_some();
        kinds.set(kinds.get() + usize::from(is_plain));
        for json in full(resource).map(|object| object.to_string()).into_iter().chain(altered).chain(any) {
            let Some(plain) = resource.decode_plain(json.as_bytes()) else { continue };
            let careful = decoded_carefully(resource, &json).ok_or_else(|| format!("something is odd in {json}"))?;
            same(&presented(resource, &*careful), &presented(resource, &*plain), &json)?;
            read.set(read.get() + 1);
        }
        Ok(())
    });
    // Those that are not have marks of their own, or are converted.
    assert!(kinds.get() >= 40 && read.get() > 500, "{} kinds are read plainly, {} objects", kinds.get(), read.get());
}
