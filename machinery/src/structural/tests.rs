#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::field::ErrorKind::{self, Duplicate, Invalid, NotSupported, Required, TooLong, TooMany, TypeInvalid};

/// A schema of a whole object, with the given one for its spec.
fn of_spec(spec: Value) -> Structural {
    Structural::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "a.b/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec})
}

/// The paths below the spec, and the kinds, of what is wrong.
fn wrong(schema: &Value, spec: &Value) -> Vec<(String, ErrorKind)> {
    wrong_update(schema, spec, None)
}

fn wrong_update(schema: &Value, spec: &Value, old: Option<&Value>) -> Vec<(String, ErrorKind)> {
    let old = old.map(object);
    let errors = of_spec(schema.clone()).validate(&object(spec), old.as_ref());
    errors.into_iter().map(|error| (error.field.as_str().trim_start_matches("spec").to_owned(), error.kind)).collect()
}

fn pruned(schema: Value, mut value: Value) -> (Value, Vec<String>) {
    let mut findings = Vec::new();
    of_spec(schema).conform(&mut value, &mut findings).unwrap();
    (value, findings.iter().map(ToString::to_string).collect())
}

#[test]
fn unknown_fields_go() {
    let schema = json!({"type": "object", "properties": {
        "known": {"type": "string"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "inner": {"type": "object", "properties": {"a": {"type": "string"}}},
        }},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {}}}},
        "open": {"type": "object", "additionalProperties": true},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {}}}},
    }});
    let mut value = object(&json!({
        "known": 1, "odd": 2,
        "free": {"x": {"y": null}, "inner": {"a": 1, "b": 2}},
        "map": {"k": {"a": 1, "b": 2}},
        "open": {"k": 1, "l": {"gone": 1}},
        "list": [{"a": 1, "b": 2}, 3],
    }));
    value["other"] = json!(1);
    let (value, findings) = pruned(schema, value);
    assert_eq!(
        value,
        object(&json!({
            "known": 1,
            "free": {"x": {"y": null}, "inner": {"a": 1}},
            "map": {"k": {"a": 1}},
            "open": {"k": 1, "l": {}},
            "list": [{"a": 1}, 3],
        }))
    );
    let paths = ["other", "spec.free.inner.b", "spec.list[0].b", "spec.map.k.b", "spec.odd", "spec.open.l.gone"];
    assert_eq!(findings, paths.map(|path| format!("unknown field {path:?}")));
}

#[test]
fn embedded_objects_have_types_and_metadata() {
    let schema = json!({"type": "object", "properties": {
        "tpl": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        "strict": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"data": {"type": "string"}}},
    }});
    let (value, findings) = pruned(
        schema.clone(),
        object(&json!({
            "tpl": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "in", "odd": 1, "labels": {"a": "b"}}, "spec": {"x": 1}},
            "strict": {"apiVersion": "v1", "kind": "Any", "metadata": {"name": "y"}, "data": "d", "gone": 1},
        })),
    );
    assert_eq!(
        value["spec"],
        json!({
            "tpl": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "in", "labels": {"a": "b"}}, "spec": {"x": 1}},
            "strict": {"apiVersion": "v1", "kind": "Any", "metadata": {"name": "y"}, "data": "d"},
        })
    );
    assert_eq!(findings, ["unknown field \"spec.tpl.metadata.odd\"", "unknown field \"spec.strict.gone\""]);
    let within = |tpl: Value| wrong(&schema, &json!({ "tpl": tpl }));
    assert_eq!(within(json!({})), [(".tpl.apiVersion".to_owned(), Required), (".tpl.kind".to_owned(), Required)]);
    assert_eq!(within(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "Bad Name"}})), []);
    assert_eq!(
        within(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"-bad": "x"}}})),
        [(".tpl.metadata.labels".to_owned(), Invalid)]
    );
    assert_eq!(within(json!({"apiVersion": "a/b/c", "kind": "Pod"})), [(".tpl.apiVersion".to_owned(), Invalid)]);
    assert_eq!(within(json!("text")), [(".tpl".to_owned(), TypeInvalid)]);
    let error = of_spec(schema).conform(&mut object(&json!({"tpl": {"metadata": {"labels": {"a": 5}}}})), &mut Vec::new());
    assert_eq!(error.unwrap_err().path, "spec.tpl.metadata.labels.a");
    let error = of_spec(json!({})).conform(&mut json!({"kind": 5}), &mut Vec::new());
    assert_eq!(error.unwrap_err().path, "kind");
}

#[test]
fn defaults_fill_what_is_missing() {
    let schema = of_spec(json!({"type": "object", "properties": {
        "heat": {"type": "integer", "default": 180},
        "opt": {"type": "object", "properties": {"light": {"type": "boolean", "default": true}}},
        "full": {"type": "object", "default": {"b": "x"}, "properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "string"}}},
        "trays": {"type": "array", "items": {"type": "object", "properties": {"level": {"default": 2}}}},
        "timers": {"type": "object", "additionalProperties": {"type": "object", "properties": {"minutes": {"default": 5}}}},
        "nul": {"type": "string", "nullable": true, "default": "d"},
        "plain": {"type": "string"},
    }}));
    let filled = |spec: Value| {
        let mut value = object(&spec);
        schema.drop_nulls(&mut value);
        assert!(schema.default(&mut value));
        value["spec"].clone()
    };
    assert_eq!(filled(json!({})), json!({"full": {"a": 1, "b": "x"}, "heat": 180, "nul": "d"}));
    assert_eq!(
        filled(json!({
            "heat": null, "nul": null, "plain": null, "odd": null, "opt": {}, "full": {"a": 7},
            "trays": [{}, {"level": 4}, null], "timers": {"egg": {}, "cake": {"minutes": 40}},
        })),
        json!({
            "heat": 180, "nul": null, "odd": null, "opt": {"light": true}, "full": {"a": 7},
            "trays": [{"level": 2}, {"level": 4}, null], "timers": {"egg": {"minutes": 5}, "cake": {"minutes": 40}},
        })
    );
    assert_eq!(filled(Value::Null), Value::Null, "a spec that is not there is not made");
}

#[test]
fn defaults_are_bounded() {
    let long = "x".repeat(1 << 20);
    let schema = of_spec(json!({"type": "array", "items": {"type": "object", "properties": {"a": {"default": long}}}}));
    let mut value = object(&vec![json!({}); 1000].into());
    assert!(!schema.default(&mut value));
    assert!(value.to_string().len() < 64 << 20);
}

#[test]
fn types() {
    let fits = |schema: Value, value: Value| wrong(&schema, &value).is_empty();
    for (kind, good, bad) in [
        ("integer", json!([5, -1, 5.0]), json!([5.5, "5", true, null, [], {}])),
        ("number", json!([5, 5.5]), json!(["5", true, null])),
        ("string", json!(["", "a"]), json!([5, true, null, []])),
        ("boolean", json!([true]), json!([1, "true", null])),
        ("array", json!([[]]), json!([{}, "a", null])),
        ("object", json!([{}]), json!([[], "a", null])),
    ] {
        for value in good.as_array().unwrap() {
            assert!(fits(json!({"type": kind}), value.clone()), "{kind} {value}");
        }
        for value in bad.as_array().unwrap() {
            let mut wanted = vec![(String::new(), TypeInvalid)];
            wanted.extend((kind == "integer" && value.is_number()).then(|| ("<nil>".to_owned(), Invalid)));
            assert_eq!(wrong(&json!({"type": kind}), value), wanted, "{kind} {value}");
            assert!(fits(json!({"type": kind, "nullable": true}), value.clone()) == value.is_null());
        }
    }
    let either = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+%$"});
    assert!(fits(either.clone(), json!(3)) && fits(either.clone(), json!("10%")));
    assert_eq!(wrong(&either, &json!("ten")), [(String::new(), Invalid)]);
    let either = json!({"x-kubernetes-int-or-string": true});
    for bad in [json!(1.5), json!(true), json!({"a": 1})] {
        assert_eq!(wrong(&either, &bad), [(String::new(), TypeInvalid)], "{bad}");
    }
}

#[test]
fn numbers() {
    // Of a factor, whole numbers see the whole part only: 0.5 is 0 to them, of which nothing is a multiple.
    let schema = json!({"type": "number", "minimum": 1, "maximum": 3, "exclusiveMaximum": true, "multipleOf": 0.5});
    for (value, number_of_errors) in
        [(json!(1.0), 0), (json!(1), 1), (json!(2.5), 0), (json!(3.0), 1), (json!(0.5), 1), (json!(2.2), 1), (json!(3.3), 2)]
    {
        assert_eq!(wrong(&schema, &value), vec![(String::new(), Invalid); number_of_errors], "{value}");
    }
    let narrow = json!({"type": "integer", "format": "int32"});
    assert!(wrong(&narrow, &json!(i32::MAX)).is_empty());
    assert_eq!(wrong(&narrow, &json!(i64::MAX)), [("<nil>".to_owned(), Invalid)]);
}

#[test]
fn texts() {
    let schema = json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-zé]+$"});
    assert_eq!(wrong(&schema, &json!("éé")), []);
    assert_eq!(wrong(&schema, &json!("ééé")), []);
    assert_eq!(wrong(&schema, &json!("éééé")), [(String::new(), TooLong)]);
    assert_eq!(wrong(&schema, &json!("é")), [(String::new(), Invalid)]);
    assert_eq!(wrong(&schema, &json!("A1")), [(String::new(), Invalid)]);
    let schema = json!({"type": "string", "enum": ["a", "b"]});
    assert_eq!(wrong(&schema, &json!("c")), [(String::new(), NotSupported)]);
    assert_eq!(wrong(&json!({"type": "integer", "enum": [1]}), &json!(1.0)), []);
}

#[test]
fn collections() {
    let schema = json!({"type": "object", "required": ["a", "b"], "maxProperties": 3, "minProperties": 1, "properties": {
        "a": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer", "minimum": 0}},
        "m": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 2}},
        "n": {"type": "object", "additionalProperties": false},
    }});
    assert_eq!(wrong(&schema, &json!({"a": []})), [(".a".to_owned(), Invalid), (".b".to_owned(), Required)]);
    assert_eq!(wrong(&schema, &json!({"a": [1, -1, 2], "b": 1})), [(".a[1]".to_owned(), Invalid), (".a".to_owned(), TooMany)]);
    assert_eq!(wrong(&schema, &json!({"a": [1], "b": 1, "m": {"x": "long"}})), [(".m.x".to_owned(), TooLong)]);
    assert_eq!(wrong(&schema, &json!({"a": [1], "b": 1, "n": {"x": 1}})), [(".n".to_owned(), Invalid)]);
    assert_eq!(wrong(&schema, &json!({"a": [1], "b": 1, "c": 1, "d": 1})), [(String::new(), TooMany)]);
    assert_eq!(wrong(&schema, &json!({})).len(), 3);
}

#[test]
fn sets_and_maps() {
    let schema = json!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"], "items": {"type": "object"}},
    }});
    assert_eq!(wrong(&schema, &json!({"set": ["a", "b", "a", "a"]})), [(".set[2]".to_owned(), Duplicate)]);
    assert_eq!(wrong(&schema, &json!({"map": [{"a": 1}, {"a": 1, "b": 2}, {"a": 1}]})), [(".map[2]".to_owned(), Duplicate)]);
    let old = json!({"set": ["a", "a"]});
    assert_eq!(wrong_update(&schema, &json!({"set": ["b", "b"]}), Some(&old)), [], "what was wrong may be wrong");
}

#[test]
fn alternatives() {
    let of = |junctor: &str| json!({"type": "integer", junctor: [{"minimum": 10}, {"multipleOf": 2}]});
    let both = [("<nil>".to_owned(), Invalid), (String::new(), Invalid)];
    assert_eq!(wrong(&of("anyOf"), &json!(4)), []);
    assert_eq!(wrong(&of("anyOf"), &json!(3)), both);
    assert_eq!(wrong(&of("oneOf"), &json!(11)), []);
    assert_eq!(wrong(&of("oneOf"), &json!(12)), both[..1]);
    assert_eq!(wrong(&of("oneOf"), &json!(3)), both);
    assert_eq!(wrong(&of("allOf"), &json!(12)), []);
    assert_eq!(wrong(&of("allOf"), &json!(4)), [both[1].clone(), both[0].clone()]);
    let not = json!({"type": "integer", "not": {"enum": [3]}});
    assert_eq!(wrong(&not, &json!(3)), both[..1]);
    assert_eq!(wrong(&not, &json!(4)), []);
}

#[test]
fn what_stays_may_be_wrong() {
    let schema = json!({"type": "object", "properties": {
        "len": {"type": "integer", "maximum": 10},
        "list": {"type": "array", "items": {"type": "integer", "maximum": 10}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 10}},
        }},
    }});
    let old = json!({"len": 50, "list": [50], "map": [{"k": "a", "v": 50}]});
    let update = |new: Value| wrong_update(&schema, &new, Some(&old));
    assert_eq!(update(json!({"len": 50, "list": [50], "note": 1})), []);
    assert_eq!(update(json!({"len": 60})), [(".len".to_owned(), Invalid)]);
    assert_eq!(update(json!({"list": [50, 1]})), [(".list[0]".to_owned(), Invalid)], "elements of other lists cannot be told apart");
    assert_eq!(update(json!({"map": [{"k": "b"}, {"k": "a", "v": 50, "w": 1}]})), []);
    assert_eq!(update(json!({"map": [{"k": "b", "v": 50}]})), [(".map[0].v".to_owned(), Invalid)]);
}

#[test]
fn formats_of_texts() {
    for (format, good, bad) in [
        ("bsonobjectid", &["507f1f77bcf86cd799439011"][..], &["507f", "zzzf1f77bcf86cd799439011"][..]),
        ("uri", &["http://a.b/c?d", "/a", "urn:x"], &["a b", "a", ""]),
        ("email", &["a@b.c", "A <a@b.c>"], &["a", "a@", "a b@c"]),
        ("hostname", &["a", "a-b.example.com", "1a.com"], &["-a", "a..b", "a_b", "example.c", "a.1"]),
        ("ipv4", &["1.2.3.4", "010.0.0.1"], &["1.2.3", "::1", "1.2.3.256"]),
        ("ipv6", &["::1", "2001:db8::"], &["1.2.3.4", ":::"]),
        ("cidr", &["10.0.0.1/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/"]),
        ("mac", &["01:23:45:67:89:ab", "01-23-45-67-89-AB", "0123.4567.89ab"], &["01:23", "01:23:45:67:89:zz"]),
        ("uuid", &["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B8109DAD11D180B400C04FD430C8"], &["6ba7b810", ""]),
        ("uuid4", &["f47ac10b-58cc-4372-a567-0e02b2c3d479"], &["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]),
        ("isbn", &["0321751043", "978-0321751041"], &["0321751044", "978"]),
        ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112", "1"]),
        ("ssn", &["111-22-3333"], &["111-22-333"]),
        ("hexcolor", &["#FFF", "0a0b0c"], &["#FF", "red"]),
        ("rgbcolor", &["rgb(0,255, 3)"], &["rgb(0,256,3)", "rgb(1,2)"]),
        ("byte", &["YQ==", "YWJj"], &["YQ", "Y Q="]),
        ("date", &["2024-02-29"], &["2023-02-29", "2024-2-1", "today"]),
        ("date-time", &["2014-12-15T19:30:20.000Z", "2014-12-15T19:30:20+01:00"], &["2014-12-15", "2014-13-15T19:30:20Z"]),
        ("duration", &["22 ns", "1h2m3.5s", "0", "3 weeks"], &["1", "a", ""]),
        ("password", &["", "x"], &[]),
        ("k8s-short-name", &["a-b"], &["A", "a.b"]),
        ("k8s-long-name", &["a-b.c"], &["A", "a..b"]),
        ("unheard-of", &["", "x"], &[]),
    ] {
        let schema = json!({"type": "string", "format": format});
        for text in good {
            assert_eq!(wrong(&schema, &json!(text)), [], "{format} {text:?}");
        }
        for text in bad {
            assert_eq!(wrong(&schema, &json!(text)), [(String::new(), TypeInvalid)], "{format} {text:?}");
        }
    }
}

#[test]
fn alternatives_in_alternatives_cost_no_more_than_their_number() {
    let mut schema = json!({"type": "integer", "maximum": 1});
    for _ in 0..40 {
        schema = json!({"oneOf": [schema], "anyOf": [{"maximum": 0}, {"maximum": 1}]});
    }
    assert!(!wrong(&schema, &json!(5)).is_empty());
}

/// Schemas and values over a few names, so that they meet.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "default": "d"})),
        Just(json!({"type": "integer", "nullable": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"type": "object", "default": {"a": {}}, "properties": {"a": {"type": "object", "default": {}}}})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abc]", inner.clone(), 0..3).prop_map(|fields| json!({"type": "object", "properties": fields})),
            inner.clone().prop_map(|below| json!({"type": "object", "additionalProperties": below})),
            inner.clone().prop_map(|below| json!({"type": "array", "items": below, "x-kubernetes-list-type": "set"})),
            (inner.clone(), inner).prop_map(|(one, other)| json!({"type": "object", "properties": {"a": one}, "anyOf": [other]})),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), Just(json!(1)), Just(json!("d")), Just(json!(true))];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abcd]", inner.clone(), 0..4).prop_map(|fields| json!(fields)),
            prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    })
}

proptest! {
    #[test]
    fn laws(schema in schemas(), value in values()) {
        let schema = of_spec(schema);
        let mut once = object(&value);
        schema.conform(&mut once, &mut Vec::new()).unwrap();
        let mut again = once.clone();
        let mut findings = Vec::new();
        schema.conform(&mut again, &mut findings).unwrap();
        prop_assert_eq!(&again, &once, "pruning twice is pruning once");
        prop_assert!(findings.is_empty());
        schema.drop_nulls(&mut once);
        prop_assert!(schema.default(&mut once));
        let mut again = once.clone();
        prop_assert!(schema.default(&mut again));
        prop_assert_eq!(&again, &once, "defaulting twice is defaulting once");
        prop_assert_eq!(schema.validate(&once, Some(&once)), vec![], "what stays is let through");
        schema.validate(&once, None);
    }
}
