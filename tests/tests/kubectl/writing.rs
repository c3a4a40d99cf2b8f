//! create, apply, edit, label, annotate, patch, replace, diff, and what validation refuses.

use kybern_tests::cluster::Cluster;

use crate::{config_map, deployment};

pub fn create_every_generator(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("generators");
    kubectl.ok(&["create", "configmap", "settings", "--from-literal=currency=EUR"]);
    assert_eq!(kubectl.value("configmap/settings", ".data.currency"), "EUR");
    kubectl.ok(&["create", "secret", "generic", "password", "--from-literal=word=open sesame"]);
    assert_eq!(kubectl.value("secret/password", ".data.word"), "b3BlbiBzZXNhbWU=");
    kubectl.ok(&["create", "serviceaccount", "robot"]);
    kubectl.ok(&["create", "deployment", "web", "--image=registry.example/web:1", "--replicas=2"]);
    kubectl.ok(&["create", "service", "clusterip", "web", "--tcp=80:8080"]);
    kubectl.ok(&["create", "service", "nodeport", "web-outside", "--tcp=80:8080"]);
    assert!(kubectl.value("service/web-outside", ".spec.ports[0].nodePort").parse::<u16>().unwrap() >= 30000);
    kubectl.ok(&["create", "job", "once", "--image=registry.example/once:1", "--", "true"]);
    kubectl.ok(&["create", "role", "reader", "--verb=get,list", "--resource=pods"]);
    kubectl.ok(&["create", "rolebinding", "readers", "--role=reader", "--serviceaccount=generators:robot"]);
    kubectl.ok(&["create", "priorityclass", "generators-urgent", "--value=1000"]);
    if kubectl.minor() >= 21 {
        kubectl.ok(&["create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=1"]);
        kubectl.ok(&["create", "cronjob", "nightly", "--image=registry.example/once:1", "--schedule=0 3 * * *"]);
        kubectl.ok(&["create", "ingress", "web", "--rule=shop.example/*=web:80"]);
    }
    assert!(kubectl.fails(&["create", "configmap", "settings"]).contains("already exists"));
    kubectl.ok(&["create", "configmap", "tried", "--dry-run=server"]);
    assert!(kubectl.fails(&["get", "configmap", "tried"]).contains("not found"));
}

pub fn apply_and_prune_fields(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("applying");
    let document = deployment("web", 1, "registry.example/web:1");
    assert_eq!(kubectl.feed(&["apply"], &document), "deployment.apps/web created\n");
    assert_eq!(kubectl.feed(&["apply"], &document), "deployment.apps/web unchanged\n");
    let version = kubectl.value("deployment/web", ".metadata.generation");
    let richer =
        document.replace("labels: {app: web}}\nspec", "labels: {app: web, tier: front}}\nspec").replace("replicas: 1", "replicas: 2");
    assert_eq!(kubectl.feed(&["apply"], &richer), "deployment.apps/web configured\n");
    assert_ne!(kubectl.value("deployment/web", ".metadata.generation"), version);
    assert_eq!(kubectl.value("deployment/web", ".metadata.labels.tier"), "front");
    // What the document no longer says goes.
    kubectl.feed(&["apply"], &document);
    assert_eq!(kubectl.value("deployment/web", ".metadata.labels.tier"), "");
    // A second container, found by its name.
    let two = document.replace("      containers:\n", "      containers:\n      - {name: side, image: registry.example/side:1}\n");
    kubectl.feed(&["apply"], &two);
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.containers[*].name"), "side main");
    kubectl.feed(&["apply"], &document);
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.containers[*].name"), "main");
    let last = kubectl.feed(&["apply", "view-last-applied"], &document);
    assert!(last.contains("registry.example/web:1"), "{last}");
}

pub fn apply_on_the_server(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("server-apply");
    let apply = |manager: &str| format!("--field-manager={manager}");
    let ours = apply("ours");
    kubectl.feed(&["apply", "--server-side", &ours], &config_map("shared", "colour", "blue"));
    kubectl.feed(&["apply", "--server-side", &apply("theirs")], &config_map("shared", "shape", "round"));
    assert_eq!(kubectl.value("configmap/shared", ".data"), r#"{"colour":"blue","shape":"round"}"#);

    let contested = config_map("shared", "colour", "red");
    let refused = kubectl.feed_raw(&["apply", "--server-side", &apply("theirs")], &contested);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("\"ours\"") && text.contains(".data.colour"), "{text}");
    kubectl.feed(&["apply", "--server-side", "--force-conflicts", &apply("theirs")], &contested);
    // Theirs no longer says the shape; ours lost the colour.
    assert_eq!(kubectl.value("configmap/shared", ".data"), r#"{"colour":"red"}"#);

    let document = deployment("web", 1, "registry.example/web:1");
    kubectl.feed(&["apply", "--server-side"], &document);
    kubectl.feed(&["apply", "--server-side"], &document.replace("web:1", "web:2"));
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.containers[0].image"), "registry.example/web:2");
}

pub fn edit_label_annotate(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("editing");
    kubectl.ok(&["create", "configmap", "settings", "--from-literal=currency=EUR"]);
    let edited = kubectl.edit("configmap/settings", "s/EUR/CHF/");
    assert!(edited.contains("edited"), "{edited}");
    assert_eq!(kubectl.value("configmap/settings", ".data.currency"), "CHF");
    assert!(kubectl.edit("configmap/settings", "s/nothing/at-all/").is_empty());

    kubectl.ok(&["label", "configmap", "settings", "team=shop"]);
    assert!(kubectl.fails(&["label", "configmap", "settings", "team=other"]).contains("overwrite"));
    kubectl.ok(&["label", "--overwrite", "configmap", "settings", "team=other"]);
    assert_eq!(kubectl.value("configmap/settings", ".metadata.labels"), r#"{"team":"other"}"#);
    kubectl.ok(&["label", "configmap", "settings", "team-"]);
    assert_eq!(kubectl.value("configmap/settings", ".metadata.labels"), "");
    assert!(kubectl.fails(&["label", "configmap", "settings", "team=not/valid!"]).contains("team"));
    kubectl.ok(&["annotate", "configmap", "--all", "checked=yes"]);
    assert_eq!(kubectl.value("configmap/settings", ".metadata.annotations.checked"), "yes");
}

pub fn patch_in_every_type(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("patching");
    kubectl.feed(&["apply"], &deployment("web", 0, "registry.example/web:1"));
    let strategic = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"registry.example/side:1"}]}}}}"#;
    kubectl.ok(&["patch", "deployment", "web", "-p", strategic]);
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.containers[*].name"), "side main");
    let merge = r#"{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"registry.example/only:1"}]}}}}"#;
    kubectl.ok(&["patch", "deployment", "web", "--type=merge", "-p", merge]);
    assert_eq!(kubectl.value("deployment/web", ".spec.template.spec.containers[*].name"), "only");
    let json = r#"[{"op":"test","path":"/spec/replicas","value":0},{"op":"add","path":"/metadata/labels/x","value":"y"}]"#;
    kubectl.ok(&["patch", "deployment", "web", "--type=json", "-p", json]);
    assert_eq!(kubectl.value("deployment/web", ".metadata.labels.x"), "y");
    assert!(!kubectl.fails(&["patch", "deployment", "web", "--type=json", "-p", &json.replace(":0}", ":9}")]).is_empty());
    assert!(kubectl.ok(&["patch", "deployment", "web", "-p", "{}"]).contains("no change"));
    if kubectl.minor() >= 24 {
        let scale = r#"{"spec":{"replicas":1}}"#;
        kubectl.ok(&["patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", scale]);
        assert_eq!(kubectl.value("deployment/web", ".spec.replicas"), "1");
    }
}

pub fn replace_and_conflicts(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("replacing");
    kubectl.feed(&["create"], &config_map("settings", "a", "one"));
    let stale = kubectl.ok(&["get", "configmap", "settings", "-o", "json"]);
    kubectl.feed(&["replace"], &config_map("settings", "b", "two"));
    assert_eq!(kubectl.value("configmap/settings", ".data"), r#"{"b":"two"}"#);
    let refused = kubectl.feed_raw(&["replace"], &stale);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("the object has been modified"), "{text}");
    let uid = kubectl.value("configmap/settings", ".metadata.uid");
    kubectl.feed(&["replace", "--force"], &config_map("settings", "c", "three"));
    assert_ne!(kubectl.value("configmap/settings", ".metadata.uid"), uid);
}

pub fn diff(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("differing");
    let document = deployment("web", 0, "registry.example/web:1");
    kubectl.feed(&["apply"], &document);
    assert!(kubectl.feed_raw(&["diff"], &document).status.success());
    let changed = kubectl.feed_raw(&["diff"], &document.replace("web:1", "web:2"));
    let text = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert_eq!(changed.status.code(), Some(1), "{text}");
    assert!(text.contains("-      - image: registry.example/web:1") && text.contains("+      - image: registry.example/web:2"), "{text}");
}

pub fn validation_refuses(cluster: &Cluster) {
    let kubectl = cluster.kubectl.in_namespace("refusing");
    let refuse = |args: &[&str], document: &str, because: &str| {
        let output = kubectl.feed_raw(args, document);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(because), "{because} in {text}");
    };
    let unknown = deployment("web", 1, "registry.example/web:1").replace("replicas:", "replicaz:");
    // Both say the field; the older one judges by OpenAPI v2 itself, the newer one leaves it to the server.
    let strict = if kubectl.minor() >= 25 { "--validate=strict" } else { "--validate=true" };
    refuse(&["apply", strict], &unknown, "replicaz");
    refuse(&["create", strict], &unknown, "replicaz");
    kubectl.feed(&["apply", "--validate=false"], &unknown);
    refuse(&["create"], &deployment("Upper_Case", 1, "x"), "metadata.name");
    refuse(&["create"], &deployment("nothing", 1, "\"\""), "spec.template.spec.containers[0].image");
    refuse(&["create", "--validate=false"], &deployment("many", 1, "x").replace("replicas: 1", "replicas: lots"), "replicas");
    refuse(&["create"], "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\n", "no matches for kind \"Gadget\"");
    let moved = deployment("web", 1, "registry.example/web:1").replace("{app: web}", "{app: other}");
    refuse(&["apply"], &moved, "field is immutable");
    if kubectl.minor() >= 25 {
        let output = kubectl.feed_raw(&["apply", "--validate=warn"], &unknown);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && text.contains("unknown field \"spec.replicaz\""), "{text}");
    }
}
