//! Inputs whose cost could grow faster than their size: each is made at one size and at four times that, which may
//! take a bit more than four times as long. Every one stands for a way in which a body of megabytes could keep a
//! server busy for minutes.

use std::time::Duration;

use machinery::patch::json::Patch;
use serde_json::{Value, json};

use crate::processor_time;
use crate::targets::{decoders, fields, patches, selectors, structural};

/// Time that may go by besides.
const SLACK: Duration = Duration::from_millis(100);

/// The least time of a few runs: what else goes on in the machine only adds to it.
fn cost(run: fn(&[u8]), input: &[u8]) -> Duration {
    let times = (0..3).map(|_| {
        let start = processor_time();
        run(input);
        processor_time().saturating_sub(start)
    });
    times.min().unwrap_or_default()
}

#[track_caller]
fn grows_with_its_size(run: fn(&[u8]), size: usize, input: impl Fn(usize) -> Vec<u8>) {
    // Once before, for what is made on first use.
    run(&input(size / 10));
    let (small, large) = (cost(run, &input(size)), cost(run, &input(4 * size)));
    assert!(large <= 8 * small + SLACK, "{small:?} became {large:?}");
}

fn lines(parts: &[&Value]) -> Vec<u8> {
    parts.iter().map(|part| part.to_string()).collect::<Vec<_>>().join("\n").into_bytes()
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

fn named(count: usize) -> Vec<Value> {
    (0..count).map(|at| json!({"name": format!("n{at}")})).collect()
}

#[test]
fn duplicate_keys_far_below() {
    let body = |size: usize| {
        let path = format!("{{\"{}\":", "k".repeat(size / 20)).repeat(20);
        format!("{path}{{{}\"b\":1}}{}", "\"a\":1,".repeat(size / 6), "}".repeat(20)).into_bytes()
    };
    grows_with_its_size(decoders::json, 5_000, body);
    grows_with_its_size(decoders::yaml, 2_000, body);
}

#[test]
fn yaml_of_one_kind_of_token() {
    for token in
        ["[", "{", "- ", "? ", "a: ", "&a ", "\"", "'", "|\n ", "#\n", "- a\n", "a: &a b\n", "!a ", "\n", " ", "*a ", "a,", "[a],", "%a\n"]
    {
        grows_with_its_size(decoders::yaml, 2_000, |size| token.repeat(size / token.len()).into_bytes());
    }
    for (open, part, close) in [("[", "a,", "]"), ("{", "a: b,", "}"), ("\"", "\\x41", "\""), ("|\n", "  a\n", ""), ("a\n", " b\n", "")] {
        grows_with_its_size(decoders::yaml, 4_000, |size| format!("{open}{}{close}", part.repeat(size / part.len())).into_bytes());
    }
}

#[test]
fn lists_that_are_moved_by_every_operation() {
    fn run(input: &[u8]) {
        let parts: Vec<Value> = input.split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
        let _ = Patch::parse(&parts[1]).unwrap().apply(parts[0].clone());
    }
    grows_with_its_size(run, 2_000, |size| {
        let operations: Vec<Value> = (0..size).map(|_| json!({"op": "add", "path": "/list/0", "value": 0})).collect();
        lines(&[&json!({"list": vec![0; 50 * size]}), &operations.into()])
    });
}

#[test]
fn directives_of_strategic_patches() {
    let containers = |count: usize| pod(json!({"containers": named(count)}));
    grows_with_its_size(patches::strategic, 1_000, |size| {
        let deleted: Vec<Value> = (0..size).map(|at| json!({"$patch": "delete", "name": format!("x{at}")})).collect();
        lines(&[&containers(size), &json!({"spec": {"containers": deleted}})])
    });
    grows_with_its_size(patches::strategic, 1_000, |size| {
        let (data, names) = strings(size);
        lines(&[&config_map(data.clone()), &json!({"data": with("$retainKeys", names, data)})])
    });
    grows_with_its_size(patches::strategic, 1_000, |size| {
        let orders = (0..size).map(|at| (format!("$setElementOrder/k{at}"), json!([])));
        lines(&[
            &config_map(json!({})),
            &json!({"data": orders.chain((0..size).map(|at| (format!("x{at}"), json!("v")))).collect::<serde_json::Map<_, _>>()}),
        ])
    });
    grows_with_its_size(patches::strategic, 1_000, |size| {
        let mut names = named(size);
        names.reverse();
        lines(&[&containers(size), &json!({"spec": {"$setElementOrder/containers": names, "containers": []}})])
    });
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn strings(count: usize) -> (Value, Value) {
    let names: Vec<String> = (0..count).map(|at| format!("k{at}")).collect();
    (names.iter().map(|name| (name.clone(), json!("v"))).collect::<serde_json::Map<_, _>>().into(), names.into())
}

fn with(name: &str, value: Value, mut fields: Value) -> Value {
    fields[name] = value;
    fields
}

#[test]
fn fields_of_large_objects() {
    for run in [fields::apply, fields::record] {
        grows_with_its_size(run, 100, |size| {
            let mut config = named(size);
            config.reverse();
            let owned: serde_json::Map<String, Value> =
                (0..size).rev().map(|at| (format!("k:{{\"name\":\"n{at}\"}}"), json!({".": {}}))).collect();
            let entry = |manager: usize| {
                let fields = json!({"f:spec": {"f:containers": owned.clone()}});
                json!({"manager": format!("m{manager}"), "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
            };
            lines(&[&pod(json!({"containers": named(size)})), &json!([entry(0), entry(1)]), &pod(json!({"containers": config}))])
        });
    }
}

#[test]
fn selectors_of_many_terms() {
    for term in ["a,", "a=b,", "!a,", "a in (b,c),", "(", ")", "!", " ", "a in (", "\\,", "a=\\,"] {
        grows_with_its_size(selectors::labels, 2_000, |size| term.repeat(size / term.len()).into_bytes());
        grows_with_its_size(selectors::fields, 2_000, |size| term.repeat(size / term.len()).into_bytes());
    }
}

#[test]
fn custom_objects() {
    let schema = json!({"type": "object", "properties": {
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": {
            "type": "object", "properties": {"a": {"type": "integer", "maximum": 5}, "b": {"type": "string", "default": "d"}},
            "anyOf": [{"required": ["c"]}, {"properties": {"a": {"minimum": 1}}}],
        }},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string", "pattern": "^(a|b|ab)*c$"}},
        "map": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1}},
    }});
    let of = |list: Value, set: Value, map: Value| json!({"metadata": {"name": "x"}, "list": list, "set": set, "map": map});
    grows_with_its_size(structural::run, 2_000, |size| {
        let list: Vec<Value> = (0..size / 10).map(|at| json!({"a": at % 100, "odd": at})).collect();
        let set: Vec<Value> = (0..size / 10).map(|at| "ab".repeat(1 + at % 7).into()).collect();
        let map = (0..size / 10).map(|at| (format!("k{at}"), json!("long"))).collect::<serde_json::Map<_, _>>();
        let object = of(list.clone().into(), set.into(), map.into());
        lines(&[&schema, &object, &of(list.into(), json!([]), json!({}))])
    });
    grows_with_its_size(structural::run, 20_000, |size| {
        let object = of(json!([]), json!(["ab".repeat(size)]), json!({"k".repeat(size): 1}));
        lines(&[&schema, &object, &object])
    });
}

#[test]
fn schemas_of_many_alternatives() {
    let of = |size: usize| {
        let alternatives: Vec<Value> =
            (0..size).map(|at| json!({"properties": {"a": {"minLength": at}}, "oneOf": [{"maxProperties": at}]})).collect();
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": alternatives.clone(), "oneOf": alternatives})
    };
    let object = json!({"metadata": {"name": "x"}, "a": "text"});
    grows_with_its_size(structural::run, 500, |size| lines(&[&of(size), &object, &object]));
}
