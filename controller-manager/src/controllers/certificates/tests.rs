//! What is approved by itself, what is signed, and what neither. A certificate is another one each time that it is
//! made, so that the law of the same end cannot be put to the signer; the approver keeps all of them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};
use runtime::signing::Authority;
use serde_json::{Value, json};

use super::{CertificateApprover, CertificateSigner};
use crate::controller::{Controller as _, Key};
use crate::laws::{Scenario, check};
use crate::plan::Verb;
use crate::world::{Interner, Row, Whole, World};

fn pem(common_name: &str, organization: &str, hosts: &[&str]) -> String {
    let mut params = CertificateParams::new(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn request(signer: &str, pem: &str, usages: &[&str], user: &str) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"},
        "spec": {
            "signerName": format!("kubernetes.io/{signer}"), "request": STANDARD.encode(pem), "usages": usages, "username": user,
            "groups": ["system:authenticated"],
        },
    })
}

const CLIENT: &[&str] = &["client auth", "digital signature"];

#[test]
fn nodes_client_certificates_are_approved() {
    for (user, organization, approved) in
        [("system:node:n", "system:nodes", true), ("system:bootstrap:x", "system:nodes", true), ("system:node:n", "system:masters", false)]
    {
        let asked = request("kube-apiserver-client-kubelet", &pem("system:node:n", organization, &[]), CLIENT, user);
        let server =
            check(&Scenario { controllers: &[&CertificateApprover], phases: &[&|s| s.create(asked.clone())], ..Scenario::default() });
        let kept = server.get("certificatesigningrequests", "", "r").unwrap();
        assert_eq!(kept["status"]["conditions"][0]["type"] == "Approved", approved, "{user} {organization}");
    }
}

/// What the signer does about a request that somebody has approved: `certificate`, or the condition it sets.
fn answer(mut asked: Value) -> Option<String> {
    asked["metadata"]["uid"] = json!("u");
    asked["metadata"]["resourceVersion"] = json!("1");
    asked["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    let object: CertificateSigningRequest = serde_json::from_value(asked).unwrap();
    let mut world = World::default();
    world.put(Arc::new(<Whole<CertificateSigningRequest> as Row>::project(&object, &Interner::default())));
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let authority = Arc::new(Authority::from_pem(&certificate, &key.serialize_pem()).unwrap());
    let signer = CertificateSigner { authority, longest: Duration::from_secs(3600) };
    let mut plan = signer.reconcile(&world, &Key::cluster("r"), Timestamp::now());
    let write = plan.steps.pop()?.pop()?;
    let Verb::Update { subresource: Some("status"), object, .. } = write.verb else { panic!("the signer writes the status alone") };
    let status = object.to_value()["status"].clone();
    if status["certificate"].is_string() {
        Some("certificate".to_owned())
    } else {
        status["conditions"][1]["type"].as_str().map(str::to_owned)
    }
}

#[test]
fn signers_sign_what_is_theirs() {
    let serving = &["server auth", "digital signature", "key encipherment"];
    let node = |hosts: &[&str]| pem("system:node:n", "system:nodes", hosts);
    let cases = [
        (request("kube-apiserver-client", &pem("ann", "dev", &[]), CLIENT, "ann"), Some("certificate")),
        (request("kube-apiserver-client", &pem("ann", "dev", &[]), serving, "ann"), Some("Failed")),
        (request("kube-apiserver-client-kubelet", &node(&[]), CLIENT, "x"), Some("certificate")),
        (request("kube-apiserver-client-kubelet", &pem("ann", "system:nodes", &[]), CLIENT, "x"), Some("Failed")),
        (request("kube-apiserver-client-kubelet", &node(&["n.example"]), CLIENT, "x"), Some("Failed")),
        (request("kubelet-serving", &node(&["n.example"]), serving, "x"), Some("certificate")),
        (request("kubelet-serving", &node(&[]), serving, "x"), Some("Failed")),
        (request("kubelet-serving", &node(&["n.example"]), CLIENT, "x"), Some("Failed")),
        (request("another", &node(&[]), CLIENT, "x"), None),
    ];
    for (asked, expected) in cases {
        assert_eq!(answer(asked.clone()).as_deref(), expected, "{}", asked["spec"]);
    }
}
