//! Flow schemas over the in-memory store: the server says of them whether the priority level that they name is there.

use std::sync::Arc;
use std::time::Duration;

use api::Registry;
use apiserver::verbs::{Body, Caller, DeleteOptions, Target, WriteOptions};
use apiserver::{ApiServer, Options};
use serde_json::{Value, json};
use storage::memory::Memory;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

fn target(server: &ApiServer, plural: &str, name: &str) -> Target {
    let resource = server.served().find(GROUP, "v1", plural).unwrap();
    Target { resource, subresource: None, namespace: String::new(), name: name.into() }
}

async fn create(server: &ApiServer, plural: &str, object: Value) {
    let body = Body::Json(object.to_string().into());
    server.create(&Caller::default(), &target(server, plural, ""), body, &WriteOptions::default()).await.unwrap();
}

/// Follows a schema until its condition has this status.
async fn until(server: &ApiServer, name: &str, status: &str) {
    let following = async {
        loop {
            let target = target(server, "flowschemas", name);
            let shown = server.get(&Caller::default(), &target, None).await.unwrap();
            let object: Value = serde_json::from_slice(shown.json()).unwrap();
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|condition| condition["type"] == "Dangling" && condition["status"] == status) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), following).await.unwrap();
}

#[tokio::test]
async fn a_schema_dangles_until_its_level_comes_and_again_when_it_goes() {
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap();
    until(&server, "catch-all", "False").await;
    let spec = json!({"priorityLevelConfiguration": {"name": "own"}, "matchingPrecedence": 50});
    create(&server, "flowschemas", json!({"metadata": {"name": "mine"}, "spec": spec})).await;
    until(&server, "mine", "True").await;
    let limited = json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}});
    create(&server, "prioritylevelconfigurations", json!({"metadata": {"name": "own"}, "spec": limited})).await;
    until(&server, "mine", "False").await;
    let level = target(&server, "prioritylevelconfigurations", "own");
    server.delete(&Caller::default(), &level, &DeleteOptions::default()).await.unwrap();
    until(&server, "mine", "True").await;
}
