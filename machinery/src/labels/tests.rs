#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn texts_match() {
    let shop = labels(&[("app", "shop"), ("tier", "web"), ("size", "5"), ("empty", "")]);
    for text in [
        "",
        " ",
        "app=shop",
        "app==shop",
        "app",
        "!other",
        "! other",
        "other!=x",
        "app!=x",
        "tier in (web,cart)",
        "tier in ( web )",
        "tier notin (cart,)",
        "other notin (a)",
        "size>4",
        "size < 6",
        "empty=",
        "empty in ()",
        "empty in (,a)",
        "app=shop,tier=web , size",
        "other notin (in,notin)",
        "in!=x",
    ] {
        assert!(Selector::parse(text).unwrap().matches(&shop), "{text}");
    }
    for text in [
        "app=x",
        "!app",
        "app!=shop",
        "tier in (cart)",
        "tier notin (web)",
        "other",
        "size>5",
        "app>1",
        "other>1",
        "other=",
        "app=shop,tier=x",
    ] {
        assert!(!Selector::parse(text).unwrap().matches(&shop), "{text}");
    }
}

#[test]
fn texts_that_do_not_parse() {
    for text in [
        "a=b,",
        "a=b=c",
        "a in b",
        "a in (b",
        "!",
        "=x",
        "a b",
        "-bad-=x",
        "a=b c",
        "a/b/c=d",
        ",",
        "a=-",
        "a in (b c)",
        "a in ((b))",
        "a>b",
        "a>",
        "!a=b",
        "a!",
        "a=b,,c",
        "a in",
        "(a)",
        "a=(b)",
        "in in in",
    ] {
        assert!(Selector::parse(text).is_err(), "{text}");
    }
    assert_eq!(Selector::parse(&"a,".repeat(MOST_BYTES)), Err(Error::TooLong));
    let status = Status::from(Selector::parse("a in b").unwrap_err());
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
}

#[test]
fn texts_read_back() {
    for (text, shown) in [
        ("b=1, a == 2", "a=2,b=1"),
        ("x in (b,a,b)", "x in (a,b)"),
        ("x notin ()", "x notin ()"),
        ("!x", "!x"),
        ("x>+1", "x>1"),
        ("in in (in,notin)", "in in (in,notin)"),
    ] {
        match Selector::parse(text) {
            Ok(selector) => assert_eq!(selector.to_string(), shown),
            // '+' is in no label value.
            Err(_) => assert!(text.contains('+'), "{text}"),
        }
    }
}

#[test]
fn exact_values_for_an_index() {
    let selector = Selector::parse("a=1,b in (2),c in (3,4),d!=5,a!=9").unwrap();
    assert_eq!(selector.exact("a"), Some("1"));
    assert_eq!(selector.exact("b"), Some("2"));
    assert_eq!(selector.exact("c"), None);
    assert_eq!(selector.exact("d"), None);
}

fn object(value: serde_json::Value) -> LabelSelector {
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_object_form() {
    assert!(Selector::of(None).unwrap().is_nothing());
    assert!(!Selector::nothing().matches(&labels(&[])));
    assert!(Selector::of(Some(&LabelSelector::default())).unwrap().is_everything());
    let selector = object(json!({
        "matchLabels": {"app": "shop"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web", "cart"]}, {"key": "old", "operator": "DoesNotExist"}],
    }));
    let selector = Selector::of(Some(&selector)).unwrap();
    assert_eq!(selector.to_string(), "app=shop,!old,tier in (cart,web)");
    assert!(selector.matches(&labels(&[("app", "shop"), ("tier", "web")])));
    assert!(!selector.matches_option(None));
    assert!(Selector::of(Some(&object(json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]})))).is_err());
}

#[test]
fn validation_of_the_object_form() {
    let selector = object(json!({
        "matchLabels": {"-": "v"},
        "matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["x"]},
            {"key": "b c", "operator": "Like", "values": ["not ok"]},
        ],
    }));
    let causes: Vec<String> =
        validate(&selector, &Path::new("spec").child("selector")).iter().map(|e| format!("{} {:?}", e.field, e.kind)).collect();
    assert_eq!(
        causes,
        [
            "spec.selector.matchLabels Invalid",
            "spec.selector.matchExpressions[0].values Required",
            "spec.selector.matchExpressions[1].values Forbidden",
            "spec.selector.matchExpressions[2].operator Invalid",
            "spec.selector.matchExpressions[2].key Invalid",
            "spec.selector.matchExpressions[2].values[0] Invalid",
        ]
    );
}

proptest! {
    #[test]
    fn what_parses_reads_back(text in "[ab!=<>(),in ]{0,24}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn an_exact_value_is_required(text in "[ab]=[xy](,[ab] in \\([xy]\\))?", label in "[xy]") {
        let selector = Selector::parse(&text).unwrap();
        if let Some(value) = selector.exact("a") && value != label {
            prop_assert!(!selector.matches(&labels(&[("a", &label), ("b", "x")])));
        }
    }
}
