#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn violations(labels: &[(&str, &str)], spec: Value) -> usize {
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
    let labels = labels.iter().map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), (*value).to_owned())).collect();
    let spec = pod.spec.as_ref().unwrap();
    Policy::of(&labels, Mode::Enforce).violations(&Subject { meta: &pod.metadata, spec }).len()
}

fn container(security: Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": security}]})
}

#[test]
fn nothing_is_enforced_without_a_label_and_everything_with_an_unreadable_one() {
    let privileged = container(json!({"privileged": true}));
    assert_eq!(violations(&[], privileged.clone()), 0);
    assert_eq!(violations(&[("enforce", "baseline")], privileged.clone()), 1);
    assert!(violations(&[("enforce", "tight")], privileged) > 1);
}

#[test]
fn restricted_wants_a_tidy_pod() {
    let tidy = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(violations(&[("enforce", "restricted")], container(tidy)), 0);
    assert_eq!(violations(&[("enforce", "restricted")], container(json!({}))), 4);
    // Capabilities are of concern since 1.22, profiles since 1.19.
    assert_eq!(violations(&[("enforce", "restricted"), ("enforce-version", "v1.18")], container(json!({}))), 2);
}

#[test]
fn versions_differ_in_what_they_know() {
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}, "containers": [{"name": "c"}]});
    assert_eq!(violations(&[("enforce", "baseline")], sysctl.clone()), 0);
    assert_eq!(violations(&[("enforce", "baseline"), ("enforce-version", "v1.31")], sysctl), 1);
    let unmasked = json!({"hostUsers": false, "containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]});
    assert_eq!(violations(&[("enforce", "baseline")], unmasked.clone()), 0);
    assert_eq!(violations(&[("enforce", "baseline"), ("enforce-version", "v1.30")], unmasked), 1);
}

#[test]
fn labels_that_do_not_read_are_found() {
    let labels = |key: &str, value: &str| Labels::from([(format!("pod-security.kubernetes.io/{key}"), value.to_owned())]);
    for (key, value, wrong) in [
        ("enforce", "tight", 1),
        ("audit-version", "v1", 1),
        ("warn-version", "v1.036", 1),
        ("warn-version", "latest", 0),
        ("enforce-version", "v1.25", 0),
        ("other", "x", 0),
    ] {
        assert_eq!(policy::invalid(&labels(key, value)).len(), wrong, "{key}={value}");
    }
}
