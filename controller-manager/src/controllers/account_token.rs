//! Fills secrets of type `kubernetes.io/service-account-token` with a token of the account that they name, and takes
//! them away with it. Such tokens do not expire: they are for clients that cannot ask for others.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use runtime::jwt::{self, SigningKey};
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::plan::{Guard, Plan, Write, resource_of};
use crate::world::{Change, Kind, Row, SecretRow, World};

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

pub struct AccountTokenController {
    pub key: Arc<SigningKey>,
    /// The certificates of the API server's authority, in PEM.
    pub root_ca: Option<String>,
}

impl Controller for AccountTokenController {
    fn name(&self) -> &'static str {
        "serviceaccount-token-controller"
    }

    fn account(&self) -> Option<&'static str> {
        None
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Secret, Kind::ServiceAccount]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Secret(delta) if delta.newest().token.is_some() => wake.key(&delta.newest().header().key),
            Change::ServiceAccount(delta) => {
                let account = delta.newest().header();
                let kept = world.secrets.namespace(account.namespace()).filter(|secret| account_of(secret) == Some(account.name()));
                kept.for_each(|secret| wake.key(&secret.header().key));
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(row) = world.secrets.get(key).filter(|row| !row.header().is_terminating()) else { return plan };
        let (Some(secret), Some(account)) = (&row.token, account_of(row)) else { return plan };
        let Some(found) = world.service_accounts.find(&key.namespace, account) else {
            // The account may be younger than this world: the server is asked.
            let missing = Guard::Missing(resource_of::<ServiceAccount>(), Key::new(key.namespace.clone(), account));
            plan.write(Write::delete(&**row).guarded(missing));
            return plan;
        };
        let uid = &*found.header().uid;
        if annotation(secret, ACCOUNT_UID).is_some_and(|known| known != uid) {
            // It was the token of another account of that name.
            plan.write(Write::delete(&**row));
        } else if let Some(filled) = self.fill(secret, key, account, uid) {
            plan.write(Write::update(filled));
        }
        plan
    }
}

impl AccountTokenController {
    /// The secret with what it lacks. None: nothing.
    fn fill(&self, secret: &Secret, key: &Key, account: &str, uid: &str) -> Option<Secret> {
        let mut filled = secret.clone();
        let data = filled.data.get_or_insert_default();
        let lacks =
            |data: &std::collections::BTreeMap<String, ByteString>, name: &str| data.get(name).is_none_or(|value| value.0.is_empty());
        if let Some(bundle) = self.root_ca.as_ref().filter(|_| lacks(data, "ca.crt")) {
            data.insert("ca.crt".to_owned(), ByteString(bundle.clone().into_bytes()));
        }
        if lacks(data, "namespace") {
            data.insert("namespace".to_owned(), ByteString(key.namespace.as_bytes().to_vec()));
        }
        if lacks(data, "token") {
            let claims = json!({
                "iss": "kubernetes/serviceaccount",
                "kubernetes.io/serviceaccount/namespace": key.namespace,
                "kubernetes.io/serviceaccount/secret.name": key.name,
                "kubernetes.io/serviceaccount/service-account.name": account,
                "kubernetes.io/serviceaccount/service-account.uid": uid,
                "sub": format!("system:serviceaccount:{}:{account}", key.namespace),
            });
            // A key that fails to sign now is tried again when something changes.
            data.insert("token".to_owned(), ByteString(jwt::sign(&self.key, &claims).ok()?.into_bytes()));
        }
        filled.metadata.annotations.get_or_insert_default().entry(ACCOUNT_UID.to_owned()).or_insert_with(|| uid.to_owned());
        (filled != *secret).then_some(filled)
    }
}

fn account_of(row: &SecretRow) -> Option<&str> {
    annotation(row.token.as_deref()?, ACCOUNT_NAME).filter(|name| !name.is_empty())
}

fn annotation<'s>(secret: &'s Secret, name: &str) -> Option<&'s str> {
    secret.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::laws::{Scenario, check};

    #[test]
    fn a_secret_has_its_accounts_token_as_long_as_there_is_the_account() {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let key = Arc::new(SigningKey::from_pem(&pem).unwrap());
        let controller = AccountTokenController { key: key.clone(), root_ca: Some("certificate".to_owned()) };
        let secret = |name: &str, account: &str| {
            let annotations = json!({ACCOUNT_NAME: account});
            let metadata = json!({"name": name, "annotations": annotations});
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"})
        };
        let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        // Signatures differ each time; the law of the same end is put to what does not.
        let made = json!({"token": "dG9rZW4="});
        let mut given = secret("given", "robot");
        given["data"] = made;
        let server = check(&Scenario {
            controllers: &[&controller],
            phases: &[
                &|s| s.create(account("robot")),
                &|s| s.create(account("gone")),
                &|s| s.create(given.clone()),
                &|s| s.create(secret("orphan", "nobody")),
                &|s| s.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}, "type": "Opaque"})),
            ],
            ..Scenario::default()
        });
        let kept = server.get("secrets", "default", "given").unwrap();
        let data: Vec<&String> = kept["data"].as_object().unwrap().keys().collect();
        assert_eq!(data, ["ca.crt", "namespace", "token"]);
        assert!(kept["metadata"]["annotations"][ACCOUNT_UID].is_string());
        assert!(server.get("secrets", "default", "orphan").is_none() && server.get("secrets", "default", "other").is_some());

        let empty: Secret = serde_json::from_value(secret("s", "robot")).unwrap();
        let filled = controller.fill(&empty, &Key::new("default", "s"), "robot", "u").unwrap();
        let token = String::from_utf8(filled.data.unwrap()["token"].0.clone()).unwrap();
        let claims: Value = jwt::verify(&token, &[key.verifier()]).unwrap();
        assert_eq!(claims["sub"], "system:serviceaccount:default:robot");
        assert_eq!(claims["kubernetes.io/serviceaccount/service-account.uid"], "u");
    }
}
