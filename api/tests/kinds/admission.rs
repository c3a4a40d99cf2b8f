//! The group `admissionregistration.k8s.io`.

use serde_json::{Value, json};

use crate::Kit;

const GROUP: &str = "admissionregistration.k8s.io";

fn rules() -> Value {
    json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}])
}

#[test]
fn webhooks() {
    let kit = Kit::of(GROUP, "v1", "validatingwebhookconfigurations");
    let hook = json!({
        "name": "a.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://a.example.org/x"}, "rules": rules(),
    });
    let base = json!({"metadata": {"name": "hooks"}, "webhooks": [hook]});
    let old = kit.created(base.clone());
    let made = kit.0.encode(&*old);
    assert_eq!(
        made["webhooks"][0],
        json!({
            "name": "a.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://a.example.org/x"}, "failurePolicy": "Fail", "matchPolicy": "Equivalent",
            "namespaceSelector": {}, "objectSelector": {}, "timeoutSeconds": 10,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"], "scope": "*"}],
        })
    );
    let changed = kit.updated(&*old, "", &[("webhooks.0.timeoutSeconds", json!(3))]);
    assert_eq!((&made["metadata"]["generation"], &changed["metadata"]["generation"]), (&json!(1), &json!(2)));
    kit.refuses(
        &base,
        &[
            (&[("webhooks.0.name", json!("example.org"))], "Invalid webhooks[0].name"),
            (&[("webhooks.0.sideEffects", json!(""))], "NotSupported webhooks[0].sideEffects"),
            (&[("webhooks.0.sideEffects", Value::Null)], "Required webhooks[0].sideEffects"),
            (&[("webhooks.0.timeoutSeconds", json!(31))], "Invalid webhooks[0].timeoutSeconds"),
            (&[("webhooks.0.clientConfig", json!({}))], "Required webhooks[0].clientConfig"),
            (&[("webhooks.0.clientConfig.url", json!("http://a"))], "Invalid webhooks[0].clientConfig.url"),
            (&[("webhooks.0.admissionReviewVersions", json!(["v9"]))], "Invalid webhooks[0].admissionReviewVersions"),
            (&[("webhooks.0.rules.0.operations", json!(["*", "CREATE"]))], "Invalid webhooks[0].rules[0].operations"),
            (&[("webhooks.0.rules.0.resources", json!(["pods/*", "pods/log"]))], "Invalid webhooks[0].rules[0].resources[1]"),
            (&[("webhooks", json!([hook, hook]))], "Duplicate webhooks[1].name"),
        ],
    );
    let kit = Kit::of(GROUP, "v1", "mutatingwebhookconfigurations");
    assert_eq!(kit.golden(base)["webhooks"][0]["reinvocationPolicy"], "Never");
}

#[test]
fn validating_policies() {
    let kit = Kit::of(GROUP, "v1", "validatingadmissionpolicies");
    let spec = json!({"matchConstraints": {"resourceRules": rules()}, "validations": [{"expression": "true"}]});
    let base = json!({"metadata": {"name": "p"}, "spec": spec});
    let made = kit.golden(base.clone());
    assert_eq!((&made["status"], &made["spec"]["failurePolicy"]), (&json!({}), &json!("Fail")));
    assert_eq!(made["spec"]["matchConstraints"]["matchPolicy"], "Equivalent");
    kit.refuses(
        &base,
        &[
            (&[("spec.validations", json!([]))], "Required spec.validations; Required spec.auditAnnotations"),
            (&[("spec.matchConstraints", Value::Null)], "Required spec.matchConstraints"),
            (&[("spec.validations.0.expression", json!(" "))], "Required spec.validations[0].expression"),
            (&[("spec.validations.0.reason", json!("Whim"))], "NotSupported spec.validations[0].reason"),
            (&[("spec.failurePolicy", json!("X"))], "NotSupported spec.failurePolicy"),
        ],
    );
    let kit = Kit::of(GROUP, "v1", "validatingadmissionpolicybindings");
    let base = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    let actions = |actions: Value| ("spec.validationActions", actions);
    let params = |reference: Value| ("spec.paramRef", reference);
    kit.refuses(
        &base,
        &[
            (&[actions(json!([]))], "Required spec.validationActions"),
            (&[actions(json!(["Deny", "Warn"]))], "Invalid spec.validationActions"),
            (&[actions(json!(["Warn", "Warn"]))], "Duplicate spec.validationActions[1]"),
            (&[actions(json!(["Shout"]))], "NotSupported spec.validationActions[0]"),
            (&[("spec.policyName", json!(""))], "Required spec.policyName"),
            (&[params(json!({"namespace": "x", "parameterNotFoundAction": "Deny"}))], "Required spec.paramRef"),
            (&[params(json!({"name": "x"}))], "Required spec.paramRef.parameterNotFoundAction"),
            (
                &[params(json!({"name": "x", "selector": {}, "parameterNotFoundAction": "Allow"}))],
                "Forbidden spec.paramRef.name; Forbidden spec.paramRef.selector",
            ),
        ],
    );
}

#[test]
fn mutating_policies() {
    let kit = Kit::of(GROUP, "v1", "mutatingadmissionpolicies");
    let mutation = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}});
    let spec = json!({"matchConstraints": {"resourceRules": rules()}, "mutations": [mutation], "reinvocationPolicy": "Never"});
    let base = json!({"metadata": {"name": "m"}, "spec": spec});
    kit.refuses(
        &base,
        &[
            (&[("spec.mutations", json!([]))], "Required spec.mutations"),
            (&[("spec.mutations", json!([{"patchType": "Magic"}]))], "NotSupported spec.mutations[0].patchType"),
            (
                &[("spec.mutations.0.patchType", json!("JSONPatch"))],
                "Required spec.mutations[0].jsonPatch; Invalid spec.mutations[0].applyConfiguration",
            ),
            (&[("spec.reinvocationPolicy", json!("Always"))], "NotSupported spec.reinvocationPolicy"),
            (&[("spec.failurePolicy", json!("X"))], "NotSupported spec.failurePolicy"),
        ],
    );
    let kit = Kit::of(GROUP, "v1", "mutatingadmissionpolicybindings");
    let base = json!({"metadata": {"name": "b"}, "spec": {"policyName": "m"}});
    assert_eq!(kit.row(&*kit.created(base)), json!(["b", "m", "<unset>", "<unknown>"]));
}
