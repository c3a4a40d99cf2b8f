//! [`SecretRow`]: a secret's metadata, and the whole of it where it keeps a service account's token. Nobody else's secrets
//! are held in memory here.

use k8s_openapi::api::core::v1::Secret;

use super::row::{Header, Interner, Row};

/// The type of secrets that keep tokens of service accounts.
pub const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";

pub struct SecretRow {
    header: Header,
    /// Kept for secrets of [`TOKEN_TYPE`], without managed fields.
    pub token: Option<Box<Secret>>,
}

impl Row for SecretRow {
    type Source = Secret;

    fn project(source: &Secret, intern: &Interner) -> Self {
        let token = (source.type_.as_deref() == Some(TOKEN_TYPE)).then(|| {
            let mut whole = source.clone();
            whole.metadata.managed_fields = None;
            Box::new(whole)
        });
        Self { header: Header::of(&source.metadata, intern), token }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}
