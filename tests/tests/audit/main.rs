//! The audit log: what is recorded of requests through either door and from within the process, and that nothing is
//! lost or cut short by kills and full disks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use kybern_tests::cluster::{Cluster, Shape};
use kybern_tests::http::Http;
use kybern_tests::load::MAPS;
use kybern_tests::{suite, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

fn main() -> ExitCode {
    suite::own(&[
        ("every_process_is_recorded", every_process_is_recorded),
        ("kills_lose_no_event_of_an_acknowledged_write", kills_lose_no_event_of_an_acknowledged_write),
        ("requests_leave_events", requests_leave_events),
        ("components_of_the_process_leave_events", components_of_the_process_leave_events),
        ("large_events_are_recorded_without_their_objects", large_events_are_recorded_without_their_objects),
        ("a_full_disk_stops_only_those_who_want_it", a_full_disk_stops_only_those_who_want_it),
        ("policies_that_cannot_be_refuse_to_start", policies_that_cannot_be_refuse_to_start),
    ])
}

/// A policy and a log in a directory of their own.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new(rules: &Value) -> Self {
        let directory = TempDir::new().unwrap();
        let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules});
        std::fs::write(directory.path().join("policy.yaml"), policy.to_string()).unwrap();
        Self { directory }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("logs/audit.log")
    }

    fn cluster(&self, shape: Shape, nodes: usize, extra: &[&str]) -> Cluster {
        let policy = format!("--audit-policy-file={}", self.directory.path().join("policy.yaml").display());
        let log = format!("--audit-log-path={}", self.log().display());
        let all: Vec<&str> = [policy.as_str(), log.as_str()].into_iter().chain(extra.iter().copied()).collect();
        Cluster::start_with(shape, nodes, &all)
    }

    /// All events; every line is one.
    #[track_caller]
    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "a line is cut short");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The events of one request, by its id.
    fn of(&self, id: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["auditID"] == id).collect()
    }
}

fn told(is_there: bool, what: &str) -> Result<(), String> {
    if is_there { Ok(()) } else { Err(format!("{what} is missing")) }
}

fn stages(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["stage"].as_str()).collect()
}

/// One request with an id of its own, and its code.
fn send(http: &Http, id: &str, method: &str, path: &str, media: &str, headers: &[&str], body: &str) -> u16 {
    let id_header = format!("Audit-ID: {id}");
    let all: Vec<&str> = [id_header.as_str()].into_iter().chain(headers.iter().copied()).collect();
    let answer = http.send(method, path, media, &all, body.as_bytes()).unwrap();
    assert_eq!(answer.header("audit-id"), Some(id));
    answer.code
}

fn large_events_are_recorded_without_their_objects() {
    let files = Files::new(&json!([{"level": "RequestResponse", "omitStages": ["RequestReceived"], "verbs": ["create"]}]));
    let limits = ["--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=3000"];
    let cluster = files.cluster(Shape::Embedded, 0, &limits);
    let http = cluster.http();
    let of_size = |name: &str, bytes: usize| json!({"metadata": {"name": name}, "data": {"k": "x".repeat(bytes)}}).to_string();
    for (id, bytes) in [("small", 10), ("large", 3000)] {
        assert_eq!(send(&http, id, "POST", MAPS, "application/json", &[], &of_size(id, bytes)), 201);
    }
    let (small, large) = (files.of("small").remove(0), files.of("large").remove(0));
    assert!(small["requestObject"].is_object() && small["annotations"]["audit.k8s.io/truncated"].is_null());
    assert!(large["requestObject"].is_null() && large["responseObject"].is_null());
    assert_eq!((&large["annotations"]["audit.k8s.io/truncated"], &large["level"]), (&json!("true"), &json!("RequestResponse")));
    // What does not fit even so is not recorded, and done nevertheless.
    let agent = format!("User-Agent: {}", "y".repeat(900));
    let path = format!("{MAPS}?{}", "z".repeat(2500));
    assert_eq!(send(&http, "huge", "POST", &path, "application/json", &[&agent], &of_size("huge", 10)), 201);
    assert_eq!(files.of("huge"), Vec::<Value>::new());
}

fn requests_leave_events() {
    let files = Files::new(&json!([
        {"level": "None", "users": ["system:kube-scheduler", "system:kube-controller-manager"]},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "RequestResponse", "namespaces": ["default"], "omitManagedFields": true},
        {"level": "Metadata", "omitStages": ["RequestReceived"]},
    ]));
    let cluster = files.cluster(Shape::Embedded, 0, &[]);
    let (http, stranger) = (cluster.http(), cluster.stranger());
    let json_body = "application/json";
    let own = format!("{MAPS}/audited");

    assert_eq!(send(&http, "create", "POST", MAPS, json_body, &[], r#"{"metadata":{"name":"audited"}}"#), 201);
    let created = files.of("create");
    assert_eq!(stages(&created), ["RequestReceived", "ResponseComplete"]);
    let done = &created[1];
    assert_eq!((&done["level"], &done["verb"], &done["requestURI"]), (&json!("RequestResponse"), &json!("create"), &json!(MAPS)));
    assert_eq!(done["objectRef"], json!({"resource": "configmaps", "namespace": "default", "name": "audited", "apiVersion": "v1"}));
    assert_eq!((&done["responseStatus"]["code"], &done["sourceIPs"]), (&json!(201), &json!(["127.0.0.1"])));
    assert_eq!(done["requestObject"], json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "audited"}}));
    assert_eq!(done["responseObject"]["metadata"]["name"], "audited");
    assert_eq!(done["responseObject"]["metadata"]["managedFields"], Value::Null);
    assert_eq!(done["annotations"]["authorization.k8s.io/decision"], "allow");
    assert!(done["user"]["groups"].as_array().unwrap().contains(&json!("system:masters")));
    assert_eq!(created[0]["requestReceivedTimestamp"], created[1]["requestReceivedTimestamp"]);

    // A patch is recorded as it came, even one that is none; a deletion as the Status that it is answered.
    assert_eq!(send(&http, "patch", "PATCH", &own, "application/merge-patch+json", &[], "{\"data\":\n{\"a\":\"b\"}}"), 200);
    assert_eq!(files.of("patch")[1]["requestObject"], json!({"data": {"a": "b"}}));
    assert_eq!(send(&http, "torn", "PATCH", &own, "application/merge-patch+json", &[], "{\"data\":"), 400);
    assert_eq!(
        (&files.of("torn")[1]["requestObject"], &files.of("torn")[1]["responseStatus"]["reason"]),
        (&json!("{\"data\":"), &json!("BadRequest"))
    );
    assert_eq!(send(&http, "yaml", "GET", &own, "", &["Accept: application/yaml"], ""), 200);
    assert_eq!(files.of("yaml")[1]["responseObject"]["data"], json!({"a": "b"}));
    assert_eq!(send(&http, "list", "GET", MAPS, "", &["Accept: application/vnd.kubernetes.protobuf"], ""), 200);
    assert_eq!(files.of("list")[1]["responseObject"]["kind"], "ConfigMapList");
    assert_eq!(send(&http, "delete", "DELETE", &own, json_body, &[], r#"{"propagationPolicy":"Background"}"#), 200);
    let deleted = &files.of("delete")[1];
    assert_eq!(
        (&deleted["responseStatus"]["status"], &deleted["responseStatus"]["details"]["name"]),
        (&json!("Success"), &json!("audited"))
    );
    assert_eq!(deleted["requestObject"]["propagationPolicy"], "Background");

    // A secret's data is in no event.
    let secret = r#"{"metadata":{"name":"s"},"stringData":{"key":"open sesame"}}"#;
    assert_eq!(send(&http, "secret", "POST", "/api/v1/namespaces/default/secrets", json_body, &[], secret), 201);
    let made = &files.of("secret")[1];
    assert_eq!((&made["level"], &made["objectRef"]["name"], &made["responseObject"]), (&json!("Metadata"), &json!("s"), &Value::Null));
    assert!(!std::fs::read_to_string(files.log()).unwrap().contains("sesame"));

    // A watch has an event when it begins, and one when it ends.
    assert_eq!(send(&http, "watch", "GET", &format!("{MAPS}?watch=1&timeoutSeconds=1"), "", &[], ""), 200);
    wait_for("the end of the watch", || told(files.of("watch").len() == 3, "its last event"));
    assert_eq!(stages(&files.of("watch")), ["RequestReceived", "ResponseStarted", "ResponseComplete"]);

    // Who is refused, and who is not known.
    assert_eq!(send(&stranger, "forbidden", "GET", "/api/v1/nodes", "", &["X-Forwarded-For: 192.0.2.1"], ""), 403);
    let forbidden = files.of("forbidden");
    assert_eq!(stages(&forbidden), ["ResponseComplete"], "the rule leaves the other out");
    assert_eq!(
        (&forbidden[0]["user"]["username"], &forbidden[0]["sourceIPs"]),
        (&json!("system:anonymous"), &json!(["192.0.2.1", "127.0.0.1"]))
    );
    assert_eq!(forbidden[0]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(forbidden[0]["responseStatus"]["reason"], "Forbidden");
    assert_eq!(send(&stranger, "unknown", "GET", "/api/v1/nodes", "", &["Authorization: Bearer wrong"], ""), 401);
    let unknown = files.of("unknown");
    assert_eq!((stages(&unknown), &unknown[0]["user"]), (vec!["ResponseStarted"], &json!({})));
    let jane = ["Impersonate-User: jane", "Impersonate-Group: dev"];
    assert_eq!(send(&http, "jane", "GET", MAPS, "", &jane, ""), 403);
    let acting = &files.of("jane")[1];
    assert_eq!(acting["impersonatedUser"], json!({"username": "jane", "groups": ["dev", "system:authenticated"]}));
    assert_eq!(acting["authenticationMetadata"], json!({"impersonationConstraint": "impersonate:user-info"}));
    assert_ne!(acting["user"]["username"], "jane");
}

fn components_of_the_process_leave_events() {
    let files = Files::new(&json!([{"level": "Metadata", "verbs": ["create", "update", "patch"]}]));
    let cluster = files.cluster(Shape::Embedded, 1, &["--audit-log-mode=batch"]);
    cluster.kubectl.ok(&["create", "deployment", "web", "--image=registry.example/web:1"]);
    cluster.kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let of = |user: &str, resource: &str| {
        let is = |event: &Value| event["user"]["username"] == user && event["objectRef"]["resource"] == resource;
        files.events().into_iter().filter(is).filter(|event| event["stage"] == "ResponseComplete").collect::<Vec<_>>()
    };
    wait_for("the events", || {
        let made = of("system:serviceaccount:kube-system:replicaset-controller", "pods");
        let bound = of("system:kube-scheduler", "pods");
        told(!made.is_empty() && bound.iter().any(|event| event["objectRef"]["subresource"] == "binding"), "pods made and bound")
    });
    let made = &of("system:serviceaccount:kube-system:replicaset-controller", "pods")[0];
    assert_eq!(made["requestURI"], "/api/v1/namespaces/default/pods");
    assert!(made["annotations"]["authorization.k8s.io/reason"].as_str().unwrap().starts_with("RBAC: allowed by "), "{made}");
    assert_eq!(made["annotations"]["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
}

fn every_process_is_recorded() {
    let files = Files::new(&json!([{"level": "RequestResponse"}]));
    let cluster = files.cluster(Shape::Processes, 1, &[]);
    cluster.kubectl.ok(&["create", "deployment", "web", "--image=registry.example/web:1"]);
    cluster.kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let events = files.events();
    let by = |user: &str, uri: &str| events.iter().any(|event| event["user"]["username"] == user && event["requestURI"] == uri);
    assert!(by("system:node:node-0", "/kybern.v1.Api/UpdateStatuses"), "the kubelet writes statuses through the gRPC door");
    assert!(by("system:kube-scheduler", "/kybern.v1.Api/BindPods"));
    assert!(events.iter().all(|event| event["sourceIPs"] == json!(["127.0.0.1"])), "everybody calls from somewhere");
}

fn kills_lose_no_event_of_an_acknowledged_write() {
    let files = Files::new(&json!([{"level": "RequestResponse", "resources": [{"group": "", "resources": ["configmaps"]}]}]));
    let mut cluster = files.cluster(Shape::Embedded, 0, &[]);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let http = cluster.http();
        let writer = std::thread::spawn(move || {
            let mut made = Vec::new();
            for i in 0.. {
                let name = format!("m-{round}-{i}");
                let body = json!({"metadata": {"name": name}, "data": {"filling": "x".repeat(10_000)}}).to_string();
                match http.post(MAPS, body.as_bytes()) {
                    Ok(answer) if answer.code == 201 => made.push(name),
                    _ => return made,
                }
            }
            made
        });
        std::thread::sleep(Duration::from_millis(700));
        cluster.crash();
        acknowledged.extend(writer.join().unwrap());
        cluster.restart();
    }
    assert!(acknowledged.len() > 3, "{acknowledged:?}");
    let events = files.events();
    for name in &acknowledged {
        let is_it = |event: &&Value| event["objectRef"]["name"] == name.as_str() && event["stage"] == "ResponseComplete";
        let event = events.iter().find(is_it).unwrap_or_else(|| panic!("{name} has no event"));
        assert_eq!(event["responseStatus"]["code"], 201);
    }
}

fn a_full_disk_stops_only_those_who_want_it() {
    let files = Files::new(&json!([{"level": "Metadata", "resources": [{"group": "", "resources": ["configmaps"]}]}]));
    let policy = format!("--audit-policy-file={}", files.directory.path().join("policy.yaml").display());
    let ask = |mode: &str| {
        let mode = format!("--audit-log-mode={mode}");
        let cluster = Cluster::start_with(Shape::Embedded, 0, &[&policy, "--audit-log-path=/dev/full", &mode]);
        let made = cluster.http().post(MAPS, br#"{"metadata":{"name":"m"}}"#).unwrap();
        assert!(cluster.output().contains("the audit log cannot be written") || mode.ends_with("batch"), "{}", cluster.output());
        (made.code, made.reason())
    };
    assert_eq!(ask("batch").0, 201);
    assert_eq!(ask("blocking").0, 201);
    assert_eq!(ask("blocking-strict"), (500, "InternalError".to_owned()));
}

fn policies_that_cannot_be_refuse_to_start() {
    let start = |policy: &Path| {
        let data = TempDir::new().unwrap();
        let output = std::process::Command::new(kybern_tests::process::program("kybern"))
            .arg("up")
            .arg(format!("--data-dir={}", data.path().display()))
            .args(["--secure-port=0", "--audit-log-path=-"])
            .arg(format!("--audit-policy-file={}", policy.display()))
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(start(Path::new("/nowhere")).contains("cannot read the audit policy /nowhere"));
    let files = Files::new(&json!([{"level": "Some"}]));
    let said = start(&files.directory.path().join("policy.yaml"));
    assert!(said.contains("rules[0].level"), "{said}");
}
