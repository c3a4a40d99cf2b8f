//! What charts hold: definitions with their objects, much at once, and objects that others write or have made.

use kybern_tests::cluster::Cluster;
use kybern_tests::helm::{Helm, chart};

pub fn definitions_and_lookups(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("helm-widgets");
    let helm = Helm::new(&kubectl, "helm-widgets");
    let widgets = chart("widgets");
    helm.ok(&["install", "first", &widgets]);
    assert_eq!(kubectl.value("widget/first", ".spec.size"), "3");
    assert_eq!(kubectl.value("configmap/first-found", ".data.given"), "nothing");
    assert_eq!(kubectl.value("configmap/first-found", ".data.namespaces"), "true");
    kubectl.ok(&["create", "configmap", "given", "--from-literal=value=seen"]);
    helm.ok(&["upgrade", "first", &widgets]);
    assert_eq!(kubectl.value("configmap/first-found", ".data.given"), "seen");
    helm.ok(&["uninstall", "first"]);
    kubectl.wait_gone("widget/first");
    // Definitions outlive the releases that brought them.
    kubectl.ok(&["get", "customresourcedefinition", "widgets.charts.example"]);
    helm.ok(&["install", "second", &widgets]);
    kubectl.ok(&["delete", "customresourcedefinition", "widgets.charts.example"]);
}

pub fn many_objects(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("helm-large");
    let helm = Helm::new(&kubectl, "helm-large");
    let large = chart("large");
    helm.ok(&["install", "large", &large]);
    let count = || kubectl.ok(&["get", "configmaps", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name"]).lines().count();
    assert_eq!(count(), 150);
    helm.ok(&["upgrade", "large", &large, "--set", "objects=60"]);
    assert_eq!(count(), 60);
    helm.ok(&["rollback", "large"]);
    assert_eq!(count(), 150);
    helm.ok(&["uninstall", "large"]);
    assert_eq!(count(), 0);
}

pub fn conflicts_with_others(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("helm-conflicts");
    let helm = Helm::new(&kubectl, "helm-conflicts");
    let shop = chart("shop");
    let greeting = || kubectl.value("configmap/shop-settings", ".data.greeting");
    helm.ok(&["install", "shop", &shop]);
    let mine = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop-settings}\ndata: {greeting: mine}\n";
    kubectl.feed(&["apply", "--server-side", "--force-conflicts", "--field-manager=other"], mine);
    let conflict = helm.fails(&["upgrade", "shop", &shop, "--set", "greeting=yours"]);
    assert!(conflict.contains("other") && conflict.contains(".data.greeting"), "{conflict}");
    assert_eq!(greeting(), "mine");
    helm.ok(&["upgrade", "shop", &shop, "--set", "greeting=yours", "--force-conflicts"]);
    assert_eq!(greeting(), "yours");
    // The way of Helm 3: patches that the client makes of three states.
    helm.ok(&["upgrade", "shop", &shop, "--set", "greeting=patched", "--server-side=false"]);
    assert_eq!(greeting(), "patched");
}

pub fn adopting_objects(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("helm-adopting");
    let helm = Helm::new(&kubectl, "helm-adopting");
    let shop = chart("shop");
    kubectl.ok(&["create", "configmap", "shop-settings", "--from-literal=greeting=old"]);
    let foreign = helm.fails(&["install", "shop", &shop]);
    assert!(foreign.contains("cannot be imported"), "{foreign}");
    helm.ok(&["install", "shop", &shop, "--take-ownership", "--force-conflicts"]);
    assert_eq!(kubectl.value("configmap/shop-settings", ".data.greeting"), "hello");
}
