//! The commands beside get, apply and delete: what changes one part of an object, signs, grants, debugs and waits.

use std::fs;

use kybern_tests::cluster::Cluster;
use tempfile::TempDir;

use crate::{config_map, deployment};

pub fn set_every_part(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("setting");
    kubectl.feed(&["apply"], &deployment("web", 1, "registry.example/web:1"));
    kubectl.ok(&["create", "serviceaccount", "robot"]);
    kubectl.ok(&["create", "configmap", "given", "--from-literal=COLOUR=red"]);
    kubectl.ok(&["create", "service", "clusterip", "front", "--tcp=80:8080"]);
    kubectl.ok(&["create", "rolebinding", "viewers", "--clusterrole=view", "--user=jane"]);
    kubectl.ok(&["set", "image", "deployment/web", "main=registry.example/web:2"]);
    kubectl.ok(&["set", "env", "deployment/web", "SHAPE=round"]);
    kubectl.ok(&["set", "env", "deployment/web", "--from=configmap/given"]);
    assert!(kubectl.ok(&["set", "env", "deployment/web", "--list"]).contains("SHAPE=round"));
    kubectl.ok(&["set", "resources", "deployment/web", "--limits=cpu=200m", "--requests=cpu=100m"]);
    kubectl.ok(&["set", "serviceaccount", "deployment/web", "robot"]);
    kubectl.ok(&["set", "selector", "service/front", "app=web"]);
    kubectl.ok(&["set", "subject", "rolebinding/viewers", "--group=staff"]);
    let container = kubectl.json(&["get", "deployment", "web"])["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["image"], "registry.example/web:2");
    assert_eq!(container["env"][1]["valueFrom"]["configMapKeyRef"]["key"], "COLOUR");
    assert_eq!(container["resources"]["limits"]["cpu"], "200m");
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.serviceAccountName"), "robot");
    assert_eq!(kubectl.value("service/front", ".spec.selector.app"), "web");
    assert_eq!(kubectl.value("rolebinding/viewers", ".subjects[*].name"), "jane staff");
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    kubectl.ok(&["autoscale", "deployment/web", "--min=1", "--max=3", "--cpu-percent=50"]);
    assert_eq!(kubectl.value("hpa/web", ".spec.maxReplicas"), "3");
}

pub fn certificates(cluster: &Cluster) {
    let kubectl = &cluster.kubectl;
    let dir = TempDir::new().unwrap();
    let request = dir.path().join("request.pem");
    let made = std::process::Command::new("openssl")
        .args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=staff/CN=jane", "-keyout"])
        .arg(dir.path().join("key.pem"))
        .arg("-out")
        .arg(&request)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
    let encoded = String::from_utf8(std::process::Command::new("base64").arg("-w0").arg(&request).output().unwrap().stdout).unwrap();
    for name in ["kubectl-approved", "kubectl-denied"] {
        let csr = format!(
            "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec: {{signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: {encoded}}}\n"
        );
        kubectl.feed(&["create"], &csr);
    }
    assert!(kubectl.ok(&["get", "csr", "kubectl-approved"]).contains("Pending"));
    kubectl.ok(&["certificate", "approve", "kubectl-approved"]);
    kubectl.ok(&["certificate", "deny", "kubectl-denied"]);
    kubectl.wait_until("the certificate", &["get", "csr", "kubectl-approved"], |text| text.contains("Approved,Issued"));
    assert!(kubectl.ok(&["get", "csr", "kubectl-denied"]).contains("Denied"));
    assert!(kubectl.ok(&["describe", "csr", "kubectl-approved"]).contains("jane"));
    kubectl.ok(&["delete", "csr", "kubectl-approved", "kubectl-denied"]);
}

pub fn rights_and_tokens(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("rights");
    let rules = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: rights}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
";
    kubectl.ok(&["create", "serviceaccount", "robot"]);
    kubectl.ok(&["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=rights:robot"]);
    assert!(kubectl.feed(&["auth", "reconcile"], rules).contains("reconciled"));
    // Rights are added to those that are there. (Bindings make kubectl itself fall over.)
    kubectl.feed(&["auth", "reconcile"], &rules.replace("[get]", "[list]"));
    assert_eq!(kubectl.value("role/reader", ".rules[*].verbs[*]"), "get list");
    let robot = "--as=system:serviceaccount:rights:robot";
    assert_eq!(kubectl.ok(&["auth", "can-i", "list", "configmaps", robot]), "yes\n");
    assert!(kubectl.ok(&["auth", "can-i", "--list", robot]).contains("configmaps"));
    assert_eq!(String::from_utf8_lossy(&kubectl.run(&["auth", "can-i", "list", "secrets", robot]).stdout), "no\n");
    if kubectl.minor() >= 24 {
        let token = kubectl.ok(&["create", "token", "robot", "--duration=10m"]);
        assert_eq!(token.trim().split('.').count(), 3, "{token}");
    }
    if kubectl.minor() >= 28 {
        let who = kubectl.json(&["auth", "whoami", robot]);
        assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:rights:robot");
    }
}

pub fn kustomize_and_prune(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("kustomized");
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("web.yaml", &deployment("web", 1, "registry.example/web:1"));
    write("map.yaml", &config_map("map", "key", "one"));
    let kustomization =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamePrefix: my-\nresources: [web.yaml, map.yaml]\n";
    write("kustomization.yaml", kustomization);
    assert!(kubectl.ok(&["kustomize", path]).contains("name: my-web"));
    kubectl.ok(&["apply", "-k", path]);
    kubectl.ok(&["rollout", "status", "deployment/my-web", "--timeout=60s"]);
    assert_eq!(kubectl.ok(&["diff", "-k", path]), "");
    kubectl.ok(&["delete", "-k", path]);
    kubectl.wait_gone("deployment/my-web");

    // An old kubectl prunes kinds in versions that are served no more, and fails.
    if kubectl.minor() < 27 {
        return;
    }
    let labelled = |name: &str| config_map(name, "key", "one").replace("metadata: {", "metadata: {labels: {set: pruned}, ");
    let prune = ["apply", "--prune", "-l", "set=pruned"];
    kubectl.feed(&prune, &format!("{}---\n{}", labelled("stays"), labelled("goes")));
    let pruned = kubectl.feed(&prune, &labelled("stays"));
    assert!(pruned.contains("configmap/goes pruned"), "{pruned}");
    assert_eq!(kubectl.ok(&["get", "configmaps", "-l", "set=pruned", "-o", "name"]), "configmap/stays\n");
}

pub fn debug(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("debugging");
    // Ephemeral containers had another form before 1.22.
    if kubectl.minor() < 25 {
        return;
    }
    kubectl.ok(&["run", "ill", "--image=registry.example/web:1"]);
    kubectl.wait_value("pod/ill", ".status.phase", "Running");
    kubectl.ok(&["debug", "pod/ill", "--image=registry.example/tools:1", "--container=doctor", "--attach=false", "--profile=general"]);
    assert_eq!(kubectl.value("pod/ill", ".spec.ephemeralContainers[0].name"), "doctor");
    kubectl.ok(&["debug", "pod/ill", "--copy-to=copy", "--image=registry.example/tools:1", "--attach=false", "--profile=general"]);
    assert_eq!(kubectl.value("pod/copy", ".spec.containers[*].image"), "registry.example/web:1 registry.example/tools:1");
    let refused = kubectl.fails(&["top", "pods"]);
    assert!(refused.contains("Metrics API not available"), "{refused}");
}

pub fn warnings_and_waits(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("warned");
    let told = kubectl.run(&["get", "endpoints"]);
    let told = String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("Warning: v1 Endpoints is deprecated"), "{told}");
    kubectl.ok(&["create", "configmap", "map", "--from-literal=key=one"]);
    if kubectl.minor() >= 31 {
        kubectl.ok(&["wait", "--for=create", "configmap/map", "--timeout=10s"]);
        kubectl.ok(&["wait", "--for=jsonpath={.data.key}=one", "configmap/map", "--timeout=10s"]);
    }
}

/// One object of every kind is listed and described.
pub fn every_kind(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("kinds");
    kubectl.feed(&["apply"], &deployment("web", 1, "registry.example/web:1"));
    kubectl.ok(&["expose", "deployment", "web", "--port=80"]);
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let kinds = kubectl.ok(&["api-resources", "--verbs=list", "-o", "name"]);
    // Definitions are other checks', which may be deleting them.
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.contains(".example")).collect();
    kubectl.ok(&["get", &kinds.join(","), "-o", "wide", "--show-labels"]);
    // Older ones describe some kinds by versions that are no more.
    if kubectl.minor() < 34 {
        return;
    }
    let objects = kubectl.ok(&["get", &kinds.join(","), "-o", "name"]);
    let mut described = Vec::new();
    for object in objects.lines() {
        let (kind, _) = object.split_once('/').unwrap();
        // Others make and delete these.
        let passing =
            ["namespace", "event", "certificatesigningrequest", "customresourcedefinition", "csr"].iter().any(|k| kind.starts_with(k));
        if !passing && !described.iter().any(|known: &&str| known.starts_with(&format!("{kind}/"))) {
            described.push(object);
        }
    }
    assert!(described.len() > 15, "{described:?}");
    let text = kubectl.ok(&[&["describe"], &described[..]].concat());
    assert!(text.matches("Name:").count() >= described.len(), "{text}");
}
