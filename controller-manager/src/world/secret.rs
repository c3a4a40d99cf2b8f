//! [`SecretRow`]: a secret's metadata, and the whole of it where it keeps a service account's token. Nobody else's secrets
//! are held in memory here.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::row::{Header, Interner, Row};

/// The type of secrets that keep tokens of service accounts.
pub const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";

/// The type of secrets that let new nodes in.
const BOOTSTRAP_TYPE: &str = "bootstrap.kubernetes.io/token";

pub struct SecretRow {
    header: Header,
    /// Kept for secrets of [`TOKEN_TYPE`], without managed fields.
    pub token: Option<Box<Secret>>,
    /// Until when the bootstrap token that it keeps is good, if it ends. A time that does not read is long past.
    pub expires: Option<Timestamp>,
}

fn expiry(secret: &Secret) -> Option<Timestamp> {
    let time = secret.data.as_ref()?.get("expiration").filter(|_| secret.type_.as_deref() == Some(BOOTSTRAP_TYPE))?;
    (!time.0.is_empty()).then(|| std::str::from_utf8(&time.0).ok().and_then(|time| time.parse().ok()).unwrap_or(Timestamp::MIN))
}

impl Row for SecretRow {
    type Source = Secret;

    fn project(source: &Secret, intern: &Interner) -> Self {
        let token = (source.type_.as_deref() == Some(TOKEN_TYPE)).then(|| {
            let mut whole = source.clone();
            whole.metadata.managed_fields = None;
            Box::new(whole)
        });
        Self { header: Header::of(&source.metadata, intern), token, expires: expiry(source) }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}
