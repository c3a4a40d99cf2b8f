#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use k8s_openapi::api::{batch, coordination, core};
use proptest::prelude::*;
use serde_json::json;

use super::*;

static POD: LazyLock<Schema> = LazyLock::new(Schema::of::<core::v1::Pod>);
static CONFIG_MAP: LazyLock<Schema> = LazyLock::new(Schema::of::<core::v1::ConfigMap>);

fn lenient(schema: &Schema, body: &str) -> Result<Decoded, Error> {
    decode(body.as_bytes(), Encoding::Json, schema, FieldValidation::Warn)
}

fn findings(schema: &Schema, body: &str) -> Vec<String> {
    lenient(schema, body).unwrap().warnings.iter().map(Finding::to_string).collect()
}

fn refusal(schema: &Schema, value: Value) -> String {
    lenient(schema, &value.to_string()).unwrap_err().to_string()
}

#[test]
fn unknown_and_duplicate_fields() {
    let body = r#"{"spec":{"colour":1,"containers":[{"name":"a","imagePolicy":"x"}],"hostNetwork":true,"hostNetwork":false},"zap":[]}"#;
    assert_eq!(
        findings(&POD, body),
        [
            "unknown field \"spec.colour\"",
            "unknown field \"spec.containers[0].imagePolicy\"",
            "duplicate field \"spec.hostNetwork\"",
            "unknown field \"zap\""
        ]
    );
    let decoded = lenient(&POD, body).unwrap();
    assert_eq!(decoded.value, json!({"spec": {"containers": [{"name": "a"}], "hostNetwork": false}}));
    let strict = decode(br#"{"DATA":1}"#, Encoding::Json, &CONFIG_MAP, FieldValidation::Strict).unwrap_err();
    assert_eq!(strict.to_string(), "strict decoding error: unknown field \"DATA\"");
    let ignored = decode(b"date: 1", Encoding::Yaml, &CONFIG_MAP, FieldValidation::Ignore).unwrap();
    assert_eq!(ignored, Decoded { value: json!({}), warnings: vec![] });
}

/// As whoever wrote the body would look for them; in YAML, which is turned into JSON first, by kind and by name.
#[test]
fn findings_are_in_the_order_of_the_body() {
    let body = r#"{"z":1,"metadata":{"labels":{"b":"1","a":"1","b":"2","a":"2"},"y":0},"spec":{"containers":[{"x":1},{"x":1,"w":{"z":1}}]},"a":1}"#;
    let of = |finding: &str| finding.split('"').nth(1).map(str::to_owned);
    let order: Vec<_> = findings(&POD, body).iter().filter_map(|finding| of(finding)).collect();
    let expected = [
        "z",
        "metadata.labels.b",
        "metadata.labels.a",
        "metadata.y",
        "spec.containers[0].x",
        "spec.containers[1].x",
        "spec.containers[1].w",
        "a",
    ];
    assert_eq!(order, expected);
    let yaml = decode(b"z: 1\na: 1\nspec: {}\nspec: {}", Encoding::Yaml, &POD, FieldValidation::Warn).unwrap();
    let order: Vec<_> = yaml.warnings.iter().map(Finding::to_string).collect();
    assert_eq!(order, ["line 4: key \"spec\" already set in map", "unknown field \"a\"", "unknown field \"z\""]);
}

#[test]
fn nulls_are_absent_or_zero() {
    let body = r#"{"metadata":{"labels":null,"annotations":{"a":null}},"data":null,"binaryData":{"b":null}}"#;
    let decoded = lenient(&CONFIG_MAP, body).unwrap();
    assert_eq!(decoded.value, json!({"metadata": {"annotations": {"a": ""}}, "binaryData": {"b": ""}}));
    let pod = lenient(&POD, r#"{"spec":{"containers":[null],"nodeSelector":{"a":null}}}"#).unwrap();
    assert_eq!(pod.value, json!({"spec": {"containers": [{}], "nodeSelector": {"a": ""}}}));
    assert_eq!(lenient(&POD, "null").unwrap().value, json!({}));
}

#[test]
fn wrong_types() {
    assert_eq!(refusal(&POD, json!({"spec": {"priority": "1"}})), "spec.priority: must be an integer of 32 bits, not the string \"1\"");
    assert_eq!(refusal(&POD, json!([])), "must be an object, not a list");
    for spec in [
        json!({"priority": 2.0}),
        json!({"priority": 99999999999u64}),
        json!({"priority": 1e30}),
        json!({"activeDeadlineSeconds": 1.5}),
        json!({"activeDeadlineSeconds": u64::MAX}),
        json!({"hostNetwork": "true"}),
        json!({"nodeName": 7}),
        json!({"nodeName": true}),
        json!({"nodeSelector": ["a"]}),
        json!({"nodeSelector": {"a": 1}}),
        json!({"containers": {"name": "a"}}),
        json!({"containers": ["a"]}),
        json!({"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}),
        json!({"containers": [{"livenessProbe": {"httpGet": {"port": 1.5}}}]}),
        json!({"containers": [{"livenessProbe": {"httpGet": {"port": true}}}]}),
    ] {
        let text = refusal(&POD, json!({"spec": spec}));
        assert!(text.contains("must be"), "{spec}: {text}");
    }
    assert!(refusal(&CONFIG_MAP, json!({"binaryData": {"a": "%%%"}})).starts_with("binaryData.a: must be"));
    assert!(lenient(&POD, r#"{"spec":{"priority":1e1}}"#).is_err(), "an exponent makes no integer");
}

#[test]
fn quantities_and_bytes_are_normalised() {
    let limits = |value: Value| {
        let body = json!({"spec": {"containers": [{"resources": {"limits": {"x": value}}}]}});
        lenient(&POD, &body.to_string()).unwrap().value["spec"]["containers"][0]["resources"]["limits"]["x"].clone()
    };
    assert_eq!(limits(json!(0.1)), "100m");
    assert_eq!(limits(json!(2)), "2");
    assert_eq!(limits(json!("1024Mi")), "1Gi");
    assert_eq!(limits(json!(" 5 ")), "5");
    assert_eq!(limits(json!(null)), "0");
    let decoded = lenient(&CONFIG_MAP, r#"{"binaryData":{"a":"aGVs\nbG8=\n"}}"#).unwrap();
    assert_eq!(decoded.value["binaryData"]["a"], "aGVsbG8=");
}

#[test]
fn times_are_kept_in_utc() {
    let job = Schema::of::<batch::v1::Job>();
    let start = |text: &str| {
        let body = json!({"status": {"startTime": text}});
        lenient(&job, &body.to_string()).map(|decoded| decoded.value["status"]["startTime"].clone())
    };
    assert_eq!(start("2026-01-02T03:04:05Z").unwrap(), "2026-01-02T03:04:05Z");
    assert_eq!(start("2026-01-02T03:04:05.9Z").unwrap(), "2026-01-02T03:04:05Z");
    assert_eq!(start("2026-01-02T03:04:05+02:00").unwrap(), "2026-01-02T01:04:05Z");
    // Later than any time that can be computed with is the last of those.
    assert_eq!(start("9999-12-31T23:59:59Z").unwrap(), "9999-12-30T22:00:00Z");
    assert_eq!(start("9999-12-30T22:00:00Z").unwrap(), "9999-12-30T22:00:00Z");
    for text in
        ["yesterday", "", "2026-01-02", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T03:04:05.Z"]
    {
        assert!(start(text).is_err(), "{text}");
    }
    let lease = Schema::of::<coordination::v1::Lease>();
    let renew = |text: &str| {
        let body = json!({"spec": {"renewTime": text}});
        lenient(&lease, &body.to_string()).map(|decoded| decoded.value["spec"]["renewTime"].clone())
    };
    assert_eq!(renew("2026-01-02T03:04:05.000001Z").unwrap(), "2026-01-02T03:04:05.000001Z");
    assert_eq!(renew("2026-01-02T03:04:05.500000-01:00").unwrap(), "2026-01-02T04:04:05.500000Z");
    assert_eq!(renew("9999-12-31T00:00:00.000000Z").unwrap(), "9999-12-30T22:00:00.999999Z");
    assert!(renew("2026-01-02T03:04:05Z").is_err());
}

#[test]
fn what_has_no_schema_is_kept() {
    let revision = Schema::of::<k8s_openapi::api::apps::v1::ControllerRevision>();
    let body = r#"{"data":{"spec":{"a":null,"b":[1.0]}},"revision":1}"#;
    assert_eq!(lenient(&revision, body).unwrap().value["data"], json!({"spec": {"a": null, "b": [1.0]}}));
}

proptest! {
    /// What was decoded decodes again to the same, with nothing to say about it.
    #[test]
    fn decoding_is_idempotent(spec in spec()) {
        let mut value = json!({"spec": spec});
        let mut first = Vec::new();
        if conform(&mut value, &POD, &mut first).is_ok() {
            let (mut again, mut second) = (value.clone(), Vec::new());
            prop_assert_eq!(conform(&mut again, &POD, &mut second), Ok(()));
            prop_assert_eq!(again, value);
            prop_assert_eq!(second, vec![]);
        }
    }
}

fn spec() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec!["containers", "name", "ports", "priority", "resources", "limits", "cpu", "nodeSelector", "bogus"]);
    let leaf = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), "[0-9]{1,4}(m|Ki|e2|\\.5)?".prop_map(Value::from)];
    leaf.prop_recursive(5, 24, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
