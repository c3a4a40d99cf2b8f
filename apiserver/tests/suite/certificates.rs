//! Who may approve and sign certificate signing requests, and what nobody is signed.

use std::sync::Arc;

use api::Registry;
use api::strategy::UserInfo;
use apiserver::verbs::{Body, Caller, Patch, Target, WriteOptions};
use apiserver::{ApiServer, Options};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::Status;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use storage::memory::Memory;

fn caller(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|g| (*g).into()).collect();
    Caller { user: UserInfo { name: name.into(), groups, ..UserInfo::default() }, agent: "test".into(), ..Caller::default() }
}

fn admin() -> Caller {
    caller("admin", &["system:masters"])
}

fn target(server: &ApiServer, plural: &str, name: &str, subresource: Option<&str>) -> Target {
    let resource = server.served().registry().all().iter().find(|r| r.names().plural == plural).cloned().unwrap();
    Target { resource, subresource: subresource.map(str::to_owned), namespace: String::new(), name: name.into() }
}

async fn create(server: &ApiServer, plural: &str, body: &Value) -> Result<(), Status> {
    let body = Body::Json(body.to_string().into());
    server.create(&admin(), &target(server, plural, "", None), body, &WriteOptions::default()).await.map(|_| ())
}

fn request(name: &str, signer: &str, organization: &str) -> Value {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ann");
    params.distinguished_name.push(DnType::OrganizationName, organization);
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    json!({"metadata": {"name": name}, "spec": {"signerName": signer, "request": STANDARD.encode(pem), "usages": ["client auth"]}})
}

async fn patch(server: &ApiServer, who: &Caller, name: &str, subresource: &str, status: Value) -> Option<u16> {
    let target = target(server, "certificatesigningrequests", name, Some(subresource));
    let patch = Patch::Merge(json!({"status": status}).to_string().into());
    server.patch(who, &target, patch, &WriteOptions::default()).await.err().map(|status| status.code)
}

#[tokio::test]
async fn approving_and_signing_take_a_right_on_the_signer() {
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap();
    let rule = |verb: &str, name: &str| json!({"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [name], "verbs": [verb]});
    for (user, rule) in [("approver", rule("approve", "example.com/*")), ("signer", rule("sign", "example.com/a"))] {
        create(&server, "clusterroles", &json!({"metadata": {"name": user}, "rules": [rule]})).await.unwrap();
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user});
        let subjects = json!([{"kind": "User", "name": user}]);
        create(&server, "clusterrolebindings", &json!({"metadata": {"name": user}, "roleRef": role, "subjects": subjects})).await.unwrap();
    }
    for (name, signer) in [("a", "example.com/a"), ("b", "example.com/b"), ("c", "example.org/a")] {
        create(&server, "certificatesigningrequests", &request(name, signer, "dev")).await.unwrap();
    }
    let (approver, signer) = (caller("approver", &[]), caller("signer", &[]));
    let approved = || json!({"conditions": [{"type": "Approved", "status": "True"}]});
    assert_eq!(patch(&server, &approver, "a", "approval", approved()).await, None);
    assert_eq!(patch(&server, &approver, "b", "approval", approved()).await, None);
    assert_eq!(patch(&server, &approver, "c", "approval", approved()).await, Some(403));
    assert_eq!(patch(&server, &signer, "c", "approval", approved()).await, Some(403));
    let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
    let issued = || json!({"certificate": STANDARD.encode(&certificate)});
    assert_eq!(patch(&server, &approver, "a", "status", issued()).await, Some(403));
    assert_eq!(patch(&server, &signer, "b", "status", issued()).await, Some(403));
    assert_eq!(patch(&server, &signer, "a", "status", issued()).await, None);
}

#[tokio::test]
async fn nobody_becomes_an_administrator_by_certificate() {
    let server = ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), Options::default()).await.unwrap();
    let signer = "kubernetes.io/kube-apiserver-client";
    let refused = create(&server, "certificatesigningrequests", &request("a", signer, "system:masters")).await.unwrap_err();
    assert_eq!(refused.code, 403);
    create(&server, "certificatesigningrequests", &request("b", signer, "dev")).await.unwrap();
}
