//! What kubectl asks of the cluster itself: discovery, documentation, identity, and the care of nodes.

use kybern_tests::cluster::Cluster;

use crate::deployment;

pub fn explain(cluster: &Cluster) {
    let kubectl = &cluster.kubectl;
    let text = kubectl.ok(&["explain", "deployment.spec.strategy"]);
    assert!(text.contains("Deployment") && text.contains("rollingUpdate") && text.contains("Recreate"), "{text}");
    assert!(kubectl.ok(&["explain", "pod.spec.containers.resources"]).contains("limits"));
    // Newer ones tell which values there are.
    if kubectl.minor() >= 27 {
        let text = kubectl.ok(&["explain", "deployment.spec.strategy.type"]);
        assert!(text.contains("Recreate") && text.contains("RollingUpdate"), "{text}");
        let text = kubectl.ok(&["explain", "pod.spec.imagePullSecrets"]);
        assert!(!text.contains("-required-"), "{text}");
    }
    let recursive = kubectl.ok(&["explain", "poddisruptionbudgets", "--recursive"]);
    assert!(recursive.contains("minAvailable") && recursive.contains("disruptionsAllowed"), "{recursive}");
    let old = kubectl.ok(&["explain", "events", "--api-version=events.k8s.io/v1"]);
    assert!(old.contains("reportingController"), "{old}");
    assert!(!kubectl.fails(&["explain", "pod.spec.nonsense"]).is_empty());
}

pub fn api_resources_and_versions(cluster: &Cluster) {
    let kubectl = &cluster.kubectl;
    let versions = kubectl.ok(&["api-versions"]);
    for version in ["v1", "apps/v1", "batch/v1", "policy/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1"] {
        assert!(versions.lines().any(|l| l == version), "{version} in {versions}");
    }
    let resources = kubectl.ok(&["api-resources", "-o", "wide"]);
    for row in ["configmaps", "deployments", "leases", "endpointslices", "nodes", "cronjobs"] {
        assert!(resources.lines().any(|l| l.starts_with(row)), "{row} in {resources}");
    }
    let cluster_wide = kubectl.ok(&["api-resources", "--namespaced=false", "-o", "name"]);
    assert!(cluster_wide.contains("nodes\n") && !cluster_wide.contains("pods\n"), "{cluster_wide}");
    // Short names, singular names, categories.
    for name in ["deploy", "sts", "svc", "cm", "pdb", "replicaset", "all"] {
        kubectl.ok(&["get", name, "-n", "default"]);
    }
    let version = kubectl.json(&["version"]);
    assert_eq!(version["serverVersion"]["major"], "1");
    assert!(kubectl.ok(&["cluster-info"]).contains(&cluster.url()));
}

pub fn auth(cluster: &Cluster) {
    let kubectl = &cluster.kubectl;
    assert_eq!(kubectl.ok(&["auth", "can-i", "delete", "nodes"]), "yes\n");
    let refused = kubectl.run(&["auth", "can-i", "delete", "nodes", "--as=somebody"]);
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "no\n");
    assert!(kubectl.fails(&["get", "pods", "--as=somebody"]).contains("User \"somebody\" cannot list resource \"pods\""));
    if kubectl.minor() >= 28 {
        let who = kubectl.json(&["auth", "whoami"]);
        assert!(who["status"]["userInfo"]["groups"].as_array().unwrap().iter().any(|g| g == "system:masters"), "{who}");
    }
}

pub fn cordon_drain_taint(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("draining");
    kubectl.feed(&["apply"], &deployment("web", 6, "registry.example/web:1"));
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let node = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}"]);
    kubectl.ok(&["cordon", &node]);
    kubectl.wait_until("the mark", &["get", "node", &node], |t| t.contains("SchedulingDisabled"));
    // Pods of other tests are on the node too, and stay.
    kubectl.ok(&["drain", &node, "--ignore-daemonsets", "--pod-selector=app=web", "--delete-emptydir-data", "--timeout=60s"]);
    let on_node = ["get", "pods", "-o", "name", "--field-selector", &format!("spec.nodeName={node}")];
    kubectl.wait_until("the node to be empty", &on_node, str::is_empty);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    kubectl.ok(&["uncordon", &node]);

    kubectl.ok(&["taint", "node", &node, "tests.kybern/only=me:NoSchedule"]);
    kubectl.ok(&["scale", "deployment/web", "--replicas=9"]);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(kubectl.ok(&on_node), "");
    assert!(kubectl.fails(&["taint", "node", &node, "tests.kybern/only=other:NoSchedule"]).contains("already has"));
    kubectl.ok(&["taint", "node", &node, "tests.kybern/only-"]);

    // Nowhere to go: the pod says why, and goes where the label appears.
    let picky = r#"{"spec":{"nodeSelector":{"tests.kybern/here":"yes"}}}"#;
    kubectl.ok(&["run", "picky", "--image=registry.example/web:1", "--overrides", picky]);
    kubectl.wait_value("pod/picky", ".status.conditions[?(@.type==\"PodScheduled\")].reason", "Unschedulable");
    kubectl.ok(&["label", "node", &node, "tests.kybern/here=yes"]);
    kubectl.wait_value("pod/picky", ".spec.nodeName", &node);
    kubectl.ok(&["label", "node", &node, "tests.kybern/here-"]);
}

pub fn drain_heeds_budgets(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("budgets");
    kubectl.feed(&["apply"], &deployment("precious", 1, "registry.example/web:1"));
    kubectl.ok(&["rollout", "status", "deployment/precious", "--timeout=60s"]);
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: all}\nspec: {minAvailable: 1, selector: {matchLabels: {app: precious}}}\n";
    kubectl.feed(&["create"], budget);
    kubectl.wait_value("pdb/all", ".status.currentHealthy", "1");
    let node = kubectl.ok(&["get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}"]);
    let drain = ["drain", &node, "--ignore-daemonsets", "--pod-selector=app=precious", "--timeout=2s"];
    let refused = kubectl.fails(&drain);
    assert!(refused.contains("disruption budget") || refused.contains("timeout"), "{refused}");
    kubectl.ok(&["uncordon", &node]);
    kubectl.ok(&["scale", "deployment/precious", "--replicas=2"]);
    kubectl.wait_value("pdb/all", ".status.disruptionsAllowed", "1");
    kubectl.ok(&[&drain[..4], &["--timeout=60s"]].concat());
    kubectl.ok(&["uncordon", &node]);
}
