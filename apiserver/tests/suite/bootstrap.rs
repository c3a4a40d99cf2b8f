//! What a server finds made when it starts, and who is said to have made it.

use api::Registry;
use apiserver::verbs::{Caller, Target};
use apiserver::{ApiServer, Options};
use serde_json::Value;
use std::sync::Arc;
use storage::memory::Memory;

async fn made(server: &ApiServer, group: &str, plural: &str, name: &str) -> Value {
    let resource = server.served().find(group, "v1", plural).unwrap();
    let target = Target { resource, subresource: None, namespace: String::new(), name: name.into() };
    serde_json::from_slice(server.get(&Caller::default(), &target, None).await.unwrap().json()).unwrap()
}

/// Manager, operation and subresource of each entry.
fn owners(object: &Value) -> Vec<[&str; 3]> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    entries.iter().map(|entry| ["manager", "operation", "subresource"].map(|field| entry[field].as_str().unwrap_or_default())).collect()
}

#[tokio::test]
async fn the_range_of_the_flags_is_ready_without_a_controller() {
    let (store, options) = (Arc::new(Memory::new()), Options { service_cluster_ip_range: "10.7.0.0/16".into(), ..Options::default() });
    for _start in 0..2 {
        let server = ApiServer::start(store.clone(), Registry::built_in(), options.clone()).await.unwrap();
        let range = made(&server, "networking.k8s.io", "servicecidrs", "kubernetes").await;
        assert_eq!(range["spec"]["cidrs"][0], "10.7.0.0/16");
        let conditions = range["status"]["conditions"].as_array().unwrap();
        assert_eq!((conditions.len(), &conditions[0]["type"], &conditions[0]["status"]), (1, &"Ready".into(), &"True".into()));
        assert!(owners(&range).contains(&["kubernetes-service-cidr-controller", "Apply", "status"]), "{range}");
    }
}

#[tokio::test]
async fn flow_schemas_and_levels_are_made_by_their_producer() {
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap();
    for (plural, name) in [("flowschemas", "catch-all"), ("prioritylevelconfigurations", "catch-all")] {
        let object = made(&server, "flowcontrol.apiserver.k8s.io", plural, name).await;
        assert!(owners(&object).contains(&["api-priority-and-fairness-config-producer-v1", "Update", ""]), "{object}");
    }
}
