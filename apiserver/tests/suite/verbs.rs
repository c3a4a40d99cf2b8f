//! The verbs over the store in memory, as a door calls them.

use std::sync::Arc;

use api::Registry;
use apiserver::verbs::{
    Body, Caller, DeleteOptions, Deleted, ListOptions, Patch, Shown, Target, WatchEvent, WatchOptions, WriteOptions, Written,
};
use apiserver::{ApiServer, Options};
use machinery::Status;
use serde_json::{Value, json};
use storage::memory::Memory;

async fn server() -> Arc<ApiServer> {
    ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap()
}

fn target(server: &ApiServer, plural: &str, name: &str) -> Target {
    let resource = server.served().registry().all().iter().find(|r| r.names().plural == plural).cloned().unwrap();
    let namespaced = resource.scope() == api::kind::Scope::Namespaced;
    Target { resource, subresource: None, namespace: if namespaced { "default" } else { "" }.into(), name: name.into() }
}

fn json_body(value: &Value) -> Body {
    Body::Json(value.to_string().into())
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn value(shown: &Shown) -> Value {
    serde_json::from_slice(shown.json()).unwrap()
}

async fn create(server: &ApiServer, plural: &str, body: &Value) -> Result<Written, Status> {
    server.create(&Caller::default(), &target(server, plural, ""), json_body(body), &WriteOptions::default()).await
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let server = server().await;
    let caller = Caller::default();
    let at = target(&server, "configmaps", "a");
    let made = create(&server, "configmaps", &config_map("a", &json!({"k": "1"}))).await.unwrap();
    assert!(made.created);
    let made = value(&made.object);
    assert_eq!(made["metadata"]["namespace"], "default");
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["resourceVersion"].is_string());

    let got = value(&server.get(&caller, &at, None).await.unwrap());
    assert_eq!(got, made);

    let mut changed = got.clone();
    changed["data"]["k"] = json!("2");
    let updated = server.update(&caller, &at, json_body(&changed), &WriteOptions::default()).await.unwrap();
    assert_eq!(value(&updated.object)["data"]["k"], "2");
    let stale = server.update(&caller, &at, json_body(&changed), &WriteOptions::default()).await.err().unwrap();
    assert!(stale.is_conflict(), "{stale:?}");

    let patch = Patch::Merge(json!({"data": {"k": null, "l": "3"}}).to_string().into());
    let patched = server.patch(&caller, &at, patch.clone(), &WriteOptions::default()).await.unwrap();
    let patched = value(&patched.object);
    assert_eq!(patched["data"], json!({"l": "3"}));
    let again = server.patch(&caller, &at, patch, &WriteOptions::default()).await.unwrap();
    assert_eq!(value(&again.object), patched, "a patch that changes nothing writes nothing");

    let deleted = server.delete(&caller, &at, &DeleteOptions::default()).await.unwrap();
    assert!(matches!(deleted, Deleted::Gone(_)));
    assert!(server.get(&caller, &at, None).await.err().unwrap().is_not_found());
}

#[tokio::test]
async fn lists_are_paged_over_one_snapshot() {
    let server = server().await;
    let caller = Caller::default();
    for name in ["a", "b", "c"] {
        create(&server, "secrets", &json!({"metadata": {"name": name}})).await.unwrap();
    }
    let at = target(&server, "secrets", "");
    let first = server.list(&caller, &at, &ListOptions { limit: 2, ..ListOptions::default() }).await.unwrap();
    assert_eq!((first.items.len(), first.remaining), (2, Some(1)));
    server.delete(&caller, &target(&server, "secrets", "c"), &DeleteOptions::default()).await.unwrap();
    let options = ListOptions { limit: 2, continue_token: first.continue_token, ..ListOptions::default() };
    let second = server.list(&caller, &at, &options).await.unwrap();
    assert_eq!(second.version, first.version);
    assert_eq!(&*second.items[0].key.name, "c", "the list goes on as it began");
    assert!(second.continue_token.is_empty());
}

#[tokio::test]
async fn a_watch_shows_the_present_and_then_events() {
    let server = server().await;
    let caller = Caller::default();
    create(&server, "configmaps", &config_map("a", &json!({}))).await.unwrap();
    let at = target(&server, "configmaps", "");
    let options = WatchOptions { send_initial_events: Some(true), allow_bookmarks: true, ..WatchOptions::default() };
    let mut watch = server.watch(&caller, &at, &options).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(e))) if &*e.key.name == "a"));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Bookmark { initial_state_end: true, .. }))));
    create(&server, "configmaps", &config_map("b", &json!({}))).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(e))) if &*e.key.name == "b"));
    server.delete(&caller, &target(&server, "configmaps", "a"), &DeleteOptions::default()).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Deleted(e))) if &*e.key.name == "a"));
    server.stop();
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let server = server().await;
    let caller = Caller::default();
    let body = json!({"metadata": {"name": "a", "finalizers": ["example.org/hold"]}});
    create(&server, "secrets", &body).await.unwrap();
    let at = target(&server, "secrets", "a");
    let Deleted::Pending(shown) = server.delete(&caller, &at, &DeleteOptions::default()).await.unwrap() else { panic!("held") };
    assert_eq!(value(&shown)["metadata"]["deletionGracePeriodSeconds"], 0);
    let patch = Patch::Merge(json!({"metadata": {"finalizers": []}}).to_string().into());
    server.patch(&caller, &at, patch, &WriteOptions::default()).await.unwrap();
    assert!(server.get(&caller, &at, None).await.err().unwrap().is_not_found());
}

#[tokio::test]
async fn a_namespace_must_exist_and_the_systems_own_stay() {
    let server = server().await;
    let caller = Caller::default();
    let mut at = target(&server, "configmaps", "");
    at.namespace = "nowhere".into();
    let body = json_body(&config_map("a", &json!({})));
    assert_eq!(server.create(&caller, &at, body, &WriteOptions::default()).await.err().unwrap().code, 404);
    let kept = server.delete(&caller, &target(&server, "namespaces", "default"), &DeleteOptions::default()).await;
    assert_eq!(kept.err().unwrap().code, 403);
    create(&server, "namespaces", &json!({"metadata": {"name": "nowhere"}})).await.unwrap();
    let body = json_body(&config_map("a", &json!({})));
    assert!(server.create(&caller, &at, body, &WriteOptions::default()).await.is_ok(), "a new namespace is seen at once");
}

#[tokio::test]
async fn fields_have_managers_and_apply_respects_them() {
    let server = server().await;
    let caller = Caller { agent: "reference".into(), ..Caller::default() };
    let at = target(&server, "configmaps", "cfg");
    let apply = |body: Value, manager: &str, force: bool| {
        let patch = Patch::Apply { config: body.to_string().into(), force };
        let options = WriteOptions { field_manager: Some(manager.into()), ..WriteOptions::default() };
        let (server, caller, at) = (server.clone(), caller.clone(), at.clone());
        async move { server.patch(&caller, &at, patch, &options).await }
    };
    let made = apply(config_map("cfg", &json!({"a": "1", "b": "2"})), "ann", false).await.unwrap();
    assert!(made.created);
    assert_eq!(value(&made.object)["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));
    let same = apply(config_map("cfg", &json!({"a": "1", "b": "2"})), "ann", false).await.unwrap();
    assert_eq!(value(&same.object)["metadata"]["resourceVersion"], value(&made.object)["metadata"]["resourceVersion"]);
    let refused = apply(config_map("cfg", &json!({"a": "9"})), "bob", false).await.err().unwrap();
    assert_eq!((refused.code, refused.details.unwrap().causes[0].reason.as_str()), (409, "FieldManagerConflict"));
    let taken = apply(config_map("cfg", &json!({"a": "9"})), "bob", true).await.unwrap();
    assert_eq!(value(&taken.object)["data"], json!({"a": "9", "b": "2"}));
    let dropped = apply(config_map("cfg", &json!({})), "ann", false).await.unwrap();
    assert_eq!(value(&dropped.object)["data"], json!({"a": "9"}));
}

#[tokio::test]
async fn services_get_addresses_and_ports_of_their_own() {
    let server = server().await;
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let one = json!({"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]});
    let first = value(&create(&server, "services", &service("one", one.clone())).await.unwrap().object);
    let second = value(&create(&server, "services", &service("two", one)).await.unwrap().object);
    assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    let port = &first["spec"]["ports"][0]["nodePort"];
    assert!(port.as_i64().is_some_and(|port| (30_000..=32_767).contains(&port)));
    let taken = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let refused = create(&server, "services", &service("three", taken.clone())).await.err().unwrap();
    assert_eq!(refused.details.unwrap().causes[0].field, "spec.ports[0].nodePort");
    server.delete(&Caller::default(), &target(&server, "services", "one"), &DeleteOptions::default()).await.unwrap();
    assert!(create(&server, "services", &service("three", taken)).await.is_ok(), "what was given back can be had again");
}

#[tokio::test]
async fn a_pod_is_admitted_bound_evicted_and_gone() {
    let server = server().await;
    let caller = Caller::default();
    let account = json!({"metadata": {"name": "default"}});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}});
    // The account comes a moment after the pod, as in a new namespace.
    let (_, made) = tokio::join!(create(&server, "serviceaccounts", &account), create(&server, "pods", &pod));
    let made = value(&made.unwrap().object);
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["spec"]["priority"], 0);
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");

    let mut binding = target(&server, "pods", "p");
    binding.subresource = Some("binding".into());
    let body = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    server.create(&caller, &binding, json_body(&body), &WriteOptions::default()).await.unwrap();
    let again = server.create(&caller, &binding, json_body(&body), &WriteOptions::default()).await.err().unwrap();
    assert!(again.is_conflict());

    let at = target(&server, "pods", "p");
    let bound = value(&server.get(&caller, &at, None).await.unwrap());
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");

    let mut eviction = binding.clone();
    eviction.subresource = Some("eviction".into());
    let body =
        json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 12}});
    server.create(&caller, &eviction, json_body(&body), &WriteOptions::default()).await.unwrap();
    let evicted = value(&server.get(&caller, &at, None).await.unwrap());
    assert_eq!(evicted["metadata"]["deletionGracePeriodSeconds"], 12);
    assert_eq!(evicted["metadata"]["generation"], 2);
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    assert!(matches!(server.delete(&caller, &at, &options).await.unwrap(), Deleted::Gone(_)));
}

#[tokio::test]
async fn an_applied_deployment_is_a_fixed_point() {
    let server = server().await;
    let caller = Caller::default();
    let at = target(&server, "deployments", "web");
    let config = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "containers": [{
                    "name": "web", "image": "registry.example/web:1", "ports": [{"containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                    "resources": {"requests": {"cpu": 0.1, "memory": "64Mi"}},
                    "volumeMounts": [{"name": "cfg", "mountPath": "/cfg"}],
                }],
                "volumes": [{"name": "cfg", "configMap": {"name": "cfg"}}],
            }},
        },
    });
    let options = WriteOptions { field_manager: Some("ann".into()), ..WriteOptions::default() };
    let apply = Patch::Apply { config: config.to_string().into(), force: false };
    let made = value(&server.patch(&caller, &at, apply, &options).await.unwrap().object);
    let note = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}).to_string().into());
    let noted = value(&server.patch(&caller, &at, note, &WriteOptions::default()).await.unwrap().object);
    assert_eq!(noted["spec"], made["spec"]);
    assert_eq!(noted["metadata"]["generation"], 1);
}
