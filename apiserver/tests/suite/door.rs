//! Who is let in at the port: certificates of this cluster's authority and of others, tokens, nobody, and those who act
//! as somebody else.

use std::sync::Arc;

use apiserver::connect::KubeletAccess;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use runtime::pki::Pki;
use runtime::tls::{self, Identity};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::port::{self, Port};

async fn open() -> Port {
    port::open(&[("ann-token", "ann", &["dev"])], |_| KubeletAccess::default()).await
}

impl Port {
    /// The code and the body of an answer.
    async fn ask(&self, identity: Option<&Identity>, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let config = tls::client(Some(self.pki.ca().as_bytes()), identity).unwrap();
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Some servers end a connection without saying so in TLS.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        (code, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    async fn code(&self, identity: Option<&Identity>, headers: &[(&str, &str)]) -> u16 {
        self.ask(identity, "GET", "/api/v1/pods", headers, "").await.0
    }

    /// Who the server takes the caller for.
    async fn whoami(&self, identity: Option<&Identity>, headers: &[(&str, &str)]) -> Value {
        let (code, body) = self.ask(identity, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", headers, "{}").await;
        assert_eq!(code, 201, "{body}");
        let (start, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
        serde_json::from_str::<Value>(&body[start..=end]).unwrap()["status"]["userInfo"].clone()
    }

    /// A certificate of this cluster's authority that says what `change` makes of it.
    fn certificate(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let ca_key = KeyPair::from_pem(&std::fs::read_to_string(self.pki.path("ca.key")).unwrap()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(self.pki.ca(), ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Identity { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() }
    }
}

#[tokio::test]
async fn certificates_are_good_if_this_clusters_authority_made_them_for_clients() {
    let port = open().await;
    let admin = port.pki.client("admin", "admin", Some("system:masters")).unwrap();
    assert_eq!(port.code(Some(&admin), &[]).await, 200);
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Pki::open(elsewhere.path()).unwrap().client("admin", "admin", Some("system:masters")).unwrap();
    let (code, body) = port.ask(Some(&foreign), "GET", "/api/v1/pods", &[], "").await;
    assert_eq!(code, 401, "{body}");
    assert!(body.contains("\"reason\":\"Unauthorized\""), "{body}");
    let long_ago = rcgen::date_time_ymd(2020, 1, 1);
    let expired = port.certificate(|params| params.not_after = long_ago);
    let serving = port.certificate(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let nameless = port.certificate(|params| params.distinguished_name = DistinguishedName::new());
    for (what, refused) in [("expired", expired), ("for servers", serving), ("nameless", nameless)] {
        assert_eq!(port.code(Some(&refused), &[]).await, 401, "{what}");
    }
}

#[tokio::test]
async fn nobody_may_little_and_a_wrong_token_is_nobody_at_all() {
    let port = open().await;
    let (code, body) = port.ask(None, "GET", "/api/v1/pods", &[], "").await;
    assert_eq!(code, 403, "{body}");
    assert!(body.contains("system:anonymous"), "{body}");
    assert_eq!(port.ask(None, "GET", "/version", &[], "").await.0, 200);
    assert_eq!(port.ask(None, "GET", "/apis", &[], "").await.0, 403);
    assert_eq!(port.ask(None, "GET", "/metrics", &[], "").await.0, 403);
    assert_eq!(port.ask(None, "GET", "/metrics/slis", &[], "").await.0, 403);
    let admin = port.pki.client("admin", "admin", Some("system:masters")).unwrap();
    assert_eq!(port.code(Some(&admin), &[("authorization", "Bearer wrong")]).await, 200, "a certificate is looked at before a token");
    assert_eq!(port.code(None, &[("authorization", "Bearer wrong")]).await, 401, "a wrong token is not nobody's");
    assert_eq!(port.code(None, &[("authorization", "Bearer ann-token")]).await, 403);
    assert_eq!(port.whoami(None, &[("authorization", "bearer ann-token")]).await["username"], "ann");
}

#[tokio::test]
async fn acting_as_another_takes_the_right_to_each_part() {
    let port = open().await;
    let admin = port.pki.client("admin", "admin", Some("system:masters")).unwrap();
    let headers = [("impersonate-user", "bob"), ("impersonate-group", "dev"), ("impersonate-uid", "7"), ("impersonate-extra-scopes", "a")];
    let seen = port.whoami(Some(&admin), &headers).await;
    let expected = json!({"username": "bob", "uid": "7", "groups": ["dev", "system:authenticated"], "extra": {"scopes": ["a"]}});
    assert_eq!(seen, expected);
    assert_eq!(port.code(Some(&admin), &[("impersonate-user", "bob")]).await, 403, "bob may not list pods");
    let ann = ("authorization", "Bearer ann-token");
    for impersonated in ["admin", "ann", "system:serviceaccount:kube-system:a"] {
        assert_eq!(port.code(None, &[ann, ("impersonate-user", impersonated)]).await, 403);
    }
    let masters = [ann, ("impersonate-user", "ann"), ("impersonate-group", "system:masters")];
    assert_eq!(port.code(None, &masters).await, 403);
    assert_eq!(port.code(None, &[ann, ("impersonate-group", "system:masters")]).await, 400);
}
