//! Tokens: who is known by them, and all the ways in which one is no good (any more).

use std::sync::Arc;

use api::Registry;
use api::strategy::UserInfo;
use apiserver::auth::authenticate::Refused;
use apiserver::auth::service_accounts::{Bindings, DEFAULT_ISSUER, Reference, ServiceAccounts, Settings};
use apiserver::auth::{Authenticator, PeerCertificate};
use apiserver::reviews::Review;
use apiserver::verbs::{Body, Caller, DeleteOptions, Patch, Target, WriteOptions};
use apiserver::{ApiServer, Options};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use jiff::{Timestamp, ToSpan};
use machinery::Status;
use runtime::jwt::SigningKey;
use serde_json::{Value, json};
use storage::memory::Memory;

fn key() -> String {
    rcgen::KeyPair::generate().unwrap().serialize_pem()
}

fn accounts(key: String) -> ServiceAccounts {
    ServiceAccounts::new(Settings { signing_key: Some(key), extend: true, ..Settings::default() }).unwrap()
}

async fn server() -> Arc<ApiServer> {
    server_with(key()).await
}

async fn server_with(key: String) -> Arc<ApiServer> {
    let authenticator = Arc::new(Authenticator::new(true).with_bootstrap_tokens().with_service_accounts(accounts(key)));
    let options = Options { authenticator, ..Options::default() };
    ApiServer::start(Arc::new(Memory::new()), Registry::built_in(), options).await.unwrap()
}

fn admin() -> Caller {
    Caller {
        user: UserInfo { name: "admin".into(), groups: vec!["system:masters".into()], ..UserInfo::default() },
        agent: "test".into(),
        ..Caller::default()
    }
}

fn target(server: &ApiServer, plural: &str, namespace: &str, name: &str) -> Target {
    let resource = server.served().find("", "v1", plural).unwrap();
    Target { resource, subresource: None, namespace: namespace.into(), name: name.into() }
}

async fn create(server: &ApiServer, plural: &str, namespace: &str, body: &Value) {
    let body = Body::Json(body.to_string().into());
    server.create(&admin(), &target(server, plural, namespace, ""), body, &WriteOptions::default()).await.unwrap();
}

async fn delete(server: &ApiServer, plural: &str, name: &str) {
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    server.delete(&admin(), &target(server, plural, "default", name), &options).await.unwrap();
}

async fn account(server: &ApiServer, name: &str) {
    create(server, "serviceaccounts", "default", &json!({"metadata": {"name": name}})).await;
}

async fn pod(server: &ApiServer, name: &str, account: &str) {
    let spec = json!({"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}], "nodeName": "node-1"});
    create(server, "pods", "default", &json!({"metadata": {"name": name}, "spec": spec})).await;
}

async fn request(server: &ApiServer, account: &str, spec: Value) -> Result<Value, Status> {
    let target = Target { subresource: Some("token".into()), ..target(server, "serviceaccounts", "default", account) };
    let body = Body::Json(json!({"spec": spec}).to_string().into());
    let made = server.create(&admin(), &target, body, &WriteOptions::default()).await?;
    Ok(serde_json::from_slice(made.object.json()).unwrap())
}

async fn token(server: &ApiServer, account: &str, spec: Value) -> String {
    request(server, account, spec).await.unwrap()["status"]["token"].as_str().unwrap().to_owned()
}

/// Whether requests with the token are let in, and who sent them.
async fn caller(server: &ApiServer, token: &str) -> Result<Arc<UserInfo>, Status> {
    // Whether it was deleted or made, the logs have it.
    server.list(&admin(), &target(server, "pods", "", ""), &Default::default()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    server.authenticate(None, &headers).await.0
}

async fn refused(server: &ApiServer, token: &str) -> bool {
    caller(server, token).await.is_err_and(|status| status.code == 401)
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_its_account() {
    let server = server().await;
    account(&server, "robot").await;
    let made = request(&server, "robot", json!({"expirationSeconds": 1200})).await.unwrap();
    assert_eq!(made["spec"]["audiences"], json!([DEFAULT_ISSUER]));
    let token = made["status"]["token"].as_str().unwrap();
    let user = caller(&server, token).await.unwrap();
    assert_eq!(user.name, "system:serviceaccount:default:robot");
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(user.uid, made["metadata"]["uid"].as_str().unwrap());
    let claims = claims(token);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 1200);
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some(DEFAULT_ISSUER), Some(user.name.as_str())));
}

#[tokio::test]
async fn the_first_proof_that_is_good_decides() {
    let server = server().await;
    account(&server, "robot").await;
    let good = token(&server, "robot", json!({})).await;
    let ask = async |peer: &PeerCertificate, token: &str| {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
        server.authenticate(Some(peer), &headers).await.0.map(|user| user.name.clone())
    };
    let ann = PeerCertificate::Trusted { user: Arc::new(UserInfo { name: "ann".into(), ..UserInfo::default() }), expires: i64::MAX };
    assert_eq!(ask(&ann, &good).await.unwrap(), "ann");
    assert_eq!(ask(&ann, "wrong").await.unwrap(), "ann");
    assert_eq!(ask(&PeerCertificate::Refused, &good).await.unwrap(), "system:serviceaccount:default:robot");
    assert_eq!(ask(&PeerCertificate::Refused, "wrong").await.unwrap_err().code, 401);
}

#[tokio::test]
async fn pods_tokens_tell_their_pod_and_outlive_what_they_say() {
    let server = server().await;
    account(&server, "robot").await;
    pod(&server, "p", "robot").await;
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "p"});
    let made = request(&server, "robot", json!({"expirationSeconds": 3607, "boundObjectRef": bound})).await.unwrap();
    let token = made["status"]["token"].as_str().unwrap();
    let claims = claims(token);
    let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert_eq!(expires - issued, 365 * 24 * 3600);
    assert_eq!(claims["kubernetes.io"]["warnafter"].as_i64().unwrap() - issued, 3607);
    assert_eq!(claims["kubernetes.io"]["node"]["name"], "node-1");
    let told: Timestamp = made["status"]["expirationTimestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(told.as_second() - issued, 3607);
    let user = caller(&server, token).await.unwrap();
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(user.extra["authentication.kubernetes.io/node-name"], ["node-1"]);
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let server = server().await;
    account(&server, "robot").await;
    pod(&server, "p", "robot").await;
    create(&server, "secrets", "default", &json!({"metadata": {"name": "s"}})).await;
    create(&server, "nodes", "", &json!({"metadata": {"name": "n"}})).await;
    let of = |kind: &str, name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}});
    let bound =
        [(token(&server, "robot", of("Pod", "p")).await, "pods", "p"), (token(&server, "robot", of("Secret", "s")).await, "secrets", "s")];
    let (of_node, free) = (token(&server, "robot", of("Node", "n")).await, token(&server, "robot", json!({})).await);
    for (token, plural, name) in &bound {
        assert!(caller(&server, token).await.is_ok());
        delete(&server, plural, name).await;
        assert!(refused(&server, token).await, "{plural}");
    }
    // One of the same name is another one.
    pod(&server, "p", "robot").await;
    assert!(refused(&server, &bound[0].0).await);
    assert!(caller(&server, &of_node).await.is_ok());
    server.delete(&admin(), &target(&server, "nodes", "", "n"), &DeleteOptions::default()).await.unwrap();
    assert!(refused(&server, &of_node).await);
    assert!(caller(&server, &free).await.is_ok());
    delete(&server, "serviceaccounts", "robot").await;
    assert!(refused(&server, &free).await);
    account(&server, "robot").await;
    assert!(refused(&server, &free).await);
}

async fn get(server: &ApiServer, plural: &str, namespace: &str, name: &str) -> Value {
    let shown = server.get(&admin(), &target(server, plural, namespace, name), None).await.unwrap();
    serde_json::from_slice(shown.json()).unwrap()
}

#[tokio::test]
async fn the_use_of_a_token_that_is_kept_is_written_down() {
    let key = key();
    let server = server_with(key.clone()).await;
    account(&server, "robot").await;
    let uid = get(&server, "serviceaccounts", "default", "robot").await["metadata"]["uid"].clone();
    let claims = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:robot",
        "kubernetes.io/serviceaccount/namespace": "default", "kubernetes.io/serviceaccount/secret.name": "kept",
        "kubernetes.io/serviceaccount/service-account.name": "robot", "kubernetes.io/serviceaccount/service-account.uid": uid,
    });
    let token = runtime::jwt::sign(&SigningKey::from_pem(&key).unwrap(), &claims).unwrap();
    create(&server, "secrets", "default", &json!({"metadata": {"name": "kept"}, "data": {"token": STANDARD.encode(&token)}})).await;
    let found = server.identify(&token, &[]).await.unwrap();
    assert_eq!(found.user.name, "system:serviceaccount:default:robot");
    assert_eq!(found.remarks.note, Some(("authentication.k8s.io/legacy-token-manual-secret", "kept".to_owned())));
    assert!(found.remarks.warning.is_none() && found.remarks.kept.is_some());
    let labels = async || get(&server, "secrets", "default", "kept").await["metadata"]["labels"].clone();
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    assert_eq!(labels().await, json!({"kubernetes.io/legacy-token-last-used": today}));
    assert_eq!(server.identify(&token, &[]).await.unwrap().remarks.kept, None, "once a day");
    let since = get(&server, "configmaps", "kube-system", "kube-apiserver-legacy-service-account-token-tracking").await;
    assert_eq!(since["data"], json!({"since": today}));

    let merge = async |plural: &str, name: &str, patch: Value| {
        let target = target(&server, plural, "default", name);
        server.patch(&admin(), &target, Patch::Merge(patch.to_string().into()), &WriteOptions::default()).await.unwrap();
        // Until the logs have it.
        get(&server, plural, "default", name).await;
    };
    merge("serviceaccounts", "robot", json!({"secrets": [{"name": "kept"}]})).await;
    let remarks = server.identify(&token, &[]).await.unwrap().remarks;
    assert_eq!(remarks.note.unwrap().0, "authentication.k8s.io/legacy-token-autogenerated-secret");
    assert!(remarks.warning.is_some());
    merge("secrets", "kept", json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": today}}})).await;
    let Err(Refused::Invalidated(_, remarks)) = server.identify(&token, &[]).await else { panic!("it is invalid") };
    assert_eq!(remarks.note.unwrap().1, "kept/default");
}

#[tokio::test]
async fn expired_forged_and_foreign_tokens_are_refused() {
    let server = server().await;
    account(&server, "robot").await;
    let good = token(&server, "robot", json!({})).await;
    let uid = caller(&server, &good).await.unwrap().uid.clone();
    let bindings = || Bindings {
        namespace: "default".into(),
        serviceaccount: Reference { name: "robot".into(), uid: uid.clone() },
        ..Bindings::default()
    };
    let audiences = [DEFAULT_ISSUER.to_owned()];
    let own = server.authenticator().service_accounts().unwrap();
    let ago = |hours: i64| Timestamp::now().checked_sub(hours.hours()).unwrap();
    assert!(caller(&server, &own.issue(bindings(), &audiences, 7300, ago(2)).unwrap().token).await.is_ok());
    assert!(refused(&server, &own.issue(bindings(), &audiences, 3600, ago(2)).unwrap().token).await, "expired");
    assert!(refused(&server, &own.issue(bindings(), &audiences, 36000, ago(-2)).unwrap().token).await, "not valid yet");
    let foreign = accounts(key());
    assert!(refused(&server, &foreign.issue(bindings(), &audiences, 3600, Timestamp::now()).unwrap().token).await, "another's key");
    let elsewhere = Bindings { namespace: "kube-system".into(), ..bindings() };
    assert!(refused(&server, &own.issue(elsewhere, &audiences, 3600, Timestamp::now()).unwrap().token).await, "another's uid");

    let (_, signature) = good.rsplit_once('.').unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut admin = claims(&good);
    admin["kubernetes.io"]["serviceaccount"]["name"] = json!("default");
    for algorithm in ["none", "ES256", "HS256"] {
        for signature in ["", signature] {
            let forged = format!("{}.{}.{signature}", part(&json!({"alg": algorithm, "typ": "JWT"})), part(&admin));
            assert!(refused(&server, &forged).await, "{forged}");
        }
    }
    for nonsense in ["x", "a.b.c", "..", "Basic", &"a".repeat(1 << 16)] {
        assert!(refused(&server, nonsense).await);
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_audience_only() {
    let server = server().await;
    account(&server, "robot").await;
    let vault = token(&server, "robot", json!({"audiences": ["vault"]})).await;
    assert!(refused(&server, &vault).await);
    let review = async |token: &str, audiences: &[&str]| -> Value {
        let body = Body::Json(json!({"spec": {"token": token, "audiences": audiences}}).to_string().into());
        let answer = server.review(Review::Token, &admin(), "", body, &WriteOptions::default()).await.unwrap();
        serde_json::from_slice::<Value>(&answer.json).unwrap()["status"].clone()
    };
    let seen = review(&vault, &["vault", "other"]).await;
    assert_eq!((&seen["authenticated"], &seen["audiences"]), (&json!(true), &json!(["vault"])));
    let unseen = review(&vault, &["other"]).await;
    assert_eq!((&unseen["authenticated"], &unseen["user"]), (&Value::Null, &json!({})));
    assert!(unseen["error"].is_string());
    let body = Body::Json(json!({"spec": {"token": ""}}).to_string().into());
    let empty = server.review(Review::Token, &admin(), "", body, &WriteOptions::default()).await.unwrap_err();
    assert_eq!(empty.code, 400);
}

#[tokio::test]
async fn tokens_are_not_made_for_what_is_not_there() {
    let server = server().await;
    account(&server, "robot").await;
    account(&server, "other").await;
    pod(&server, "p", "other").await;
    let code = async |account: &str, spec: Value| request(&server, account, spec).await.err().map(|status| status.code);
    let bound = |kind: &str, name: &str, uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}});
    assert_eq!(code("nobody", json!({})).await, Some(404));
    assert_eq!(code("robot", json!({"expirationSeconds": 60})).await, Some(422));
    assert_eq!(code("robot", bound("Secret", "absent", "")).await, Some(404));
    assert_eq!(code("robot", bound("ConfigMap", "c", "")).await, Some(400));
    assert_eq!(code("robot", bound("Pod", "p", "")).await, Some(400), "the pod runs as another account");
    assert_eq!(code("other", bound("Pod", "p", "not-its-uid")).await, Some(409));
    assert_eq!(code("other", bound("Pod", "p", "")).await, None);
}

#[tokio::test]
async fn bootstrap_tokens_last_as_long_as_their_secret_says() {
    let server = server().await;
    let secret = async |id: &str, expiration: &str, usage: &str, groups: &str| {
        let data = [
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("expiration", expiration),
            ("usage-bootstrap-authentication", usage),
            ("auth-extra-groups", groups),
        ];
        let data: serde_json::Map<String, Value> = data.iter().map(|(key, value)| ((*key).into(), json!(STANDARD.encode(value)))).collect();
        let body = json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "type": "bootstrap.kubernetes.io/token", "data": data});
        create(&server, "secrets", "kube-system", &body).await;
    };
    secret("aaaaaa", "", "true", "system:bootstrappers:nodes").await;
    secret("bbbbbb", "2020-01-01T00:00:00Z", "true", "").await;
    secret("cccccc", "", "false", "").await;
    secret("dddddd", "", "true", "system:masters").await;
    let user = caller(&server, "aaaaaa.0123456789abcdef").await.unwrap();
    assert_eq!(user.name, "system:bootstrap:aaaaaa");
    assert_eq!(user.groups, ["system:bootstrappers", "system:bootstrappers:nodes", "system:authenticated"]);
    assert!(refused(&server, "aaaaaa.0123456789abcdee").await);
    for id in ["bbbbbb", "cccccc", "dddddd", "eeeeee"] {
        assert!(refused(&server, &format!("{id}.0123456789abcdef")).await, "{id}");
    }
}

#[tokio::test]
async fn a_static_token_is_known_and_others_are_not() {
    let mut authenticator = Authenticator::new(true);
    authenticator.add_token("good", "ann", "", &[]);
    let world = apiserver::admission::World::default();
    assert_eq!(authenticator.token(&world, "good", &[]).unwrap().user.name, "ann");
    assert_eq!(authenticator.token(&world, "bad", &[]).unwrap_err(), Refused::Unknown);
    assert_eq!(authenticator.token(&world, "good", &["vault".into()]).unwrap_err(), Refused::Unknown);
}
