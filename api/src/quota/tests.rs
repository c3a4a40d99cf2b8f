#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn texts(amounts: &Amounts) -> Value {
    amounts.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string()))).collect::<serde_json::Map<_, _>>().into()
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

#[test]
fn names_say_what_they_count() {
    assert_eq!(Counted::named("count/deployments.apps"), Some(Counted::Objects { group: "apps", plural: "deployments" }));
    assert_eq!(Counted::named("count/pods"), Some(Counted::Pods));
    assert_eq!(Counted::named("requests.example.com/gpu"), Some(Counted::Pods));
    assert_eq!(Counted::named("hugepages-2Mi"), Some(Counted::Pods));
    assert_eq!(Counted::named("gold.storageclass.storage.k8s.io/requests.storage"), Some(Counted::Claims));
    assert_eq!(Counted::named("services.nodeports"), Some(Counted::Services));
    assert_eq!(Counted::named("secrets"), Some(Counted::Objects { group: "", plural: "secrets" }));
    assert_eq!(Counted::named("example.com/gpu"), None);
}

#[test]
fn a_pod_counts_for_the_larger_of_running_and_initializing() {
    let resources = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu}, "limits": {"memory": memory}});
    let usage = PodUsage::of(&pod(json!({
        "overhead": {"cpu": "10m"},
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "resources": resources("100m", "1Mi")},
            {"name": "init", "resources": resources("800m", "100Mi")},
        ],
        "containers": [{"name": "c", "resources": resources("600m", "512Mi")}],
    })));
    let want = json!({
        "count/pods": "1", "pods": "1", "cpu": "910m", "requests.cpu": "910m", "limits.memory": "513Mi",
    });
    assert_eq!(texts(&usage.amounts(true)), want);
    assert_eq!(texts(&usage.amounts(false)), json!({"count/pods": "1"}));
}

#[test]
fn containers_must_say_what_a_quota_counts() {
    let pod = pod(json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}, {"name": "b"}]}));
    let missing = missing(&pod, &["pods", "limits.cpu", "requests.memory"]);
    let shown: Vec<_> = missing.iter().map(|(name, containers)| (name.as_str(), containers.len())).collect();
    assert_eq!(shown, [("limits.cpu", 1), ("requests.memory", 2)]);
}

#[test]
fn scopes_pick_pods() {
    let subject = Subject::Pod(PodUsage::of(&pod(json!({"containers": [{"name": "a"}], "priorityClassName": "high"}))).traits);
    let scoped = |spec: Value| selects(&serde_json::from_value(spec).unwrap(), &subject);
    assert!(scoped(json!({"scopes": ["BestEffort", "NotTerminating"]})));
    assert!(!scoped(json!({"scopes": ["BestEffort", "Terminating"]})));
    let classes = |operator: &str, values: Value| {
        scoped(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}}))
    };
    assert!(classes("In", json!(["high", "low"])) && !classes("NotIn", json!(["high"])) && classes("Exists", json!(null)));
    assert!(!selects(&serde_json::from_value(json!({"scopes": ["NotTerminating"]})).unwrap(), &Subject::Other));
}

#[test]
fn storage_counts_by_class_too() {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "3Gi"}}},
        "status": {"allocatedResources": {"storage": "5Gi"}},
    }))
    .unwrap();
    let usage = Usage::of(&claim, "", "persistentvolumeclaims", Timestamp::UNIX_EPOCH);
    assert_eq!(usage.amounts["gold.storageclass.storage.k8s.io/requests.storage"].to_string(), "5Gi");
    assert_eq!(usage.amounts["requests.storage"].to_string(), "5Gi");
}

#[test]
fn one_claim_of_a_pod_is_counted_with_the_pod() {
    let claim = |name: &str, second: i64| -> ResourceClaim {
        serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "creationTimestamp": Timestamp::from_second(second).unwrap(),
                "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}],
            },
            "spec": {},
        }))
        .unwrap()
    };
    let claims = [claim("b", 1), claim("a", 2), claim("c", 1)];
    let oldest = oldest_extended_claims(claims.iter());
    let counted = |named| {
        claims
            .iter()
            .filter(|one| is_counted_with_pod(one, named, &oldest))
            .map(|one| one.metadata.name.as_deref().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(counted(None), ["b"], "the oldest, the first by name among those");
    assert_eq!(counted(Some("a")), ["a"]);
    assert!(counted(Some("z")).is_empty());
}
