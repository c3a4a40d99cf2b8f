//! What field tracking costs a write. `cargo bench -p kybern-machinery --bench apply` prints microseconds per write
//! of a pod of about 1.5 KB.

use std::hint::black_box;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use machinery::apply::{OneVersion, Set, Target, Writer, apply, read_entries, update, write_entries};
use machinery::schema::Schema;
use machinery::text::Text;
use serde_json::{Value, json};

const ROUNDS: u32 = 20_000;

fn measure<T>(what: &str, mut work: impl FnMut() -> T) {
    for _ in 0..ROUNDS / 10 {
        black_box(work());
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    println!("{what:<40} {:>8.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

fn main() {
    let schema = Schema::of::<Pod>();
    let (created, bound, running) = (pod(), bound(pod()), with_status(bound(pod())));
    println!("a pod of {} bytes, {} with its status", created.to_string().len(), running.to_string().len());

    let (own, status) = (Set::of_fields(&["status"]), Set::of_fields(&["spec", "metadata.ownerReferences"]));
    let object = Target { schema: &schema, reset: &own, versions: &OneVersion };
    let sub = Target { schema: &schema, reset: &status, versions: &OneVersion };
    let maker = writer("kube-controller-manager", "");
    let kubelet = writer("kubelet", "status");

    let ready = flipped(running.clone());
    let [made, placed, run, ready] = [&created, &bound, &running, &ready].map(Value::to_string);
    let [made, placed, run, ready] = [&made, &placed, &run, &ready].map(|text| Text::new(text));
    let after_create = update(&object, None, made, Vec::new(), maker);
    let after_status = update(&sub, Some(placed), run, after_create.clone(), kubelet);
    let write = || {
        let mut json = Vec::new();
        write_entries(&after_status, &mut json);
        json
    };
    let entries = String::from_utf8(write()).unwrap_or_default();
    println!("entries of {} bytes", entries.len());

    measure("clone the entries", || after_status.clone());
    measure("parse the entries", || read_entries(&entries).map(|(entries, _)| entries.len()));
    measure("write the entries", write);
    measure("create", || update(&object, None, made, Vec::new(), maker));
    measure("first status", || update(&sub, Some(placed), run, after_create.clone(), kubelet));
    measure("status again", || update(&sub, Some(run), ready, after_status.clone(), kubelet));
    measure("nothing new", || update(&sub, Some(run), run, after_status.clone(), kubelet));

    let applied = apply(&object, None, &created, Vec::new(), writer("kubectl", ""), false);
    let Ok(applied) = applied else { return eprintln!("the pod does not apply") };
    measure("apply again", || apply(&object, Some(&created), &created, applied.managed.clone(), writer("kubectl", ""), false));
}

fn writer<'a>(manager: &'a str, subresource: &'a str) -> Writer<'a> {
    Writer { manager, api_version: "v1", subresource, now: jiff::Timestamp::UNIX_EPOCH }
}

fn pod() -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example/shop/cart:1.42.0", "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
            "env": [{"name": "MODE", "value": "fast"}, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/cart", "readOnly": true}],
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })
    };
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-7d9c5b4f6", "uid": "4c2e", "controller": true});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "cart-7d9c5b4f6-x2x8p", "generateName": "cart-7d9c5b4f6-", "namespace": "shop",
            "labels": {"app": "cart", "pod-template-hash": "7d9c5b4f6"}, "ownerReferences": [owner],
        },
        "spec": {
            "containers": [container("cart"), container("sidecar")],
            "volumes": [{"name": "config", "configMap": {"name": "cart", "defaultMode": 420}}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "cart", "securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

fn bound(mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = json!("node-17");
    pod
}

fn with_status(mut pod: Value) -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        })
    };
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example/shop/cart:1.42.0", "imageID": "sha256:0", "containerID": "containerd://0",
            "ready": true, "started": true, "restartCount": 0, "lastState": {},
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        })
    };
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers"].map(condition);
    pod["status"] = json!({
        "phase": "Running", "qosClass": "Burstable", "hostIP": "10.0.0.17", "podIP": "10.1.17.4",
        "hostIPs": [{"ip": "10.0.0.17"}], "podIPs": [{"ip": "10.1.17.4"}], "startTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        "conditions": conditions,
        "containerStatuses": [container("cart"), container("sidecar")],
    });
    pod
}

fn flipped(mut pod: Value) -> Value {
    pod["status"]["conditions"][1]["status"] = json!("False");
    pod["status"]["containerStatuses"][0]["ready"] = json!(false);
    pod
}
