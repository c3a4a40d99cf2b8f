//! Nobody comes to more rights than they have: through roles, bindings, aggregation.

use std::sync::Arc;

use api::Registry;
use api::strategy::UserInfo;
use apiserver::auth::authorize::ResourceAccess;
use apiserver::auth::{Attributes, Authorizer as _};
use apiserver::verbs::{Body, Caller, DeleteOptions, Patch, Target, WriteOptions};
use apiserver::{ApiServer, Options};
use machinery::Status;
use serde_json::{Value, json};
use storage::memory::Memory;

const GROUP: &str = "rbac.authorization.k8s.io";

async fn server() -> Arc<ApiServer> {
    ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap()
}

fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..UserInfo::default() }
}

fn caller(name: &str, groups: &[&str]) -> Caller {
    Caller { user: user(name, groups), agent: "test".into(), ..Caller::default() }
}

fn admin() -> Caller {
    caller("admin", &["system:masters"])
}

fn target(server: &ApiServer, plural: &str, name: &str) -> Target {
    let resource = server.served().find(GROUP, "v1", plural).unwrap();
    let namespace = if resource.scope() == api::kind::Scope::Namespaced { "default" } else { "" };
    Target { resource, subresource: None, namespace: namespace.into(), name: name.into() }
}

async fn create(server: &ApiServer, caller: &Caller, plural: &str, body: &Value) -> Result<(), Status> {
    let body = Body::Json(body.to_string().into());
    server.create(caller, &target(server, plural, ""), body, &WriteOptions::default()).await.map(|_| ())
}

fn rule(verbs: &[&str], resource: &str) -> Value {
    json!({"apiGroups": [""], "resources": [resource], "verbs": verbs})
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    let (kind, role) = role.split_once('/').unwrap();
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user}],
    })
}

/// Lets `user` write roles and bindings in the namespace, and read pods.
async fn delegate(server: &ApiServer, user: &str) {
    let writes = json!({"apiGroups": [GROUP], "resources": ["roles", "rolebindings"], "verbs": ["create", "patch", "update"]});
    let role = json!({"metadata": {"name": "delegate"}, "rules": [writes, rule(&["get", "list"], "pods")]});
    create(server, &admin(), "roles", &role).await.unwrap();
    create(server, &admin(), "rolebindings", &binding("delegate", "Role/delegate", user)).await.unwrap();
    settle(server).await;
}

/// Waits until the logs show what was written: a list without a version does.
async fn settle(server: &ApiServer) {
    server.list(&admin(), &target(server, "clusterroles", ""), &Default::default()).await.unwrap();
}

fn may(server: &ApiServer, user: &UserInfo, verb: &str, resource: &str, namespace: &str) -> bool {
    let access = ResourceAccess { verb, resource, namespace, ..ResourceAccess::default() };
    server.access().authorize(user, &Attributes::Resource(access)).is_allowed()
}

#[tokio::test]
async fn the_components_start_with_their_roles_and_no_more() {
    let server = server().await;
    let scheduler = user("system:kube-scheduler", &["system:authenticated"]);
    let binds = ResourceAccess { verb: "create", resource: "pods", subresource: Some("binding"), namespace: "a", ..Default::default() };
    assert!(server.access().authorize(&scheduler, &Attributes::Resource(binds)).is_allowed());
    assert!(!may(&server, &scheduler, "get", "secrets", "a"));
    let manager = user("system:kube-controller-manager", &["system:authenticated"]);
    assert!(may(&server, &manager, "list", "pods", "a") && !may(&server, &manager, "impersonate", "users", ""));
    assert!(!may(&server, &manager, "create", "pods", "a"), "its controllers write under accounts of their own");
    let controller = user("system:serviceaccount:kube-system:replicaset-controller", &["system:authenticated"]);
    assert!(may(&server, &controller, "create", "pods", "a") && !may(&server, &controller, "create", "deployments", "a"));
    let stranger = user("ann", &["system:authenticated"]);
    assert!(!may(&server, &stranger, "list", "pods", "default"));
    let path =
        |path| server.access().authorize(&user("system:anonymous", &["system:unauthenticated"]), &Attributes::Path { verb: "get", path });
    assert!(path("/livez").is_allowed() && path("/version").is_allowed());
    assert!(!path("/metrics").is_allowed() && !path("/apis").is_allowed());
}

#[tokio::test]
async fn a_binding_holds_until_it_is_deleted() {
    let server = server().await;
    delegate(&server, "ann").await;
    let ann = user("ann", &[]);
    assert!(may(&server, &ann, "get", "pods", "default"));
    assert!(!may(&server, &ann, "get", "pods", "kube-system") && !may(&server, &ann, "delete", "pods", "default"));
    server.delete(&admin(), &target(&server, "rolebindings", "delegate"), &DeleteOptions::default()).await.unwrap();
    settle(&server).await;
    assert!(!may(&server, &ann, "get", "pods", "default"));
}

#[tokio::test]
async fn roles_may_say_only_what_their_writer_holds() {
    let server = server().await;
    delegate(&server, "ann").await;
    let ann = caller("ann", &[]);
    let role = |name: &str, rules: Value| json!({"metadata": {"name": name}, "rules": rules});
    create(&server, &ann, "roles", &role("fine", json!([rule(&["get"], "pods")]))).await.unwrap();
    for rules in [json!([rule(&["get"], "secrets")]), json!([rule(&["*"], "pods")]), json!([rule(&["get"], "*")])] {
        let refused = create(&server, &ann, "roles", &role("more", rules)).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"), "{refused:?}");
    }
    let patch = Patch::Merge(json!({"rules": [rule(&["delete"], "pods")]}).to_string().into());
    let refused = server.patch(&ann, &target(&server, "roles", "fine"), patch, &WriteOptions::default()).await.err().unwrap();
    assert_eq!(refused.code, 403);
    // What the garbage collector writes it may always write.
    let patch = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/a"]}}).to_string().into());
    server.patch(&ann, &target(&server, "roles", "fine"), patch, &WriteOptions::default()).await.unwrap();

    let grant = json!({"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["escalate"]});
    create(&server, &admin(), "roles", &role("escalate", json!([grant]))).await.unwrap();
    create(&server, &admin(), "rolebindings", &binding("escalate", "Role/escalate", "ann")).await.unwrap();
    create(&server, &ann, "roles", &role("more", json!([rule(&["get"], "secrets")]))).await.unwrap();
}

#[tokio::test]
async fn bindings_may_give_only_what_their_writer_holds() {
    let server = server().await;
    delegate(&server, "ann").await;
    let ann = caller("ann", &[]);
    create(&server, &ann, "rolebindings", &binding("fine", "Role/delegate", "bob")).await.unwrap();
    for (name, role, code) in [("a", "ClusterRole/cluster-admin", 403), ("b", "ClusterRole/view", 403), ("c", "Role/absent", 404)] {
        let refused = create(&server, &ann, "rolebindings", &binding(name, role, "ann")).await.unwrap_err();
        assert_eq!(refused.code, code, "{role}: {refused:?}");
    }
    let bind = json!({"apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["view"], "verbs": ["bind"]});
    create(&server, &admin(), "roles", &json!({"metadata": {"name": "bind"}, "rules": [bind]})).await.unwrap();
    create(&server, &admin(), "rolebindings", &binding("bind", "Role/bind", "ann")).await.unwrap();
    create(&server, &ann, "rolebindings", &binding("viewers", "ClusterRole/view", "bob")).await.unwrap();
    assert_eq!(create(&server, &ann, "rolebindings", &binding("d", "ClusterRole/edit", "bob")).await.unwrap_err().code, 403);
}

#[tokio::test]
async fn aggregation_takes_an_administrator() {
    let server = server().await;
    let rules = json!([{"apiGroups": [GROUP], "resources": ["clusterroles"], "verbs": ["*"]}]);
    let delegate = json!({"metadata": {"name": "writer"}, "rules": rules});
    create(&server, &admin(), "clusterroles", &delegate).await.unwrap();
    create(&server, &admin(), "clusterrolebindings", &binding("writer", "ClusterRole/writer", "ann")).await.unwrap();
    let ann = caller("ann", &[]);
    let selectors = json!([{"matchLabels": {"a": "b"}}]);
    let sum = json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": null});
    // `*` on cluster roles holds `escalate`, too: without that verb it does not go.
    create(&server, &ann, "clusterroles", &sum).await.unwrap();
    let narrow = json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["create", "update", "patch", "get"]}]);
    let patch = Patch::Json(narrow.to_string().into());
    server.patch(&admin(), &target(&server, "clusterroles", "writer"), patch, &WriteOptions::default()).await.unwrap();
    settle(&server).await;
    let other = json!({"metadata": {"name": "other"}, "aggregationRule": {"clusterRoleSelectors": selectors}});
    assert_eq!(create(&server, &ann, "clusterroles", &other).await.unwrap_err().code, 403);
}

#[tokio::test]
async fn a_restart_writes_nothing_and_repairs_what_is_missing() {
    let store = Arc::new(Memory::new());
    let start = || ApiServer::start(store.clone(), Registry::built_in(), Options::default());
    let first = start().await.unwrap();
    let newest =
        |server: &ApiServer| server.world().log(GROUP, "clusterroles").unwrap().snapshot().entries.values().map(|e| e.version).max();
    settle(&first).await;
    let before = newest(&first);
    first.delete(&admin(), &target(&first, "clusterrolebindings", "system:basic-user"), &DeleteOptions::default()).await.unwrap();
    first.stop();
    let second = start().await.unwrap();
    settle(&second).await;
    assert!(second.world().get(GROUP, "clusterrolebindings", "", "system:basic-user").is_some());
    assert_eq!(newest(&second), before, "no role was written again");
}
