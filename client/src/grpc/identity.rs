//! Who calls: what the connection itself says (a client certificate, or nothing), a token, or a service account whose
//! token is asked for when it is first needed, and again before it expires.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use machinery::{GroupVersionResource, NamespacedName, Status};
use runtime::kubeconfig::Connection;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use super::{ConnectError, Grpc, connect};
use crate::transport::{Body, Payload, Result, Target, Transport, WriteOptions};

/// How long a token is asked for. It is renewed after four fifths of the time that it was given.
const TOKEN_SECONDS: i64 = 3600;

#[derive(Clone)]
pub(super) enum Identity {
    Connection,
    Token(MetadataValue<Ascii>),
    Account(Arc<Account>),
}

impl Identity {
    /// The value of the `authorization` header, if there is to be one.
    pub(super) async fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>> {
        match self {
            Self::Connection => Ok(None),
            Self::Token(token) => Ok(Some(token.clone())),
            Self::Account(account) => account.token().await.map(Some),
        }
    }

    /// The server does not know the caller: an account's token may be one of an account that was since made anew.
    pub(super) fn refused(&self) {
        if let Self::Account(account) = self
            && let Ok(mut token) = account.token.try_lock()
        {
            *token = None;
        }
    }
}

/// `Bearer <token>`, kept out of logs. None: the token holds characters that cannot be sent.
pub(super) fn bearer(token: &str) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The service accounts of a namespace, as callers. They share one connection, which says nothing of who calls.
pub struct Accounts {
    nobody: Grpc,
    own: Arc<dyn Transport>,
    namespace: String,
}

impl Accounts {
    /// `own` is the way of somebody who may make service accounts in the namespace, and tokens for them.
    ///
    /// # Errors
    /// A server or certificates that cannot be used.
    pub fn connect(
        connection: &Connection,
        user_agent: &str,
        own: Arc<dyn Transport>,
        namespace: impl Into<String>,
    ) -> std::result::Result<Self, ConnectError> {
        let nobody = Connection { identity: None, token: None, ..connection.clone() };
        Ok(Self { nobody: connect(&nobody, user_agent)?, own, namespace: namespace.into() })
    }

    /// The way of one account. It is made when it first calls, if there is none.
    pub fn account(&self, name: &str) -> Grpc {
        let key = NamespacedName::new(self.namespace.as_str(), name);
        let account = Account { own: self.own.clone(), key, token: Mutex::new(None) };
        Grpc { identity: Identity::Account(Arc::new(account)), ..self.nobody.clone() }
    }
}

pub(super) struct Account {
    own: Arc<dyn Transport>,
    key: NamespacedName,
    token: Mutex<Option<Token>>,
}

struct Token {
    value: MetadataValue<Ascii>,
    renew: Instant,
}

impl Account {
    async fn token(&self) -> Result<MetadataValue<Ascii>> {
        // Who comes meanwhile waits for the same token.
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| Instant::now() < token.renew) {
            return Ok(token.value.clone());
        }
        let token = match self.request().await {
            Err(status) if status.is_not_found() => {
                self.make().await?;
                self.request().await?
            }
            answered => answered?,
        };
        let value = token.value.clone();
        *kept = Some(token);
        Ok(value)
    }

    fn target(&self, name: &str, subresource: Option<&'static str>) -> Target {
        let resource = GroupVersionResource::new("", "v1", "serviceaccounts");
        Target { resource, subresource, namespace: self.key.namespace.to_string(), name: name.to_owned() }
    }

    async fn create(&self, target: Target, body: serde_json::Value) -> Result<Payload> {
        self.own.create(target, Body::Json(Bytes::from(body.to_string())), WriteOptions::default()).await
    }

    async fn request(&self) -> Result<Token> {
        #[derive(Deserialize)]
        struct Answer {
            status: Granted,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Granted {
            token: String,
            expiration_timestamp: Timestamp,
        }
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": TOKEN_SECONDS},
        });
        let answer = self.create(self.target(&self.key.name, Some("token")), body).await?;
        let json = answer.json.ok_or_else(|| Status::internal("a token request without an answer"))?;
        let Answer { status } = serde_json::from_slice(&json).map_err(|error| Status::internal(error.to_string()))?;
        let value = bearer(&status.token).ok_or_else(|| Status::internal("a token that cannot be sent"))?;
        let lives = u64::try_from(status.expiration_timestamp.as_second() - Timestamp::now().as_second()).unwrap_or(0);
        Ok(Token { value, renew: Instant::now() + Duration::from_secs(lives) * 4 / 5 })
    }

    async fn make(&self) -> Result<()> {
        let metadata = json!({"name": &*self.key.name, "namespace": &*self.key.namespace});
        let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        match self.create(self.target("", None), body).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(()),
        }
    }
}
