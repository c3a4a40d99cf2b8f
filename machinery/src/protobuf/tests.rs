//! The codec against JSON: round trips, Go's zeros, hostile bytes, and the table against the published schemas.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::Definitions;

/// The body of an object that says its kind.
fn body(object: &Value) -> Option<Vec<u8>> {
    encode_json(object.to_string().as_bytes())
}

/// A body around a message.
fn seal(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = envelope(api_version, kind);
    encode::put_bytes(&mut out, 2, raw);
    out.extend_from_slice(TAIL);
    out
}

/// The message of a kind of core.
fn message(kind: &str, object: Value) -> Vec<u8> {
    let (mut out, json) = (Vec::new(), object.to_string());
    let message = messages::find(&message_name("", "v1", kind)).unwrap();
    encode::message(&mut out, Some(Tape::read(&json).unwrap().root()), message);
    out
}

fn kind(group: &'static str, version: &'static str, kind: &'static str) -> GroupVersionKind {
    GroupVersionKind::new(group, version, kind)
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a", "namespace": "b", "labels": {"x": "y"}, "creationTimestamp": "2024-05-01T10:00:00Z",
            "deletionGracePeriodSeconds": 0,
            "managedFields": [{"manager": "m", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}}}}],
            "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "o", "uid": "u", "controller": false}],
        },
        "spec": {
            "containers": [{
                "name": "c", "image": "i", "command": ["a", ""],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 3},
                "readinessProbe": {"tcpSocket": {"port": -1}},
                "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": false}}}],
            }],
            "volumes": [
                {"name": "v", "configMap": {"name": "m", "defaultMode": 420}},
                {"name": "w", "emptyDir": {}},
            ],
            "terminationGracePeriodSeconds": 0,
        },
        "status": {"phase": "Running", "startTime": "2024-05-01T10:00:01Z"},
    })
}

#[test]
fn objects_survive_the_round_trip() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "AQI="}, "type": "Opaque"});
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"renewTime": "2024-05-01T10:00:00.123456Z", "leaseDurationSeconds": 40},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
                 "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
    });
    for (kind, object) in [
        (kind("", "v1", "Pod"), pod()),
        (kind("", "v1", "Secret"), secret),
        (kind("coordination.k8s.io", "v1", "Lease"), lease),
        (kind("apps", "v1", "Deployment"), deployment),
    ] {
        let body = body(&object).unwrap();
        let mut decoded = decode_object(&body, &kind).unwrap();
        // An empty list has no form of its own in protobuf, nor has a struct without any fields.
        if let Some(template) = decoded.pointer_mut("/spec/template").and_then(Value::as_object_mut) {
            template.entry("spec").or_insert(json!({"containers": []}));
        }
        assert_eq!(decoded, object);
    }
}

#[test]
fn zeros_without_a_pointer_are_unset() {
    // hostNetwork (11) is a plain bool in Go, restartPolicy (3) a plain string, and both are written when empty;
    // terminationGracePeriodSeconds (4) is a pointer.
    let spec = [0x58, 0x00, 0x1a, 0x00, 0x20, 0x00];
    let mut raw = Vec::new();
    encode::put_bytes(&mut raw, 2, &spec);
    let decoded = decode_object(&seal("v1", "Pod", &raw), &kind("", "v1", "Pod")).unwrap();
    assert_eq!(decoded["spec"], json!({"terminationGracePeriodSeconds": 0}));
}

#[test]
fn what_is_no_pointer_is_written_when_empty() {
    // Name, generateName, namespace, selfLink, uid, resourceVersion, generation and creationTimestamp; no data, and no
    // immutable, which is a pointer.
    let meta = [0x0a, 1, b'a', 0x12, 0, 0x1a, 0, 0x22, 0, 0x2a, 0, 0x32, 0, 0x38, 0, 0x42, 0];
    let raw = [&[0x0a, u8::try_from(meta.len()).unwrap()], meta.as_slice()].concat();
    assert_eq!(message("ConfigMap", json!({"metadata": {"name": "a"}})), raw);
    // A port is a struct of its own: the number 0, which is no text.
    assert_eq!(message("ServicePort", json!({"port": 80})), [0x0a, 0, 0x12, 0, 0x18, 80, 0x22, 6, 8, 0, 0x10, 0, 0x1a, 0, 0x28, 0]);
}

#[test]
fn what_does_not_fit_is_left_out() {
    let odd = json!({"metadata": 7, "immutable": "yes", "data": ["x"], "binaryData": {"a": 1, "b": "AQI="}, "other": {}});
    let entry = [&[0x1a, 7, 0x0a, 1, b'b', 0x12, 2, 1, 2][..]].concat();
    assert_eq!(message("ConfigMap", odd), [&[0x1a, 3, 0x0a, 1, b'a'], &entry[..]].concat());
    let sizes = [127, 128, 20_000, 3_000_000].map(|size| "x".repeat(size));
    for text in sizes {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": text, "\"\u{e9}": "\n"}});
        assert_eq!(decode_object(&body(&map).unwrap(), &kind("", "v1", "ConfigMap")).unwrap(), map);
    }
    assert!(body(&json!({"apiVersion": "v1", "kind": "Gizmo"})).is_none() && body(&json!([])).is_none() && encode_json(b"").is_none());
}

#[test]
fn refuses_what_is_no_body() {
    let pod_kind = kind("", "v1", "Pod");
    assert_eq!(decode_object(b"{}", &pod_kind), Err(Error::Magic));
    let huge = [MAGIC.as_slice(), &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    assert_eq!(decode_object(&huge, &pod_kind), Err(Error::Truncated));
    assert!(matches!(decode_object(&seal("v1", "Gizmo", b""), &pod_kind), Err(Error::Unknown(_))));
    // spec as a number.
    assert_eq!(decode_object(&seal("v1", "Pod", &[0x10, 0x01]), &pod_kind), Err(Error::WireType(2)));
}

#[test]
fn every_published_field_has_a_number() {
    let mut definitions = Definitions::new();
    definitions.add::<k8s_openapi::api::core::v1::Pod>();
    definitions.add::<k8s_openapi::api::core::v1::PersistentVolume>();
    definitions.add::<k8s_openapi::api::core::v1::Node>();
    definitions.add::<k8s_openapi::api::core::v1::Service>();
    definitions.add::<k8s_openapi::api::apps::v1::StatefulSet>();
    definitions.add::<k8s_openapi::api::batch::v1::CronJob>();
    definitions.add::<k8s_openapi::api::networking::v1::Ingress>();
    for (name, schema) in definitions.into_map() {
        let short = name.trim_start_matches("io.k8s.");
        let Some(message) = messages::find(short).filter(|m| m.special.is_none()) else { continue };
        let mut known = Vec::new();
        collect(message, &mut known);
        for field in schema["properties"].as_object().into_iter().flatten().map(|(n, _)| n.as_str()) {
            assert!(matches!(field, "apiVersion" | "kind") || known.contains(&field), "{short}.{field}");
        }
    }
}

fn collect(message: &messages::Message, known: &mut Vec<&'static str>) {
    for field in &message.fields {
        match field.kind {
            messages::Kind::Message(inner) if field.inline => collect(messages::get(inner), known),
            _ => known.push(field.json),
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_object(&seal("v1", "Pod", &bytes), &kind("", "v1", "Pod"));
        let _ = decode_object(&[MAGIC.as_slice(), &bytes].concat(), &kind("", "v1", "Pod"));
    }

    #[test]
    fn no_damage_to_a_body_makes_it_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut body = body(&pod()).unwrap();
        let (length, at) = (body.len(), at % body.len());
        body[at] = byte;
        body.truncate(length - cut % length);
        let _ = decode_object(&body, &kind("", "v1", "Pod"));
    }
}

#[test]
fn lists_and_events_are_framed_around_whole_bodies() {
    let pod_kind = kind("", "v1", "Pod");
    let bodies: Vec<Vec<u8>> = (0..3).map(|_| body(&pod()).unwrap()).collect();
    let messages: Vec<&[u8]> = bodies.iter().map(|body| &body[message_of(body).unwrap()]).collect();
    let meta = json!({"resourceVersion": "7"});
    let (mut list, tail) = list_frame(&pod_kind, &meta.to_string(), messages.iter().map(|message| message.len()));
    let expected = list.len() + tail.len() + messages.iter().map(|message| item_length(message.len())).sum::<usize>();
    for message in messages {
        list.extend_from_slice(&item_head(message.len()));
        list.extend_from_slice(message);
    }
    list.extend_from_slice(tail);
    assert_eq!(list.len(), expected);
    let decoded = decode_object(&list, &kind("", "v1", "PodList")).unwrap();
    assert_eq!((decoded["metadata"]["resourceVersion"].as_str(), decoded["items"].as_array().unwrap().len()), (Some("7"), 3));

    let mut event = event_head("ADDED", bodies[0].len());
    event.extend_from_slice(&bodies[0]);
    let length = u32::from_be_bytes(event[..4].try_into().unwrap()) as usize;
    assert_eq!(length, event.len() - 4);
    let mut rest = &event[4..];
    assert_eq!(decode::next(&mut rest).unwrap().map(|(number, _)| number), Some(1));
    let Some((2, decode::Wire::Bytes(mut object))) = decode::next(&mut rest).unwrap() else { panic!("no object") };
    let Some((1, decode::Wire::Bytes(raw))) = decode::next(&mut object).unwrap() else { panic!("no raw extension") };
    assert_eq!(raw, bodies[0]);
}
