//! Tokens of service accounts: made for the `token` subresource, and recognized when they are borne.
//!
//! A token is as good as what it is bound to: its account, and the pod, secret or node that it names, must still be there
//! with the same uid. That is looked up in the logs at each use, so that a token ends with its object.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::strategy::UserInfo;
use hashbrown::HashMap;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use parking_lot::Mutex;
use runtime::jwt::{self, KeyError, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::authenticate::{AUTHENTICATED, CREDENTIAL_ID, Identified, KeptToken, Refused, Remarks, hash};
use super::token_tracking::{self, INVALID_SINCE, LAST_USED};
use crate::admission::World;

/// The issuer of clusters whose operators name none.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc";
/// The issuer that tokens kept in secrets name.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// A token outlives what it is bound to by so much, for clocks that differ.
const LEEWAY_SECONDS: i64 = 60;
/// So many tokens are known by their digest, whose signature need not be verified again.
const MOST_KNOWN: usize = 2048;
/// Kubelets ask for tokens of this lifetime for pods whose clients may not know that tokens expire.
const EXTENDABLE_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// What an operator decides about service account tokens.
#[derive(Default)]
pub struct Settings {
    /// The first one is named in new tokens; all are taken.
    pub issuers: Vec<String>,
    /// PEM. Without it no tokens are made.
    pub signing_key: Option<String>,
    /// PEM; more keys whose tokens are taken.
    pub keys: Vec<String>,
    /// Whom tokens are for where a request does not say; the issuers if empty.
    pub audiences: Vec<String>,
    pub longest: Option<Duration>,
    /// Whether tokens for pods live for a year, though what pods are told is an hour.
    pub extend: bool,
    /// Where the key set is found, if not at this server.
    pub jwks_uri: Option<String>,
}

/// Makes tokens and recognizes them.
pub struct ServiceAccounts {
    issuers: Vec<String>,
    audiences: Vec<String>,
    signing: Option<SigningKey>,
    keys: Vec<VerifyingKey>,
    longest: Option<Duration>,
    extend: bool,
    jwks_uri: Option<String>,
    /// Claims whose signatures have been verified, by the token's digest.
    known: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

/// What a token says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Claims {
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub aud: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    iss: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(default, rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Bindings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(default)]
    sub: String,
    #[serde(flatten)]
    legacy: Legacy,
}

/// What a token is bound to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Bindings {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Reference {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claims of tokens that are kept in secrets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Legacy {
    #[serde(default, rename = "kubernetes.io/serviceaccount/namespace", skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/secret.name", skip_serializing_if = "String::is_empty")]
    secret: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.name", skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.uid", skip_serializing_if = "String::is_empty")]
    uid: String,
}

/// A token that was made.
pub struct Issued {
    pub token: String,
    /// The claim that tells it from others.
    pub id: String,
    /// When its bearer should have asked for another.
    pub expires: Timestamp,
}

impl fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccounts").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    /// # Errors
    /// Keys that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, KeyError> {
        let Settings { mut issuers, signing_key, keys, mut audiences, longest, extend, jwks_uri } = settings;
        if issuers.is_empty() {
            issuers.push(DEFAULT_ISSUER.to_owned());
        }
        if audiences.is_empty() {
            audiences.clone_from(&issuers);
        }
        let signing = signing_key.map(|pem| SigningKey::from_pem(&pem)).transpose()?;
        let mut all: Vec<VerifyingKey> = signing.iter().map(SigningKey::verifier).collect();
        for pem in &keys {
            for key in jwt::verifying_keys(pem)? {
                if !all.contains(&key) {
                    all.push(key);
                }
            }
        }
        Ok(Self { issuers, audiences, signing, keys: all, longest, extend, jwks_uri, known: Mutex::default() })
    }

    /// Whom tokens are for where nobody says.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whether tokens are made here.
    pub fn issues(&self) -> bool {
        self.signing.is_some()
    }

    /// Makes a token that lives for `seconds`.
    ///
    /// # Errors
    /// No key to sign with, or one that fails.
    pub fn issue(&self, mut bindings: Bindings, audiences: &[String], seconds: i64, now: Timestamp) -> Result<Issued, KeyError> {
        let signing = self.signing.as_ref().ok_or(KeyError::Sign)?;
        let seconds = self.longest.map_or(seconds, |longest| seconds.min(i64::try_from(longest.as_secs()).unwrap_or(i64::MAX)));
        let at = now.as_second();
        let mut lives = seconds;
        let is_for_this_server = audiences.iter().all(|audience| self.audiences.contains(audience));
        if self.extend && seconds == EXTENDABLE_SECONDS && bindings.pod.is_some() && is_for_this_server {
            bindings.warnafter = Some(at + seconds);
            lives = EXTENDED_SECONDS;
        }
        let id = uuid::Uuid::new_v4().to_string();
        let claims = Claims {
            aud: audiences.to_vec(),
            exp: Some(at + lives),
            iat: Some(at),
            iss: self.issuers.first().cloned().unwrap_or_default(),
            jti: Some(id.clone()),
            nbf: Some(at),
            sub: super::service_account_user(&bindings.namespace, &bindings.serviceaccount.name),
            kubernetes: Some(bindings),
            legacy: Legacy::default(),
        };
        let token = jwt::sign(signing, &claims)?;
        Ok(Issued { token, id, expires: Timestamp::from_second(at + seconds).unwrap_or(now) })
    }

    /// Who bears a token. `audiences`: whom it may be for; empty: this server.
    pub fn authenticate(&self, world: &World, token: &str, audiences: &[String], now: Timestamp) -> Result<Identified, Refused> {
        let claims = self.verified(token)?;
        let at = now.as_second();
        if claims.exp.is_some_and(|expires| at > expires + LEEWAY_SECONDS) {
            return Err(Refused::Because("the token has expired".into()));
        }
        if claims.nbf.is_some_and(|begins| at < begins - LEEWAY_SECONDS) {
            return Err(Refused::Because("the token is not valid yet".into()));
        }
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        // Tokens kept in secrets are for this server.
        let given = if claims.iss == LEGACY_ISSUER { &self.audiences } else { &claims.aud };
        let audiences: Vec<String> = wanted.iter().filter(|audience| given.contains(audience)).cloned().collect();
        if audiences.is_empty() {
            return Err(Refused::Because(format!("the token is for {given:?}, not for {wanted:?}")));
        }
        let (user, remarks) = match &claims.kubernetes {
            Some(bindings) => (bound_user(world, &claims, bindings, now)?, stale(&claims, bindings, now)),
            None => legacy_user(world, &claims.legacy, token, now)?,
        };
        Ok(Identified { user: Arc::new(user), audiences, remarks })
    }

    /// The claims of a token that one of the keys has signed.
    fn verified(&self, token: &str) -> Result<Arc<Claims>, Refused> {
        let digest = hash(token);
        if let Some(claims) = self.known.lock().get(&digest) {
            return Ok(claims.clone());
        }
        let peeked: Claims = jwt::peek(token).map_err(|_| Refused::Unknown)?;
        if peeked.iss != LEGACY_ISSUER && !self.issuers.contains(&peeked.iss) {
            return Err(Refused::Unknown);
        }
        let claims: Claims =
            jwt::verify(token, &self.keys).map_err(|refusal| Refused::Because(format!("the token is refused: {refusal}")))?;
        // What is not legacy says how long it lives and what it is bound to.
        let complete =
            if claims.iss == LEGACY_ISSUER { claims.kubernetes.is_none() } else { claims.exp.is_some() && claims.kubernetes.is_some() };
        if !complete {
            return Err(Refused::Because("the token lacks claims".into()));
        }
        let claims = Arc::new(claims);
        let mut known = self.known.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest, claims.clone());
        Ok(claims)
    }

    /// The OpenID provider's document. None: the issuer is not one that clients could ask.
    pub fn discovery(&self, advertised: &str) -> Option<Value> {
        let issuer = self.issuers.first().filter(|issuer| issuer.starts_with("https://"))?;
        let uri = self.jwks_uri.clone().unwrap_or_else(|| format!("https://{advertised}/openid/v1/jwks"));
        let mut algorithms: Vec<&str> = self.keys.iter().map(|key| key.algorithm().name()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        Some(json!({
            "issuer": issuer,
            "jwks_uri": uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }))
    }

    /// The keys whose signatures are taken.
    pub fn key_set(&self) -> Value {
        json!({"keys": self.keys.iter().map(VerifyingKey::jwk).collect::<Vec<_>>()})
    }
}

fn bound_user(world: &World, claims: &Claims, bindings: &Bindings, now: Timestamp) -> Result<UserInfo, Refused> {
    let namespace = bindings.namespace.as_str();
    alive(world, "serviceaccounts", namespace, &bindings.serviceaccount, now)?;
    if let Some(secret) = &bindings.secret {
        alive(world, "secrets", namespace, secret, now)?;
    }
    let mut user = account_user(namespace, &bindings.serviceaccount);
    let mut tell = |key: &str, value: &str| {
        user.extra.insert(key.to_owned(), vec![value.to_owned()]);
    };
    if let Some(id) = &claims.jti {
        tell(CREDENTIAL_ID, &format!("JTI={id}"));
    }
    if let Some(pod) = &bindings.pod {
        alive(world, "pods", namespace, pod, now)?;
        tell("authentication.kubernetes.io/pod-name", &pod.name);
        tell("authentication.kubernetes.io/pod-uid", &pod.uid);
    }
    if let Some(node) = &bindings.node {
        // The node of a pod's token is told, not required: the pod ends with it.
        if bindings.pod.is_none() {
            alive(world, "nodes", "", node, now)?;
        }
        tell("authentication.kubernetes.io/node-name", &node.name);
        if !node.uid.is_empty() {
            tell("authentication.kubernetes.io/node-uid", &node.uid);
        }
    }
    Ok(user)
}

/// A token that lives on for clients that have not read the one after it is told of.
fn stale(claims: &Claims, bindings: &Bindings, now: Timestamp) -> Remarks {
    let late = bindings.warnafter.map(|warned| now.as_second() - warned).filter(|late| *late > 0);
    let note = |late| ("authentication.k8s.io/stale-token", format!("subject: {}, seconds after warning threshold: {late}", claims.sub));
    Remarks { note: late.map(note), ..Remarks::default() }
}

fn legacy_user(world: &World, claims: &Legacy, token: &str, now: Timestamp) -> Result<(UserInfo, Remarks), Refused> {
    let account = Reference { name: claims.account.clone(), uid: claims.uid.clone() };
    alive(world, "serviceaccounts", &claims.namespace, &account, now)?;
    let secret: Option<Secret> = world.object("", "secrets", &claims.namespace, &claims.secret);
    let secret = secret.ok_or_else(|| Refused::Absent(format!("the secret {} is gone", claims.secret)))?;
    let kept = secret.data.as_ref().and_then(|data| data.get("token"));
    if kept.is_none_or(|kept| kept.0 != token.as_bytes()) || secret.metadata.deletion_timestamp.is_some() {
        return Err(Refused::Because(format!("the secret {} does not hold this token", claims.secret)));
    }
    let mut remarks = Remarks { kept: unrecorded(&secret, now), ..Remarks::default() };
    let label = |key: &str| secret.metadata.labels.as_ref().and_then(|labels| labels.get(key)).filter(|value| !value.is_empty());
    if label(INVALID_SINCE).is_some() {
        remarks.note = Some(("authentication.k8s.io/legacy-token-invalidated", format!("{}/{}", claims.secret, claims.namespace)));
        let why = format!("the token in the secret {} has been marked as invalid by its label {INVALID_SINCE}", claims.secret);
        return Err(Refused::Invalidated(why, Box::new(remarks)));
    }
    let owner: Option<ServiceAccount> = world.object("", "serviceaccounts", &claims.namespace, &account.name);
    let is_made_for_it =
        owner.is_some_and(|owner| owner.secrets.iter().flatten().any(|named| named.name.as_deref() == Some(&claims.secret)));
    remarks.note = Some(if is_made_for_it {
        remarks.warning = Some(
            "tokens that are kept in secrets which are made by themselves go away; use the TokenRequest API, or make the secret yourself",
        );
        ("authentication.k8s.io/legacy-token-autogenerated-secret", claims.secret.clone())
    } else {
        ("authentication.k8s.io/legacy-token-manual-secret", claims.secret.clone())
    });
    Ok((account_user(&claims.namespace, &account), remarks))
}

/// The secret, unless it is written down that its token was used today.
fn unrecorded(secret: &Secret, now: Timestamp) -> Option<KeptToken> {
    let last = secret.metadata.labels.as_ref().and_then(|labels| labels.get(LAST_USED));
    // A server whose clock is ahead may have been faster.
    let days = [now, now + SignedDuration::from_hours(24)].map(token_tracking::day);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let kept =
        || KeptToken { namespace: text(&secret.metadata.namespace), name: text(&secret.metadata.name), uid: text(&secret.metadata.uid) };
    last.is_none_or(|last| !days.contains(last)).then(kept)
}

fn account_user(namespace: &str, account: &Reference) -> UserInfo {
    UserInfo {
        name: super::service_account_user(namespace, &account.name),
        uid: account.uid.clone(),
        groups: super::service_account_groups(namespace).into_iter().chain([AUTHENTICATED.to_owned()]).collect(),
        ..UserInfo::default()
    }
}

/// Whether an object is there, with this uid, and not going.
fn alive(world: &World, plural: &'static str, namespace: &str, reference: &Reference, now: Timestamp) -> Result<(), Refused> {
    let Some(entry) = world.get("", plural, namespace, &reference.name) else {
        return Err(Refused::Absent(format!("{plural} {namespace}/{} is gone", reference.name)));
    };
    let (uid, deleted) = entry.identity();
    if uid != reference.uid {
        // It may be that the log has not yet seen the object that came after.
        return Err(Refused::Absent(format!("{plural} {namespace}/{} is not the one that the token is bound to", reference.name)));
    }
    if deleted.is_some_and(|at| at.as_second() < now.as_second() - LEEWAY_SECONDS) {
        return Err(Refused::Because(format!("{plural} {namespace}/{} has been deleted", reference.name)));
    }
    Ok(())
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}
