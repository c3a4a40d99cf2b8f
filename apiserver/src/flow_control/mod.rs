//! The priority levels and flow schemas that a cluster starts with: which requests would be served before which. They are
//! there for clients to read and for operators to build upon; this server's own limits do not tell flows apart.

pub(crate) mod dangling;

use api::flowcontrol::mandatory;
use serde_json::{Value, json};

/// On objects whose spec the server keeps as it knows it.
pub(crate) const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

const EVERYBODY: [&str; 2] = ["system:unauthenticated", "system:authenticated"];

/// Name and spec of each level.
pub(crate) fn levels() -> Vec<(&'static str, Value)> {
    // Shares, what may be lent of them in percent, queues, and over how many of them a flow is spread.
    let queued = [
        ("system", 30, 33, 64, 6),
        ("node-high", 40, 25, 64, 6),
        ("leader-election", 10, 0, 16, 4),
        ("workload-high", 40, 50, 128, 6),
        ("workload-low", 100, 90, 128, 6),
        ("global-default", 20, 50, 128, 6),
    ];
    let mut levels: Vec<(&str, Value)> = queued
        .into_iter()
        .map(|(name, shares, lendable, queues, hand)| {
            let response = json!({"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}});
            (name, limited(shares, lendable, response))
        })
        .collect();
    levels.extend(mandatory::levels());
    levels
}

fn limited(shares: u32, lendable: u32, response: Value) -> Value {
    let limited = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
    json!({"type": "Limited", "limited": limited})
}

/// Name and spec of each schema; the lowest precedence is tried first.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    let node =
        json!([resources(&["*"], "", &["nodes", "nodes/status"], true), resources(&["*"], "coordination.k8s.io", &["leases"], false),]);
    let leases = json!([resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)]);
    let endpoints = json!([
        resources(&["get", "create", "update"], "", &["endpoints"], false),
        resources(&["get", "create", "update"], "discovery.k8s.io", &["endpointslices"], false),
    ]);
    let health = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]);
    let (manager, scheduler) = ("system:kube-controller-manager", "system:kube-scheduler");
    let mut leaders = users(&[manager, scheduler]);
    leaders.extend(accounts(&["*"]));
    let mut endpoint_writers = users(&[manager]);
    endpoint_writers.extend(accounts(&["endpoint-controller", "endpointslicemirroring-controller"]));
    let mut schemas = vec![
        ("probes", schema("exempt", 2, "", json!({"subjects": groups(&EVERYBODY), "nonResourceRules": health}))),
        ("system-leader-election", schema("leader-election", 100, "ByUser", json!({"subjects": leaders, "resourceRules": leases}))),
        ("endpoint-controller", schema("workload-high", 150, "ByUser", json!({"subjects": endpoint_writers, "resourceRules": endpoints}))),
        (
            "workload-leader-election",
            schema("leader-election", 200, "ByUser", json!({"subjects": accounts(&["*"]), "resourceRules": leases})),
        ),
        ("system-node-high", schema("node-high", 400, "ByUser", json!({"subjects": groups(&["system:nodes"]), "resourceRules": node}))),
        ("system-nodes", schema("system", 500, "ByUser", everything(groups(&["system:nodes"])))),
        ("kube-controller-manager", schema("workload-high", 800, "ByNamespace", everything(users(&[manager])))),
        ("kube-scheduler", schema("workload-high", 800, "ByNamespace", everything(users(&[scheduler])))),
        ("kube-system-service-accounts", schema("workload-high", 900, "ByNamespace", everything(accounts(&["*"])))),
        ("service-accounts", schema("workload-low", 9000, "ByUser", everything(groups(&["system:serviceaccounts"])))),
        ("global-default", schema("global-default", 9900, "ByUser", everything(groups(&EVERYBODY)))),
    ];
    schemas.extend(mandatory::schemas());
    schemas
}

fn schema(level: &str, precedence: u32, distinguisher: &str, rule: Value) -> Value {
    let mut spec = json!({"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]});
    if !distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": distinguisher});
    }
    spec
}

/// Whatever these ask for.
fn everything(subjects: Vec<Value>) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

fn resources(verbs: &[&str], group: &str, names: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": names, "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = json!(true);
    }
    rule
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

/// Service accounts of `kube-system`.
fn accounts(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}})).collect()
}
