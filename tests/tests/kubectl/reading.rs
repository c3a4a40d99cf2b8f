//! get in its many ways, describe, and events.

use kybern_tests::cluster::Cluster;
use kybern_tests::wait_for;

use crate::{config_map, deployment};

pub fn get_in_every_output(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("outputs");
    kubectl.feed(&["apply"], &deployment("web", 2, "registry.example/web:1"));
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);

    let plain = kubectl.ok(&["get", "deployments"]);
    let (header, row) = plain.split_once('\n').unwrap();
    assert_eq!(header.split_whitespace().collect::<Vec<_>>(), ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["web", "2/2", "2", "2"]);
    let wide = kubectl.ok(&["get", "deployments", "-o", "wide"]);
    assert!(wide.contains("SELECTOR") && wide.contains("registry.example/web:1") && wide.contains("app=web"), "{wide}");
    let pods = kubectl.ok(&["get", "pods", "-o", "wide", "--show-labels"]);
    assert!(pods.contains("Running") && pods.contains("NODE") && pods.contains("pod-template-hash="), "{pods}");

    assert_eq!(kubectl.ok(&["get", "deployment/web", "-o", "name"]), "deployment.apps/web\n");
    let yaml = kubectl.ok(&["get", "deployment", "web", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: apps/v1\nkind: Deployment\n"), "{yaml}");
    assert_eq!(kubectl.json(&["get", "deployment", "web"])["status"]["readyReplicas"], 2);
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.containers[0].image"), "registry.example/web:1");
    let custom = kubectl.ok(&["get", "deployment", "web", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas"]);
    assert_eq!(custom.split_whitespace().collect::<Vec<_>>(), ["N", "R", "web", "2"]);
    let template = "go-template={{range .items}}{{.metadata.name}} {{end}}";
    assert_eq!(kubectl.ok(&["get", "deployments", "-o", template]), "web ");

    let all = kubectl.ok(&["get", "all"]);
    for kind in ["pod/web-", "deployment.apps/web", "replicaset.apps/web-"] {
        assert!(all.contains(kind), "{kind} in {all}");
    }
    assert!(kubectl.ok(&["get", "pods", "--all-namespaces"]).contains("outputs"));
    assert_eq!(kubectl.ok(&["get", "--raw", "/healthz"]), "ok");
    assert!(kubectl.fails(&["get", "deployment", "absent"]).contains("\"absent\" not found"));
    assert!(kubectl.fails(&["get", "gadgets"]).contains("gadgets"));
}

pub fn get_by_selectors_and_chunks(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("selectors");
    let maps: Vec<String> = (0..25)
        .map(|n| {
            let labels = format!("metadata: {{labels: {{parity: '{}', tier: front}}, ", if n % 2 == 0 { "even" } else { "odd" });
            config_map(&format!("map-{n:02}"), "backwards", &format!("'{}'", 99 - n)).replace("metadata: {", &labels)
        })
        .collect();
    kubectl.feed(&["create"], &maps.join("---\n"));

    let names = |args: &[&str]| {
        let out = kubectl.ok(&[&["get", "configmaps", "-o", "name"], args].concat());
        out.lines().filter(|l| l.contains("map-")).count()
    };
    assert_eq!(names(&["-l", "parity=even"]), 13);
    assert_eq!(names(&["-l", "parity!=even,tier=front"]), 12);
    assert_eq!(names(&["-l", "parity in (odd),tier notin (back)"]), 12);
    assert_eq!(names(&["-l", "!tier,parity"]), 0);
    assert_eq!(names(&["--field-selector", "metadata.name=map-07"]), 1);
    assert_eq!(names(&["-l", "parity", "--chunk-size=4"]), 25);
    assert_eq!(names(&["-l", "parity", "--chunk-size=0"]), 25);
    let sorted = kubectl.ok(&["get", "configmaps", "-l", "parity", "--sort-by=.data.backwards", "-o", "name", "--chunk-size=5"]);
    let order: Vec<&str> = sorted.lines().take(3).collect();
    assert_eq!(order, ["configmap/map-24", "configmap/map-23", "configmap/map-22"]);
    assert!(kubectl.fails(&["get", "configmaps", "--field-selector", "data.backwards=1"]).contains("field label not supported"));
    assert!(!kubectl.fails(&["get", "configmaps", "-l", "a=b=c"]).is_empty());
    assert_eq!(kubectl.ok(&["get", "configmaps", "-l", "parity=even", "-L", "parity"]).matches("even").count(), 13);
}

pub fn get_watch(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("watching");
    let log = cluster.dir().join("watch.log");
    let args = [
        "get",
        "configmaps",
        "-l",
        "watched=yes",
        "-w",
        "--output-watch-events",
        "-o",
        "jsonpath={.type} {.object.metadata.name}{\"\\n\"}",
    ];
    let watch = kubectl.start(&args, &log);
    // kubectl says nothing until the first event comes: writes repeat until the watch stands.
    let labelled = config_map("seen", "k", "v").replace("metadata: {", "metadata: {labels: {watched: 'yes'}, ");
    kubectl.feed(&["create"], &labelled);
    let sees = |what: &str| {
        wait_for(what, || {
            let output = watch.output();
            if output.contains(what) { Ok(()) } else { Err(output) }
        })
    };
    sees("ADDED seen");
    kubectl.ok(&["annotate", "configmap", "seen", "touched=1"]);
    sees("MODIFIED seen");
    kubectl.ok(&["label", "configmap", "seen", "watched=no", "--overwrite"]);
    // It left the selector, which for a watcher is its deletion.
    sees("DELETED seen");
}

pub fn describe(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("described");
    kubectl.feed(&["apply"], &deployment("web", 1, "registry.example/web:1"));
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    kubectl.ok(&["expose", "deployment", "web", "--port=80", "--target-port=http"]);

    let text = kubectl.wait_until("events in describe", &["describe", "deployment", "web"], |t| t.contains("ScalingReplicaSet"));
    for part in ["1 desired | 1 updated | 1 total | 1 available", "RollingUpdate", "MinimumReplicasAvailable", "NewReplicaSet:"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = kubectl.wait_until("events of the pod", &["describe", "pods"], |t| t.contains("Started"));
    for part in ["Scheduled", "default-scheduler", "Controlled By:", "ReplicaSet/web-", "QoS Class:", "BestEffort"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = kubectl.wait_until("an endpoint", &["describe", "service", "web"], |t| t.contains(":8080"));
    assert!(text.contains("ClusterIP") && text.contains("app=web"), "{text}");
    let node = kubectl.ok(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let text = kubectl.ok(&["describe", "node", &node]);
    for part in ["KubeletReady", "Allocatable:", "Non-terminated Pods:", "simulated://"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(kubectl.ok(&["describe", "namespace", "described"]).contains("Active"));
}

pub fn events(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("happenings");
    kubectl.feed(&["apply"], &deployment("web", 1, "registry.example/web:1"));
    let seen = |what: &str| {
        let text = kubectl.wait_until(what, &["get", "events"], |t| t.contains(what));
        assert!(text.lines().next().unwrap().starts_with("LAST SEEN"), "{text}");
    };
    for reason in ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"] {
        seen(reason);
    }
    let chosen =
        kubectl.ok(&["get", "events", "--field-selector", "involvedObject.kind=Deployment,reason=ScalingReplicaSet", "-o", "wide"]);
    assert!(chosen.contains("deployment/web") && !chosen.contains("Started"), "{chosen}");
    assert!(!kubectl.ok(&["get", "events", "--sort-by=.metadata.creationTimestamp"]).is_empty());
    let both = [kubectl.ok(&["get", "events.v1.", "-o", "name"]), kubectl.ok(&["get", "events.v1.events.k8s.io", "-o", "name"])];
    assert!(!both[0].is_empty() && !both[1].is_empty(), "{both:?}");
    if kubectl.minor() >= 26 {
        assert!(kubectl.ok(&["events", "--for", "deployment/web"]).contains("ScalingReplicaSet"));
    }
}
