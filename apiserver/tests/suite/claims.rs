//! Who may write which part of a resource claim's status.

use std::sync::Arc;

use api::Registry;
use api::strategy::UserInfo;
use apiserver::verbs::{Body, Caller, Patch, Target, WriteOptions};
use apiserver::{ApiServer, Options};
use serde_json::{Value, json};
use storage::memory::Memory;

const RBAC: &str = "rbac.authorization.k8s.io";
const NEAR: &str = "system:serviceaccount:default:near";

fn caller(name: &str, groups: &[&str], node: Option<&str>) -> Caller {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let extra = node.map(|node| ("authentication.kubernetes.io/node-name".to_owned(), vec![node.to_owned()]));
    let user = UserInfo { name: name.into(), groups, extra: extra.into_iter().collect(), ..UserInfo::default() };
    Caller { user, agent: "test".into(), ..Caller::default() }
}

fn admin() -> Caller {
    caller("admin", &["system:masters"], None)
}

async fn create(server: &ApiServer, group: &str, plural: &str, namespace: &str, body: &Value) {
    let resource = server.served().find(group, "v1", plural).unwrap();
    let target = Target { resource, subresource: None, namespace: namespace.into(), name: String::new() };
    server.create(&admin(), &target, Body::Json(body.to_string().into()), &WriteOptions::default()).await.unwrap();
}

/// Lets a user write the status of claims, and do what the rule says.
async fn allow(server: &ApiServer, user: &str, resource: &str, verb: &str) {
    let rule = |resource: &str, verb: &str| json!({"apiGroups": ["resource.k8s.io"], "resources": [resource], "verbs": [verb]});
    let rules = [rule("resourceclaims/status", "patch"), rule(resource, verb)];
    create(server, RBAC, "clusterroles", "", &json!({"metadata": {"name": user}, "rules": rules})).await;
    let role = json!({"apiGroup": RBAC, "kind": "ClusterRole", "name": user});
    let subjects = [json!({"apiGroup": RBAC, "kind": "User", "name": user})];
    create(server, RBAC, "clusterrolebindings", "", &json!({"metadata": {"name": user}, "roleRef": role, "subjects": subjects})).await;
}

async fn server() -> Arc<ApiServer> {
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap();
    let requests = json!([{"name": "r", "exactly": {"deviceClassName": "x"}}]);
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}});
    create(&server, "resource.k8s.io", "resourceclaims", "default", &claim).await;
    allow(&server, "binder", "resourceclaims/binding", "patch").await;
    allow(&server, "driver", "resourceclaims/driver", "arbitrary-node:patch").await;
    allow(&server, NEAR, "resourceclaims/driver", "associated-node:patch").await;
    server
}

/// The fields that are forbidden; none: it was written.
async fn write(server: &ApiServer, caller: &Caller, status: &Value) -> Vec<String> {
    let resource = server.served().find("resource.k8s.io", "v1", "resourceclaims").unwrap();
    let target = Target { resource, subresource: Some("status".into()), namespace: "default".into(), name: "c".into() };
    let patch = Patch::Merge(json!({"status": status}).to_string().into());
    match server.patch(caller, &target, patch, &WriteOptions::default()).await {
        Ok(_) => Vec::new(),
        Err(status) => status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect(),
    }
}

#[tokio::test]
async fn each_part_takes_a_right_of_its_own() {
    let server = server().await;
    let (binder, driver) = (caller("binder", &[], None), caller("driver", &[], None));
    let result = json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": "dev"});
    let node = json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]});
    let allocation = json!({"allocation": {"devices": {"results": [result]}, "nodeSelector": node}});
    assert_eq!(write(&server, &driver, &allocation).await, ["status.allocation"]);
    assert_eq!(write(&server, &binder, &allocation).await, Vec::<String>::new());
    let reserved = json!({"reservedFor": [{"resource": "pods", "name": "x", "uid": "u"}]});
    assert_eq!(write(&server, &driver, &reserved).await, ["status.allocation"]);

    let devices = |data: i32| json!({"devices": [{"driver": "d.example.com", "pool": "p", "device": "dev", "data": {"v": data}}]});
    assert_eq!(write(&server, &binder, &devices(1)).await, ["status.devices"]);
    assert_eq!(write(&server, &caller(NEAR, &[], Some("m")), &devices(1)).await, ["status.devices"]);
    assert_eq!(write(&server, &caller(NEAR, &[], Some("n")), &devices(1)).await, Vec::<String>::new());
    assert_eq!(write(&server, &driver, &devices(2)).await, Vec::<String>::new());
    assert_eq!(write(&server, &binder, &json!({"devices": null})).await, ["status.devices"]);
    // With the allocation goes what was said of its devices.
    assert_eq!(write(&server, &binder, &json!({"allocation": null})).await, Vec::<String>::new());
}
