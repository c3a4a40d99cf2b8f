//! Releases: installed, upgraded, rolled back, tested, gone.

use kybern_tests::cluster::Cluster;
use kybern_tests::helm::{Helm, chart};
use kybern_tests::kubectl::Kubectl;

const DEADLINE: &str = "--timeout=90s";
const SETTINGS: &str = "configmap/shop-settings";
const WEB: &str = "deployment/shop-web";

fn start(cluster: &Cluster, namespace: &str) -> (Helm, Kubectl) {
    let kubectl = cluster.kubectl.in_namespace(namespace);
    (Helm::new(&kubectl, namespace), kubectl)
}

pub fn life_of_a_release(cluster: &Cluster) {
    let (helm, kubectl) = start(cluster, "helm-life");
    let shop = chart("shop");
    let said = helm.ok(&["install", "shop", &shop, "--wait", DEADLINE]);
    assert!(said.contains("STATUS: deployed") && said.contains("The shop shop says hello."), "{said}");
    assert_eq!(kubectl.value(WEB, ".status.readyReplicas"), "2");
    // What Helm knows of the server.
    assert_eq!(kubectl.value(SETTINGS, ".data.kubernetes"), "36");
    assert_eq!(kubectl.value(SETTINGS, ".data.deployments"), "known");
    assert_eq!(kubectl.value(WEB, ".metadata.labels.app\\.kubernetes\\.io/managed-by"), "Helm");
    let managers =
        kubectl.ok(&["get", SETTINGS, "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*]['manager','operation']}"]);
    assert_eq!(managers, "helm Apply");

    assert!(helm.ok(&["list"]).contains("shop-1.0.0"));
    assert!(helm.ok(&["status", "shop"]).contains("deployed"));
    let upgraded = helm.ok(&["upgrade", "shop", &shop, "--set", "replicas=3,greeting=again", "--wait", DEADLINE]);
    assert!(upgraded.contains("has been upgraded"), "{upgraded}");
    assert_eq!(kubectl.value(WEB, ".status.readyReplicas"), "3");
    assert!(helm.ok(&["get", "values", "shop"]).contains("greeting: again"));
    assert!(helm.ok(&["get", "manifest", "shop", "--revision=1"]).contains("greeting: \"hello\""));
    assert!(helm.ok(&["get", "all", "shop"]).contains("HOOKS:"));

    helm.ok(&["rollback", "shop", "1", "--wait", DEADLINE]);
    assert_eq!(kubectl.value(SETTINGS, ".data.greeting"), "hello");
    assert_eq!(helm.history("shop"), ["superseded", "superseded", "deployed"]);
    helm.ok(&["uninstall", "shop", "--wait", "--keep-history", DEADLINE]);
    assert_eq!(helm.history("shop").last().unwrap(), "uninstalled");
    let left = kubectl.ok(&["get", "deployments,services,ingresses,poddisruptionbudgets", "-o", "name"]);
    assert_eq!(left, "", "left after the release");
    assert!(kubectl.ok(&["get", "secrets", "-o", "name"]).contains("sh.helm.release.v1.shop.v1"));
    helm.ok(&["uninstall", "shop"]);
    assert_eq!(kubectl.ok(&["get", "secrets", "-o", "name"]), "");
}

pub fn upgrades_that_fail(cluster: &Cluster) {
    let (helm, kubectl) = start(cluster, "helm-failing");
    let shop = chart("shop");
    helm.ok(&["install", "shop", &shop, "--wait", DEADLINE]);
    let broken = ["upgrade", "shop", &shop, "--set", "image=registry.example/does-not-exist:1", "--wait", "--timeout=4s"];
    let why = helm.fails(&broken);
    assert!(why.contains("not ready"), "{why}");
    assert_eq!(helm.history("shop"), ["deployed", "failed"]);
    let mut undone = broken.to_vec();
    undone.push("--rollback-on-failure");
    let why = helm.fails(&undone);
    assert!(why.contains("has been rolled back"), "{why}");
    assert_eq!(helm.history("shop").last().unwrap(), "deployed");
    assert_eq!(kubectl.value(WEB, ".spec.template.spec.containers[0].image"), "registry.example/web:1");

    // What the server refuses, with the server's reasons.
    let refused = helm.fails(&["upgrade", "shop", &shop, "--set", "replicas=-1"]);
    assert!(refused.contains("spec.replicas"), "{refused}");
    let twice = helm.fails(&["install", "shop", &shop]);
    assert!(twice.contains("still in use"), "{twice}");
}

pub fn hooks_and_tests(cluster: &Cluster) {
    let (helm, kubectl) = start(cluster, "helm-hooks");
    let shop = chart("shop");
    helm.ok(&["install", "shop", &shop, DEADLINE]);
    // Its policy is to go when it has succeeded.
    kubectl.wait_gone("job/shop-pre-install");
    helm.ok(&["upgrade", "shop", &shop, DEADLINE]);
    assert_eq!(kubectl.value("job/shop-post-upgrade", ".status.succeeded"), "1");
    let tested = helm.ok(&["test", "shop", "--logs", DEADLINE]);
    assert!(tested.contains("Succeeded") && tested.contains("POD LOGS: shop-test"), "{tested}");
    helm.ok(&["upgrade", "shop", &shop, "--set", "testExit=3", DEADLINE]);
    assert!(helm.fails(&["test", "shop", DEADLINE]).contains("failed"));
    helm.ok(&["uninstall", "shop", DEADLINE]);
    assert_eq!(kubectl.value("job/shop-pre-delete", ".status.succeeded"), "1");
}

pub fn dry_run_on_the_server(cluster: &Cluster) {
    let (helm, kubectl) = start(cluster, "helm-dry");
    let shop = chart("shop");
    let shown = helm.ok(&["install", "shop", &shop, "--dry-run=server"]);
    assert!(shown.contains("kind: Deployment") && shown.contains("kubernetes: \"36\""), "{shown}");
    assert_eq!(kubectl.ok(&["get", "deployments,secrets,jobs", "-o", "name"]), "");
    helm.ok(&["install", "shop", &shop]);
    let shown = helm.ok(&["upgrade", "shop", &shop, "--dry-run=server", "--set", "greeting=never"]);
    assert!(shown.contains("greeting: \"never\""), "{shown}");
    assert_eq!(kubectl.value(SETTINGS, ".data.greeting"), "hello");
    assert_eq!(helm.history("shop"), ["deployed"]);
}
