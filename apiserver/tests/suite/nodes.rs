//! What one node's credentials are good for, and all that they are not.

use std::sync::Arc;

use api::Registry;
use api::strategy::UserInfo;
use apiserver::auth::Authenticator;
use apiserver::auth::authorize::ResourceAccess;
use apiserver::auth::service_accounts::{ServiceAccounts, Settings};
use apiserver::auth::{Attributes, Authorizer as _};
use apiserver::verbs::{Body, Caller, DeleteOptions, Patch, Target, WriteOptions};
use apiserver::{ApiServer, Options};
use machinery::Status;
use serde_json::{Value, json};
use storage::memory::Memory;

async fn server() -> Arc<ApiServer> {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let accounts = ServiceAccounts::new(Settings { signing_key: Some(key), ..Settings::default() }).unwrap();
    let authenticator = Arc::new(Authenticator::new(true).with_service_accounts(accounts));
    let options = Options { authenticator, ..Options::default() };
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), options).await.unwrap();
    create(&server, &admin(), "serviceaccounts", &json!({"metadata": {"name": "default"}})).await.unwrap();
    for (name, node) in [("mine", "n1"), ("other", "n2")] {
        let volumes = json!([
            {"name": "s", "secret": {"secretName": format!("{name}-secret")}},
            {"name": "c", "persistentVolumeClaim": {"claimName": format!("{name}-claim")}},
        ]);
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i"}], "volumes": volumes});
        create(&server, &admin(), "pods", &json!({"metadata": {"name": name}, "spec": spec})).await.unwrap();
        create(&server, &admin(), "nodes", &json!({"metadata": {"name": node}})).await.unwrap();
    }
    settle(&server).await;
    server
}

fn admin() -> Caller {
    caller("admin", &["system:masters"])
}

fn caller(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|g| (*g).into()).collect();
    Caller { user: UserInfo { name: name.into(), groups, ..UserInfo::default() }, agent: "test".into(), ..Caller::default() }
}

fn node(name: &str) -> Caller {
    caller(&format!("system:node:{name}"), &["system:nodes", "system:authenticated"])
}

fn target(server: &ApiServer, plural: &str, name: &str) -> Target {
    let resource = server.served().registry().all().iter().find(|r| r.names().plural == plural).cloned().unwrap();
    let namespace = match resource.scope() {
        api::kind::Scope::Cluster => "",
        _ if plural == "leases" => "kube-node-lease",
        _ => "default",
    };
    Target { resource, subresource: None, namespace: namespace.into(), name: name.into() }
}

async fn create(server: &ApiServer, caller: &Caller, plural: &str, body: &Value) -> Result<(), Status> {
    let body = Body::Json(body.to_string().into());
    server.create(caller, &target(server, plural, ""), body, &WriteOptions::default()).await.map(|_| ())
}

async fn patch(server: &ApiServer, caller: &Caller, plural: &str, name: &str, sub: Option<&str>, patch: Value) -> Option<u16> {
    let target = Target { subresource: sub.map(str::to_owned), ..target(server, plural, name) };
    let patch = Patch::Merge(patch.to_string().into());
    server.patch(caller, &target, patch, &WriteOptions::default()).await.err().map(|status| status.code)
}

/// Waits until the logs show what was written.
async fn settle(server: &ApiServer) {
    server.list(&admin(), &target(server, "nodes", ""), &Default::default()).await.unwrap();
}

/// Whether a node may: `verb group/resource[/subresource] [name] [selector]`.
fn may(server: &ApiServer, caller: &Caller, verb: &str, resource: &str, name: &str, field_selector: &str) -> bool {
    let (group, rest) = resource.split_once(':').unwrap_or(("", resource));
    let (resource, subresource) = rest.split_once('/').map_or((rest, None), |(r, s)| (r, Some(s)));
    let namespace = match resource {
        "nodes" | "persistentvolumes" | "csinodes" | "resourceslices" => "",
        "leases" => "kube-node-lease",
        _ => "default",
    };
    let access = ResourceAccess { verb, group, resource, subresource, namespace, name, field_selector };
    server.access().authorize(&caller.user, &Attributes::Resource(access.of_selected())).is_allowed()
}

#[tokio::test]
async fn a_node_reads_what_its_pods_need() {
    let server = server().await;
    let n1 = node("n1");
    let may = |verb, resource, name, selector| may(&server, &n1, verb, resource, name, selector);
    assert!(may("get", "secrets", "mine-secret", "") && may("watch", "secrets", "", "metadata.name=mine-secret"));
    assert!(!may("get", "secrets", "other-secret", "") && !may("list", "secrets", "", "") && !may("delete", "secrets", "mine-secret", ""));
    assert!(may("get", "persistentvolumeclaims", "mine-claim", "") && !may("get", "persistentvolumeclaims", "other-claim", ""));
    assert!(!may("list", "persistentvolumeclaims", "", "") && may("patch", "persistentvolumeclaims/status", "mine-claim", ""));
    assert!(may("get", "configmaps", "kube-root-ca.crt", "") && !may("get", "configmaps", "another", ""));
    assert!(may("create", "serviceaccounts/token", "default", "") && !may("create", "serviceaccounts/token", "another", ""));
    assert!(!may("list", "serviceaccounts", "", "") && !may("create", "serviceaccounts", "", ""));
    assert!(may("get", "pods", "mine", "") && !may("get", "pods", "other", ""));
    assert!(may("list", "pods", "", "spec.nodeName=n1") && !may("list", "pods", "", "spec.nodeName=n2") && !may("list", "pods", "", ""));
    assert!(may("get", "nodes", "n1", "") && may("watch", "nodes", "", "metadata.name=n1"));
    assert!(!may("get", "nodes", "n2", "") && !may("list", "nodes", "", "") && !may("delete", "nodes", "n1", ""));
    assert!(may("update", "coordination.k8s.io:leases", "n1", "") && !may("update", "coordination.k8s.io:leases", "n2", ""));
    assert!(may("list", "services", "", "") && !may("create", "apps:deployments", "", "") && !may("create", "pods/binding", "mine", ""));
    assert!(may("get", "storage.k8s.io:csinodes", "n1", "") && !may("get", "storage.k8s.io:csinodes", "n2", ""));
}

#[tokio::test]
async fn only_who_is_in_the_group_is_a_node() {
    let server = server().await;
    for (name, groups) in
        [("system:node:n1", &["system:authenticated"][..]), ("n1", &["system:nodes"]), ("system:node:", &["system:nodes"])]
    {
        let impostor = caller(name, groups);
        assert!(!may(&server, &impostor, "get", "secrets", "mine-secret", ""), "{name}");
        assert!(!may(&server, &impostor, "create", "nodes", "", ""), "{name}");
    }
}

#[tokio::test]
async fn a_node_writes_its_own_node_and_lease() {
    let server = server().await;
    let n1 = node("n1");
    let code = |outcome: Result<(), Status>| outcome.err().map(|status| status.code);
    assert_eq!(code(create(&server, &node("n3"), "nodes", &json!({"metadata": {"name": "n3"}})).await), None);
    assert_eq!(code(create(&server, &n1, "nodes", &json!({"metadata": {"name": "n4"}})).await), Some(403));
    let role = json!({"metadata": {"name": "n5", "labels": {"node-role.kubernetes.io/control-plane": ""}}});
    assert_eq!(code(create(&server, &node("n5"), "nodes", &role).await), Some(403));
    assert_eq!(patch(&server, &n1, "nodes", "n1", Some("status"), json!({"status": {"capacity": {"cpu": "4"}}})).await, None);
    assert_eq!(patch(&server, &n1, "nodes", "n2", Some("status"), json!({"status": {"capacity": {"cpu": "4"}}})).await, Some(403));
    assert_eq!(patch(&server, &n1, "nodes", "n1", None, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}})).await, None);
    let restricted = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/tier": "gold"}}});
    assert_eq!(patch(&server, &n1, "nodes", "n1", None, restricted).await, Some(403));
    assert_eq!(patch(&server, &n1, "nodes", "n1", None, json!({"spec": {"taints": null}})).await, Some(403));
    let owners = json!([{"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": "0"}]);
    assert_eq!(patch(&server, &n1, "nodes", "n1", None, json!({"metadata": {"ownerReferences": owners}})).await, Some(403));
    let source = json!({"configMap": {"name": "a", "namespace": "b", "kubeletConfigKey": "c"}});
    assert_eq!(patch(&server, &n1, "nodes", "n1", None, json!({"spec": {"configSource": source}})).await, Some(403));
    assert_eq!(code(create(&server, &n1, "leases", &json!({"metadata": {"name": "n1"}})).await), None);
    assert_eq!(code(create(&server, &n1, "leases", &json!({"metadata": {"name": "n2"}})).await), Some(403));
}

#[tokio::test]
async fn a_node_writes_the_status_of_its_pods_and_deletes_them() {
    let server = server().await;
    let n1 = node("n1");
    let running = json!({"status": {"phase": "Running"}});
    assert_eq!(patch(&server, &n1, "pods", "mine", Some("status"), running.clone()).await, None);
    assert_eq!(patch(&server, &n1, "pods", "other", Some("status"), running).await, Some(403));
    let relabelled = json!({"metadata": {"labels": {"app": "db"}}});
    assert_eq!(patch(&server, &n1, "pods", "mine", Some("status"), relabelled.clone()).await, Some(403));
    assert_eq!(patch(&server, &n1, "pods", "mine", None, relabelled).await, Some(403));
    let evict = async |name: &str| {
        let target = Target { subresource: Some("eviction".into()), ..target(&server, "pods", name) };
        let body = Body::Json(json!({"metadata": {"name": name}}).to_string().into());
        server.create(&n1, &target, body, &WriteOptions::default()).await.err().map(|status| status.code)
    };
    assert_eq!(evict("other").await, Some(403));
    let delete = async |name: &str| {
        server.delete(&n1, &target(&server, "pods", name), &DeleteOptions::default()).await.err().map(|status| status.code)
    };
    assert_eq!((delete("other").await, delete("mine").await), (Some(403), None));
}

#[tokio::test]
async fn a_node_makes_mirror_pods_of_its_own_and_no_others() {
    let server = server().await;
    let n1 = node("n1");
    let uid = server.world().get("", "nodes", "", "n1").unwrap().identity().0;
    let owner = |uid: &str| json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]);
    let pod = |name: &str, annotations: Value, node: &str, owners: Value, volumes: Value| {
        json!({
            "metadata": {"name": name, "annotations": annotations, "ownerReferences": owners},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "volumes": volumes},
        })
    };
    let mirror = || json!({"kubernetes.io/config.mirror": "x"});
    let host = || json!([{"name": "v", "hostPath": {"path": "/x"}}]);
    create(&server, &n1, "pods", &pod("good", mirror(), "n1", owner(&uid), host())).await.unwrap();
    let config = json!([{"name": "v", "configMap": {"name": "c"}}]);
    let csi = json!([{"name": "v", "csi": {"driver": "d"}}]);
    for (what, wrong) in [
        ("not a mirror", pod("a", json!({}), "n1", owner(&uid), host())),
        ("elsewhere", pod("b", mirror(), "n2", owner(&uid), host())),
        ("without owner", pod("c", mirror(), "n1", json!([]), host())),
        ("another's uid", pod("d", mirror(), "n1", owner("0"), host())),
        ("refers to an object", pod("e", mirror(), "n1", owner(&uid), config)),
        ("needs a driver", pod("f", mirror(), "n1", owner(&uid), csi)),
    ] {
        assert_eq!(create(&server, &n1, "pods", &wrong).await.unwrap_err().code, 403, "{what}");
    }
}

#[tokio::test]
async fn a_node_gets_tokens_of_its_pods_only() {
    let server = server().await;
    let uid = |name: &str| server.world().get("", "pods", "default", name).unwrap().identity().0;
    let ask_for = async |bound: Value, audiences: &[&str]| {
        let target = Target { subresource: Some("token".into()), ..target(&server, "serviceaccounts", "default") };
        let body = Body::Json(json!({"spec": {"boundObjectRef": bound, "audiences": audiences}}).to_string().into());
        server.create(&node("n1"), &target, body, &WriteOptions::default()).await.err().map(|status| status.code)
    };
    let pod = |name: &str, uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
    let ask = async |bound: Value| ask_for(bound, &[]).await;
    assert_eq!(ask(pod("mine", &uid("mine"))).await, None);
    // The pod's volumes say for whom its tokens are.
    assert_eq!(ask_for(pod("mine", &uid("mine")), &["vault"]).await, Some(403));
    assert_eq!(ask_for(pod("mine", &uid("mine")), &["a", "b"]).await, Some(403));
    assert_eq!(ask(pod("gone", "0")).await, Some(404));
    assert_eq!(ask(pod("other", &uid("other"))).await, Some(403));
    assert_eq!(ask(pod("mine", "")).await, Some(403));
    assert_eq!(ask(pod("mine", "0")).await, Some(403));
    assert_eq!(ask(Value::Null).await, Some(403));
    assert_eq!(ask(json!({"apiVersion": "v1", "kind": "Node", "name": "n1"})).await, Some(403));
}

#[tokio::test]
async fn a_node_asks_for_certificates_of_its_own_name() {
    let server = server().await;
    let ask = async |common_name: &str, signer: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let request = k8s_openapi::ByteString(pem.into_bytes());
        let spec = json!({"signerName": signer, "request": request, "usages": ["client auth", "digital signature"]});
        let body = json!({"metadata": {"generateName": "csr-"}, "spec": spec});
        create(&server, &node("n1"), "certificatesigningrequests", &body).await.err().map(|status| status.code)
    };
    for signer in ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"] {
        assert_eq!(ask("system:node:n1", signer).await, None, "{signer}");
        assert_eq!(ask("system:node:n2", signer).await, Some(403), "{signer}");
        assert_eq!(ask("system:node:", signer).await, Some(403), "{signer}");
        assert_eq!(ask("admin", signer).await, Some(403), "{signer}");
    }
    assert_eq!(ask("admin", "example.com/signer").await, None);
}
