//! Authentication: a verified client certificate, a static bearer token, or nobody (`system:anonymous`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use api::strategy::UserInfo;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use machinery::{Status, status};
use x509_parser::prelude::{FromDer, X509Certificate};

const AUTHENTICATED: &str = "system:authenticated";

/// The identity that a connection's verified client certificate names.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Arc<UserInfo>);

/// Why a token file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("cannot read the token file {path}")]
    Read { path: String, source: std::io::Error },
    /// Lines are `token,user,uid` with an optional quoted list of groups.
    #[error("{path}, line {line}: expected token,user,uid[,\"group,group\"]")]
    Line { path: String, line: usize },
}

impl PeerCertificate {
    /// Reads a certificate that the TLS layer has verified: the common name is the user, organizations are groups.
    /// None if it names no user.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        if name.is_empty() {
            return None;
        }
        let mut groups: Vec<String> = subject.iter_organization().filter_map(|o| o.as_str().ok().map(str::to_owned)).collect();
        groups.push(AUTHENTICATED.to_owned());
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, der);
        let mut extra = std::collections::BTreeMap::new();
        let hex: String = fingerprint.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={hex}")]);
        Some(Self(Arc::new(UserInfo { name, uid: String::new(), groups, extra })))
    }
}

/// Tells who calls.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// By the token's SHA-256, so that a lookup's time says nothing about a token.
    tokens: HashMap<[u8; 32], Arc<UserInfo>>,
    anonymous: bool,
}

fn hash(token: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

impl Authenticator {
    pub fn new(anonymous: bool) -> Self {
        Self { tokens: HashMap::new(), anonymous }
    }

    /// Adds a static token.
    pub fn add_token(&mut self, token: &str, name: &str, uid: &str, groups: &[&str]) {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        groups.push(AUTHENTICATED.to_owned());
        let user = UserInfo { name: name.to_owned(), uid: uid.to_owned(), groups, ..UserInfo::default() };
        self.tokens.insert(hash(token), Arc::new(user));
    }

    /// Adds the tokens of a `--token-auth-file`: lines of `token,user,uid,"group1,group2"`.
    pub fn add_token_file(&mut self, path: &Path) -> Result<(), TokenFileError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| TokenFileError::Read { path: shown.clone(), source })?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || TokenFileError::Line { path: shown.clone(), line: index + 1 };
            let mut fields = line.splitn(4, ',').map(str::trim);
            let (Some(token), Some(user), Some(uid)) = (fields.next(), fields.next(), fields.next()) else { return Err(wrong()) };
            if token.is_empty() || user.is_empty() {
                return Err(wrong());
            }
            let groups: Vec<&str> = fields
                .next()
                .map(|g| g.trim_matches('"').split(',').map(str::trim).filter(|g| !g.is_empty()).collect())
                .unwrap_or_default();
            self.add_token(token, user, uid, &groups);
        }
        Ok(())
    }

    /// The caller of a request. A bearer token that is wrong is refused even where a certificate is right:
    /// the client meant to be somebody else.
    pub fn authenticate(&self, peer: Option<&PeerCertificate>, headers: &HeaderMap) -> status::Result<Arc<UserInfo>> {
        if let Some(value) = headers.get(AUTHORIZATION)
            && let Some(token) = value.to_str().ok().and_then(bearer)
        {
            return self.tokens.get(&hash(token)).cloned().ok_or_else(Status::unauthorized);
        }
        if let Some(peer) = peer {
            return Ok(peer.0.clone());
        }
        if self.anonymous {
            return Ok(Arc::new(UserInfo {
                name: "system:anonymous".to_owned(),
                groups: vec!["system:unauthenticated".to_owned()],
                ..UserInfo::default()
            }));
        }
        Err(Status::unauthorized())
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with_token(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers
    }

    #[test]
    fn reads_token_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# comment\nabc,ann,1,\"ops, dev\"\n\nxyz,bob,2\n").unwrap();
        let mut authenticator = Authenticator::new(false);
        authenticator.add_token_file(file.path()).unwrap();
        let ann = authenticator.authenticate(None, &with_token("abc")).unwrap();
        assert_eq!((ann.name.as_str(), ann.groups.join(" ")), ("ann", "ops dev system:authenticated".to_owned()));
        assert_eq!(authenticator.authenticate(None, &with_token("xyz")).unwrap().uid, "2");
        assert_eq!(authenticator.authenticate(None, &with_token("no")).unwrap_err().code, 401);
        assert_eq!(authenticator.authenticate(None, &HeaderMap::new()).unwrap_err().code, 401);
        std::fs::write(file.path(), "only-a-token\n").unwrap();
        assert!(matches!(authenticator.add_token_file(file.path()), Err(TokenFileError::Line { line: 1, .. })));
    }

    #[test]
    fn a_wrong_token_is_not_rescued_by_a_certificate() {
        let authenticator = Authenticator::new(true);
        let peer = PeerCertificate(Arc::new(UserInfo { name: "ann".into(), ..UserInfo::default() }));
        assert_eq!(authenticator.authenticate(Some(&peer), &with_token("no")).unwrap_err().code, 401);
        assert_eq!(authenticator.authenticate(Some(&peer), &HeaderMap::new()).unwrap().name, "ann");
        assert_eq!(authenticator.authenticate(None, &HeaderMap::new()).unwrap().name, "system:anonymous");
    }
}
