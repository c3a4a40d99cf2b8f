#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Value {
    parse(text.as_bytes()).unwrap().value
}

#[test]
fn plain_scalars_are_yaml_1_1() {
    for (text, value) in [
        ("yes", json!(true)),
        ("y", json!(true)),
        ("On", json!(true)),
        ("n", json!(false)),
        ("'yes'", json!("yes")),
        ("\"on\"", json!("on")),
        ("!!str on", json!("on")),
        ("~", json!(null)),
        ("", json!(null)),
        ("0755", json!(493)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("-5", json!(-5)),
        ("+5", json!(5)),
        ("--5", json!("--5")),
        ("09", json!(9)),
        ("2.0", json!(2)),
        ("1e3", json!(1000)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        (".", json!(".")),
        ("-", json!([null])),
        ("1.2.3", json!("1.2.3")),
        ("1e", json!("1e")),
        ("0x", json!("0x")),
        ("100m", json!("100m")),
        ("2001-01-01", json!("2001-01-01")),
        ("18446744073709551615", json!(u64::MAX)),
        ("1e999", json!("1e999")),
        ("!custom 5", json!("5")),
        ("!!float 5", json!(5)),
        ("!!binary aGk=", json!("hi")),
    ] {
        assert_eq!(read(text), value, "{text}");
    }
    assert!(matches!(parse(b".inf"), Err(Error::NotFinite)));
    assert!(matches!(parse(b"!!int x"), Err(Error::Tagged(_))));
}

#[test]
fn only_the_first_document() {
    assert_eq!(read("a: 1\n---\nb: 2\n"), json!({"a": 1}));
    assert_eq!(read("---\na: 1\n...\n: : broken"), json!({"a": 1}));
    assert_eq!(read("# nothing\n"), json!(null));
    assert_eq!(read("\u{feff}a: 1"), json!({"a": 1}));
}

#[test]
fn keys_become_text() {
    assert_eq!(read("{1: a, yes: b, 1.5: c}"), json!({"1": "a", "true": "b", "1.5": "c"}));
    assert!(matches!(parse(b"~: a"), Err(Error::Key("null"))));
    assert!(matches!(parse(b"[a]: b"), Err(Error::Key(_))));
}

#[test]
fn duplicate_keys() {
    let parsed = parse(b"data:\n  a: 1\n  a: 2\nlist:\n- {b: 1, b: 2}\nlist:\n  c: {1: x,\n    1: z}\n").unwrap();
    assert_eq!(parsed.value, json!({"data": {"a": 2}, "list": {"c": {"1": "z"}}}));
    let found = parsed.duplicates.iter().map(ToString::to_string);
    let lines = [(3, "\"a\""), (5, "\"b\""), (8, "1"), (7, "\"list\"")];
    assert!(found.eq(lines.map(|(line, key)| format!("line {line}: key {key} already set in map"))));
}

#[test]
fn anchors_aliases_and_merge_keys() {
    assert_eq!(read("a: &x {k: 1}\nb: *x\n"), json!({"a": {"k": 1}, "b": {"k": 1}}));
    let merged = read("base: &b {k: 1, l: 1}\nover: {<<: *b, k: 2}\nmany: {<<: [{k: 3}, *b]}\n");
    assert_eq!(merged["over"], json!({"k": 2, "l": 1}));
    assert_eq!(merged["many"], json!({"k": 3, "l": 1}));
    assert!(matches!(parse(b"a: &a [*a]"), Err(Error::Recursion)));
    assert!(parse(b"a: *nowhere").is_err());
    assert!(matches!(parse(b"{<<: 1}"), Err(Error::Merge)));
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let refs = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs += &format!("a{level}: &a{level} [{refs}]\n");
    }
    assert!(matches!(parse(laughs.as_bytes()), Err(Error::Expansion)));
    let mut tower = String::from("a0: &a0 []\n");
    for level in 1..=MOST_DEPTH {
        tower += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(matches!(parse(tower.as_bytes()), Err(Error::Depth)));
    assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    assert!(parse("- ".repeat(100_000).as_bytes()).is_err());
    let stairs: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(matches!(parse(stairs.as_bytes()), Err(Error::Depth)));
}

#[test]
fn what_is_not_yaml() {
    for text in ["apiVersion: [v1", "a: b: c", "kind: ConfigMap\n metadata: {name: doc}\n", "a: \"open"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(matches!(parse(b"\xff\xfe"), Err(Error::Encoding(_))));
}

proptest! {
    #[test]
    fn json_is_yaml(value in value()) {
        let text = value.to_string();
        prop_assert_eq!(read(&text), value);
    }

    #[test]
    fn any_text_is_answered(text in "[-:&*{}\\[\\],a-c0-2 \n'\"!|>~?#%]{0,60}") {
        _ = parse(text.as_bytes());
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ -~]{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
