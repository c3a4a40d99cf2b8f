//! Rollouts of Deployments, StatefulSets and DaemonSets, scaling, and a rollout that never ends well.

use kybern_tests::cluster::Cluster;

use crate::deployment as document;

const DEADLINE: &str = "--timeout=60s";

pub fn deployment(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("rollout-deployment");
    let done = || kubectl.ok(&["rollout", "status", "deployment/web", DEADLINE]);
    let image = || kubectl.value("deployment/web", ".spec.template.spec.containers[0].image");
    kubectl.feed(&["apply"], &document("web", 3, "registry.example/web:1"));
    assert!(done().contains("successfully rolled out"));
    kubectl.ok(&["annotate", "deployment", "web", "kubernetes.io/change-cause=first"]);
    kubectl.ok(&["set", "image", "deployment/web", "main=registry.example/web:2"]);
    kubectl.ok(&["annotate", "--overwrite", "deployment", "web", "kubernetes.io/change-cause=second"]);
    done();
    kubectl.wait_until("both revisions", &["rollout", "history", "deployment/web"], |t| t.contains("first") && t.contains("second"));
    let second = kubectl.ok(&["rollout", "history", "deployment/web", "--revision=2"]);
    assert!(second.contains("registry.example/web:2"), "{second}");

    kubectl.ok(&["rollout", "undo", "deployment/web"]);
    done();
    assert_eq!(image(), "registry.example/web:1");
    // The old revision came back as the newest.
    kubectl.wait_value("deployment/web", ".metadata.annotations.deployment\\.kubernetes\\.io/revision", "3");
    kubectl.ok(&["rollout", "undo", "deployment/web", "--to-revision=2"]);
    done();
    assert_eq!(image(), "registry.example/web:2");

    let before = kubectl.ok(&["get", "pods", "-o", "name"]);
    kubectl.ok(&["rollout", "restart", "deployment/web"]);
    done();
    kubectl.wait_until("new pods only", &["get", "pods", "-o", "name"], |now| {
        now.lines().count() == 3 && now.lines().all(|pod| !before.contains(pod))
    });
    assert!(kubectl.fails(&["rollout", "undo", "deployment/web", "--to-revision=99"]).contains("99"));
}

pub fn pause_and_scale(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("rollout-pause");
    kubectl.feed(&["apply"], &document("web", 1, "registry.example/web:1"));
    kubectl.ok(&["rollout", "status", "deployment/web", DEADLINE]);
    kubectl.ok(&["rollout", "pause", "deployment/web"]);
    assert!(kubectl.fails(&["rollout", "pause", "deployment/web"]).contains("already paused"));
    kubectl.ok(&["set", "image", "deployment/web", "main=registry.example/web:2"]);
    kubectl.ok(&["set", "env", "deployment/web", "MODE=quick"]);
    // Scaling goes on while a rollout is paused, on the old revision.
    kubectl.ok(&["scale", "deployment/web", "--replicas=3"]);
    kubectl.wait_value("deployment/web", ".status.readyReplicas", "3");
    assert_eq!(kubectl.ok(&["get", "replicasets", "-o", "name"]).lines().count(), 1);
    assert!(!kubectl.fails(&["rollout", "undo", "deployment/web"]).is_empty());
    kubectl.ok(&["rollout", "resume", "deployment/web"]);
    kubectl.ok(&["rollout", "status", "deployment/web", DEADLINE]);
    assert_eq!(kubectl.ok(&["get", "replicasets", "-o", "name"]).lines().count(), 2);

    assert!(kubectl.fails(&["scale", "deployment/web", "--current-replicas=7", "--replicas=1"]).contains('7'));
    kubectl.ok(&["scale", "deployment/web", "--current-replicas=3", "--replicas=0"]);
    kubectl.wait_until("no pods", &["get", "pods", "-o", "name"], str::is_empty);
}

pub fn stateful_set(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("rollout-stateful");
    let stateful = "
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: 'registry.example/db:1'}]
";
    kubectl.feed(&["apply"], stateful);
    kubectl.ok(&["rollout", "status", "statefulset/db", DEADLINE]);
    assert_eq!(kubectl.ok(&["get", "pods", "-o", "name"]), "pod/db-0\npod/db-1\npod/db-2\n");
    kubectl.ok(&["set", "image", "statefulset/db", "main=registry.example/db:2"]);
    kubectl.ok(&["rollout", "status", "statefulset/db", DEADLINE]);
    let images = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"]);
    assert_eq!(images, ["registry.example/db:2"; 3].join(" "));
    kubectl.ok(&["rollout", "undo", "statefulset/db"]);
    kubectl.ok(&["rollout", "status", "statefulset/db", DEADLINE]);
    assert_eq!(kubectl.value("pod/db-0", ".spec.containers[0].image"), "registry.example/db:1");
    // The last goes first.
    kubectl.ok(&["scale", "statefulset/db", "--replicas=1"]);
    kubectl.wait_until("one pod", &["get", "pods", "-o", "name"], |t| t == "pod/db-0\n");
    let uid = kubectl.value("pod/db-0", ".metadata.uid");
    kubectl.ok(&["delete", "pod", "db-0"]);
    kubectl.wait_until("the same name anew", &["get", "pod/db-0", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"], |now| {
        !now.is_empty() && now != uid
    });
}

pub fn daemon_set(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("rollout-daemon");
    let daemon = document("agent", 0, "registry.example/agent:1")
        .replace("Deployment", "DaemonSet")
        .replace("  replicas: 0\n", "")
        .replace("    spec:\n", "    spec:\n      tolerations: [{operator: Exists}]\n");
    kubectl.feed(&["apply"], &daemon);
    kubectl.ok(&["rollout", "status", "daemonset/agent", DEADLINE]);
    let nodes = |path: &str| {
        let all = kubectl.ok(&[
            "get",
            path,
            "-o",
            "jsonpath={range .items[*]}{.spec.nodeName}{.metadata.labels.kubernetes\\.io/hostname}{\"\\n\"}{end}",
        ]);
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    };
    assert_eq!(nodes("pods"), nodes("nodes"));
    kubectl.ok(&["set", "image", "daemonset/agent", "main=registry.example/agent:2"]);
    kubectl.ok(&["rollout", "status", "daemonset/agent", DEADLINE]);
    let history = kubectl.ok(&["rollout", "history", "daemonset/agent"]);
    assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
    kubectl.ok(&["rollout", "undo", "daemonset/agent"]);
    kubectl.ok(&["rollout", "status", "daemonset/agent", DEADLINE]);
    assert_eq!(kubectl.value("daemonset/agent", ".spec.template.spec.containers[0].image"), "registry.example/agent:1");
}

pub fn failing(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("rollout-failing");
    let quick = document("web", 2, "registry.example/web:1").replace("replicas: 2", "replicas: 2\n  progressDeadlineSeconds: 2");
    kubectl.feed(&["apply"], &quick);
    kubectl.ok(&["rollout", "status", "deployment/web", DEADLINE]);
    kubectl.ok(&["set", "image", "deployment/web", "main=registry.example/does-not-exist:1"]);
    let stuck = kubectl.fails(&["rollout", "status", "deployment/web", DEADLINE]);
    assert!(stuck.contains("exceeded its progress deadline"), "{stuck}");
    // What ran before still runs, as far as the strategy says.
    assert_eq!(kubectl.value("deployment/web", ".status.availableReplicas"), "2");
    kubectl.wait_until("the reason", &["get", "pods"], |t| t.contains("ImagePullBackOff") || t.contains("ErrImagePull"));
    kubectl.ok(&["rollout", "undo", "deployment/web"]);
    kubectl.ok(&["rollout", "status", "deployment/web", DEADLINE]);
}
