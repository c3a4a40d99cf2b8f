//! Custom resources over the in-memory store: how definitions come, change and go, and what their objects are then.

use std::sync::Arc;
use std::time::Duration;

use api::Registry;
use apiserver::verbs::{Body, Caller, DeleteOptions, ListOptions, Patch, Target, WatchEvent, WatchOptions, WriteOptions};
use apiserver::{ApiServer, Options};
use serde_json::{Value, json};
use storage::Store;
use storage::memory::Memory;

const DEFINITIONS: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");
const LAMPS: (&str, &str, &str) = ("e.org", "v1", "lamps");

async fn serve(store: Arc<dyn Store>) -> Arc<ApiServer> {
    ApiServer::start(store, Registry::built_in(), Options::default()).await.unwrap()
}

async fn server() -> Arc<ApiServer> {
    serve(Arc::new(Memory::new())).await
}

fn target(server: &ApiServer, (group, version, plural): (&str, &str, &str), name: &str) -> Option<Target> {
    let resource = server.served().find(group, version, plural)?;
    let namespace = if plural == LAMPS.2 { "default" } else { "" };
    Some(Target { resource, subresource: None, namespace: namespace.into(), name: name.into() })
}

fn caller() -> Caller {
    Caller { agent: "test".into(), ..Caller::default() }
}

fn definition() -> Value {
    let schema = |properties: Value| json!({"openAPIV3Schema": {"type": "object", "properties": properties}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.e.org"},
        "spec": {
            "group": "e.org",
            "scope": "Namespaced",
            "names": {"plural": "lamps", "kind": "Lamp"},
            "versions": [
                {
                    "name": "v1",
                    "served": true,
                    "storage": true,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": ".spec.room"}],
                    "schema": schema(json!({
                        "spec": {"type": "object", "properties": {
                            "watts": {"type": "integer", "default": 9, "maximum": 100},
                            "room": {"type": "string"},
                        }},
                        "status": {"type": "object", "properties": {"on": {"type": "boolean"}}},
                    })),
                },
                {
                    "name": "v1beta1",
                    "served": true,
                    "storage": false,
                    "schema": schema(json!({"spec": {"type": "object", "properties": {"watts": {"type": "integer"}}}})),
                },
            ],
        },
    })
}

fn lamp(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "e.org/v1", "kind": "Lamp", "metadata": {"name": name}, "spec": spec})
}

async fn create(server: &ApiServer, of: (&str, &str, &str), object: Value) -> Result<Value, machinery::Status> {
    let target = target(server, of, "").ok_or_else(machinery::Status::path_not_found)?;
    let written = server.create(&caller(), &target, Body::Json(object.to_string().into()), &WriteOptions::default()).await?;
    let json = target.resource.present(written.object.json()).into_owned();
    Ok(serde_json::from_slice(&json).unwrap())
}

async fn get(server: &ApiServer, of: (&str, &str, &str), name: &str) -> Result<Value, machinery::Status> {
    let target = target(server, of, name).ok_or_else(machinery::Status::path_not_found)?;
    let shown = server.get(&caller(), &target, None).await?;
    let json = target.resource.present(shown.json()).into_owned();
    Ok(serde_json::from_slice(&json).unwrap())
}

async fn merge(server: &ApiServer, of: (&str, &str, &str), name: &str, patch: Value) -> Result<(), machinery::Status> {
    let target = target(server, of, name).ok_or_else(machinery::Status::path_not_found)?;
    server.patch(&caller(), &target, Patch::Merge(patch.to_string().into()), &WriteOptions::default()).await.map(drop)
}

/// Waits until `holds` of what is served and stored.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A server that serves lamps.
async fn with_lamps() -> Arc<ApiServer> {
    let server = server().await;
    create(&server, DEFINITIONS, definition()).await.unwrap();
    established(&server).await;
    server
}

async fn established(server: &ApiServer) {
    until("the definition is established", || async {
        let found = get(server, DEFINITIONS, "lamps.e.org").await.unwrap();
        found["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Established" && one["status"] == "True"))
    })
    .await;
}

#[tokio::test]
async fn what_is_established_is_served_with_defaults_and_validation() {
    let server = with_lamps().await;
    let made = create(&server, LAMPS, lamp("desk", json!({"room": "study", "odd": 1}))).await.unwrap();
    assert_eq!(made["spec"], json!({"room": "study", "watts": 9}), "pruned, and with defaults");
    assert_eq!(made["metadata"]["generation"], 1);
    let refused = create(&server, LAMPS, lamp("sun", json!({"watts": 1000}))).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_ref()), (422, "Invalid"));
    assert_eq!(refused.details.unwrap().causes[0].field, "spec.watts");
    let served = server.served();
    assert!(served.discovery().has_group("e.org"));
}

#[tokio::test]
async fn every_version_shows_the_same_object() {
    let server = with_lamps().await;
    create(&server, LAMPS, lamp("desk", json!({"room": "study"}))).await.unwrap();
    let old = get(&server, ("e.org", "v1beta1", "lamps"), "desk").await.unwrap();
    assert_eq!((&old["apiVersion"], &old["spec"]), (&json!("e.org/v1beta1"), &json!({"watts": 9})));
    merge(&server, ("e.org", "v1beta1", "lamps"), "desk", json!({"spec": {"watts": 5}})).await.unwrap();
    let new = get(&server, LAMPS, "desk").await.unwrap();
    assert_eq!((&new["apiVersion"], &new["spec"]["watts"], &new["metadata"]["generation"]), (&json!("e.org/v1"), &json!(5), &json!(2)));
}

#[tokio::test]
async fn objects_are_selected_by_the_fields_that_the_definition_names() {
    let server = with_lamps().await;
    for (name, room) in [("a", "study"), ("b", "hall"), ("c", "study")] {
        create(&server, LAMPS, lamp(name, json!({"room": room}))).await.unwrap();
    }
    let options = ListOptions { field_selector: "spec.room=study".into(), ..ListOptions::default() };
    let list = server.list(&caller(), &target(&server, LAMPS, "").unwrap(), &options).await.unwrap();
    assert_eq!(list.items.iter().map(|entry| &*entry.key.name).collect::<Vec<_>>(), ["a", "c"]);
    let options = ListOptions { field_selector: "spec.watts=9".into(), ..ListOptions::default() };
    assert_eq!(server.list(&caller(), &target(&server, LAMPS, "").unwrap(), &options).await.err().unwrap().code, 400);
}

#[tokio::test]
async fn a_changed_definition_takes_effect_and_ends_watches() {
    let server = with_lamps().await;
    create(&server, LAMPS, lamp("desk", json!({"room": "study"}))).await.unwrap();
    let options = WatchOptions { resource_version: Some("0".into()), ..WatchOptions::default() };
    let mut watch = server.watch(&caller(), &target(&server, LAMPS, "").unwrap(), &options).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));

    let mut changed = definition();
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["shade"] =
        json!({"type": "string", "default": "linen"});
    merge(&server, DEFINITIONS, "lamps.e.org", json!({"spec": changed["spec"]})).await.unwrap();
    assert!(watch.next().await.is_none(), "the watch ends in good order");
    until("what is stored has the new default", || async {
        get(&server, LAMPS, "desk").await.is_ok_and(|lamp| lamp["spec"]["shade"] == "linen")
    })
    .await;
    create(&server, LAMPS, lamp("hall", json!({"shade": "paper"}))).await.unwrap();
    assert_eq!(get(&server, LAMPS, "hall").await.unwrap()["spec"]["shade"], "paper");
}

#[tokio::test]
async fn a_version_that_is_not_served_any_more_is_gone() {
    let server = with_lamps().await;
    let mut changed = definition();
    changed["spec"]["versions"][1]["served"] = json!(false);
    merge(&server, DEFINITIONS, "lamps.e.org", json!({"spec": changed["spec"]})).await.unwrap();
    until("v1beta1 is gone", || async { server.served().find("e.org", "v1beta1", "lamps").is_none() }).await;
    assert!(server.served().find("e.org", "v1", "lamps").is_some());
}

#[tokio::test]
async fn versions_that_need_a_webhook_say_so() {
    let server = server().await;
    let mut converted = definition();
    converted["spec"]["conversion"] = json!({
        "strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://e.org/convert"}},
    });
    create(&server, DEFINITIONS, converted).await.unwrap();
    established(&server).await;
    create(&server, LAMPS, lamp("desk", json!({}))).await.unwrap();
    let refused = get(&server, ("e.org", "v1beta1", "lamps"), "desk").await.unwrap_err();
    assert_eq!(refused.code, 500);
    assert!(refused.message.contains("webhook"), "{refused}");
}

#[tokio::test]
async fn objects_go_before_their_definition() {
    let server = with_lamps().await;
    let mut held = lamp("desk", json!({}));
    held["metadata"]["finalizers"] = json!(["e.org/hold"]);
    create(&server, LAMPS, held).await.unwrap();
    create(&server, LAMPS, lamp("hall", json!({}))).await.unwrap();
    let options = WatchOptions { resource_version: Some("0".into()), ..WatchOptions::default() };
    let mut watch = server.watch(&caller(), &target(&server, LAMPS, "").unwrap(), &options).await.unwrap();

    let of = target(&server, DEFINITIONS, "lamps.e.org").unwrap();
    server.delete(&caller(), &of, &DeleteOptions::default()).await.unwrap();
    until("only what is held is left", || async { get(&server, LAMPS, "hall").await.is_err() }).await;
    assert!(get(&server, LAMPS, "desk").await.unwrap()["metadata"]["deletionTimestamp"].is_string());
    until("nothing new is made", || async { create(&server, LAMPS, lamp("new", json!({}))).await.is_err_and(|status| status.code == 403) })
        .await;
    merge(&server, LAMPS, "desk", json!({"metadata": {"finalizers": null}})).await.unwrap();
    until("the resource is gone", || async { server.served().find("e.org", "v1", "lamps").is_none() }).await;
    assert_eq!(get(&server, DEFINITIONS, "lamps.e.org").await.unwrap_err().code, 404);
    let mut deleted = Vec::new();
    while let Some(event) = watch.next().await {
        if let WatchEvent::Deleted(entry) = event.unwrap() {
            deleted.push(entry.key.name.to_string());
        }
    }
    assert!(deleted.contains(&"desk".to_owned()) && deleted.contains(&"hall".to_owned()), "{deleted:?}");
    until("the group is not registered any more", || async {
        get(&server, ("apiregistration.k8s.io", "v1", "apiservices"), "v1.e.org").await.is_err()
    })
    .await;
}

#[tokio::test]
async fn servers_on_one_store_agree() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let (one, other) = (serve(store.clone()).await, serve(store.clone()).await);
    create(&one, DEFINITIONS, definition()).await.unwrap();
    established(&one).await;
    until("the other serves it", || async { other.served().find("e.org", "v1", "lamps").is_some() }).await;
    create(&one, LAMPS, lamp("desk", json!({}))).await.unwrap();
    assert_eq!(get(&other, LAMPS, "desk").await.unwrap()["spec"]["watts"], 9);
    // One that starts later serves it from its first moment.
    let late = serve(store).await;
    assert_eq!(get(&late, LAMPS, "desk").await.unwrap()["spec"]["watts"], 9);
}
