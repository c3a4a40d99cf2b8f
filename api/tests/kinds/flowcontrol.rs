//! The group `flowcontrol.apiserver.k8s.io`.

use serde_json::{Value, json};

use crate::{Kit, with};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

#[test]
fn priority_levels() {
    let kit = Kit::of(GROUP, "v1", "prioritylevelconfigurations");
    let base =
        json!({"metadata": {"name": "l"}, "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}});
    let old = kit.created(base.clone());
    assert_eq!(
        kit.0.encode(&*old)["spec"],
        json!({"type": "Limited", "limited": {
            "lendablePercent": 0, "nominalConcurrencyShares": 30,
            "limitResponse": {"type": "Queue", "queuing": {"handSize": 8, "queueLengthLimit": 50, "queues": 64}},
        }})
    );
    let changed = kit.updated(&*old, "", &[("spec.limited.nominalConcurrencyShares", json!(0))]);
    assert_eq!((&changed["metadata"]["generation"], &changed["spec"]["limited"]["nominalConcurrencyShares"]), (&json!(2), &json!(0)));
    let limited = |value: Value| ("spec.limited", value);
    kit.refuses(
        &base,
        &[
            (&[("spec", json!({"type": "Other"}))], "NotSupported spec.type"),
            (&[("spec", json!({"type": "Limited"}))], "Required spec.limited"),
            (
                &[limited(json!({"nominalConcurrencyShares": -1, "limitResponse": {"type": "Reject"}}))],
                "Invalid spec.limited.nominalConcurrencyShares",
            ),
            (
                &[limited(json!({"limitResponse": {"type": "Reject", "queuing": {"queues": 4}}}))],
                "Forbidden spec.limited.limitResponse.queuing",
            ),
            (
                &[limited(json!({"limitResponse": {"type": "Queue", "queuing": {"queues": 4, "handSize": 9, "queueLengthLimit": 5}}}))],
                "Invalid spec.limited.limitResponse.queuing.handSize",
            ),
            (&[("spec.type", json!("Exempt"))], "Invalid spec.type; Forbidden spec.limited"),
        ],
    );
    let huge = json!({"limitResponse": {"type": "Queue", "queuing": {"queues": 1000, "handSize": 9}}});
    kit.refuses(&base, &[(&[limited(huge)], "Invalid spec.limited.limitResponse.queuing.handSize")]);
}

#[test]
fn flow_schemas() {
    let kit = Kit::of(GROUP, "v1", "flowschemas");
    let rule = json!({
        "subjects": [{"kind": "Group", "group": {"name": "ops"}}],
        "resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "namespaces": ["*"]}],
    });
    let base = json!({"metadata": {"name": "ops"}, "spec": {"priorityLevelConfiguration": {"name": "l"}, "rules": [rule]}});
    assert_eq!(kit.golden(base.clone())["spec"]["matchingPrecedence"], 1000);
    kit.refuses(
        &base,
        &[
            (&[("spec.matchingPrecedence", json!(1))], "Invalid spec.matchingPrecedence"),
            (&[("spec.priorityLevelConfiguration.name", json!(""))], "Required spec.priorityLevelConfiguration.name"),
            (&[("spec.distinguisherMethod", json!({"type": "ByMood"}))], "NotSupported spec.distinguisherMethod.type"),
            (&[("spec.rules.0.subjects", json!([]))], "Required spec.rules[0].subjects"),
            (
                &[("spec.rules.0.subjects.0.kind", json!("User"))],
                "Required spec.rules[0].subjects[0].user; Forbidden spec.rules[0].subjects[0].group",
            ),
            (&[("spec.rules.0.resourceRules.0.verbs", json!(["*", "get"]))], "Invalid spec.rules[0].resourceRules[0].verbs"),
            (&[("spec.rules.0.resourceRules.0.namespaces", json!([]))], "Required spec.rules[0].resourceRules[0].namespaces"),
            (
                &[("spec.rules.0.nonResourceRules", json!([{"verbs": ["get"], "nonResourceURLs": ["healthz"]}]))],
                "Invalid spec.rules[0].nonResourceRules[0].nonResourceURLs[0]",
            ),
        ],
    );
    let relaxed =
        with(&base, &[("spec.rules.0.resourceRules.0.clusterScope", json!(true)), ("spec.rules.0.resourceRules.0.namespaces", json!([]))]);
    kit.created(relaxed);
}
