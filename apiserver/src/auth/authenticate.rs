//! Authentication: a bearer token (static, a bootstrapper's, a service account's), a client certificate, or nobody
//! (`system:anonymous`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use api::strategy::UserInfo;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use machinery::{Status, status};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::bootstrap_tokens;
use super::front_proxy::FrontProxies;
use super::service_accounts::ServiceAccounts;
use crate::admission::World;
use crate::server::ApiServer;

pub(super) const AUTHENTICATED: &str = "system:authenticated";
/// Tells the one credential of a user from others, in audits.
pub(super) const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The client certificate of a connection. The TLS layer has seen that the client holds its key; whether an authority
/// of this cluster stands behind it is for [`Authenticator`] to say.
#[derive(Clone, Debug)]
pub enum PeerCertificate {
    Trusted {
        user: Arc<UserInfo>,
        /// Seconds since the epoch.
        expires: i64,
    },
    /// Of the authority of proxies, which say in headers for whom they ask.
    Proxy {
        name: String,
        expires: i64,
        /// What the certificate is to the authority of clients.
        otherwise: Box<PeerCertificate>,
    },
    /// Of another authority, expired, not for clients, or without a name.
    Refused,
}

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
    /// Reads a certificate that has been verified: the common name is the user, organizations are groups.
    pub fn from_der(der: &[u8]) -> Self {
        Self::read(der).unwrap_or(Self::Refused)
    }

    /// Reads a certificate that the authority of proxies stands behind; `otherwise`: what it is as a client's.
    pub fn of_proxy(der: &[u8], otherwise: Self) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return otherwise };
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned();
        Self::Proxy { name, expires: certificate.validity().not_after.timestamp(), otherwise: Box::new(otherwise) }
    }

    fn read(der: &[u8]) -> Option<Self> {
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
        extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={hex}")]);
        let user = Arc::new(UserInfo { name, uid: String::new(), groups, extra });
        Some(Self::Trusted { user, expires: certificate.validity().not_after.timestamp() })
    }
}

/// Somebody who is known, and whom among those that were asked for the proof was meant for.
#[derive(Clone, Debug)]
pub struct Identified {
    pub user: Arc<UserInfo>,
    pub audiences: Vec<String>,
    pub remarks: Remarks,
}

/// What there is to tell of a proof besides whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// For the client.
    pub warning: Option<&'static str>,
    /// For the audit log: a key and a value.
    pub note: Option<(&'static str, String)>,
    /// The token is kept in this secret, on which its use is to be written down.
    pub kept: Option<KeptToken>,
}

/// A secret that holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// Why a token makes nobody known. The caller is not told; reviewers of tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is of no kind that is known here.
    Unknown,
    Because(String),
    /// It was good once.
    Invalidated(String, Box<Remarks>),
    /// Something that it depends on is not in the logs, which may be a moment behind.
    Absent(String),
}

/// Tells who calls.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// By the token's SHA-256, so that a lookup's time says nothing about a token.
    tokens: HashMap<[u8; 32], Arc<UserInfo>>,
    anonymous: bool,
    bootstrap_tokens: bool,
    service_accounts: Option<ServiceAccounts>,
    front_proxies: Option<FrontProxies>,
}

pub(super) fn hash(token: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

impl Authenticator {
    pub fn new(anonymous: bool) -> Self {
        Self { anonymous, ..Self::default() }
    }

    /// Takes tokens that are kept as secrets for new nodes.
    pub fn with_bootstrap_tokens(mut self) -> Self {
        self.bootstrap_tokens = true;
        self
    }

    /// Believes proxies whom they ask for.
    pub fn with_front_proxies(mut self, proxies: FrontProxies) -> Self {
        self.front_proxies = Some(proxies);
        self
    }

    /// Makes and takes tokens of service accounts.
    pub fn with_service_accounts(mut self, service_accounts: ServiceAccounts) -> Self {
        self.service_accounts = Some(service_accounts);
        self
    }

    pub fn service_accounts(&self) -> Option<&ServiceAccounts> {
        self.service_accounts.as_ref()
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
            // A list that is there and empty is a group without a name, as upstream has it.
            let groups: Vec<&str> = fields.next().map(|g| g.trim_matches('"').split(',').map(str::trim).collect()).unwrap_or_default();
            self.add_token(token, user, uid, &groups);
        }
        Ok(())
    }

    /// Who bears a token that is for one of `audiences`; empty: for this server.
    pub fn token(&self, world: &World, token: &str, audiences: &[String]) -> Result<Identified, Refused> {
        let now = Timestamp::now();
        if let Some(user) = self.tokens.get(&hash(token)) {
            return self.for_this_server(user.clone(), audiences);
        }
        if self.bootstrap_tokens {
            match bootstrap_tokens::authenticate(world, token, now) {
                Err(Refused::Unknown) => {}
                found => return self.for_this_server(found?, audiences),
            }
        }
        self.service_accounts.as_ref().ok_or(Refused::Unknown)?.authenticate(world, token, audiences, now)
    }

    /// A token that says nothing about its audience is meant for this server; for others, it is nobody's.
    fn for_this_server(&self, user: Arc<UserInfo>, audiences: &[String]) -> Result<Identified, Refused> {
        let own = self.service_accounts.as_ref().map(ServiceAccounts::audiences).unwrap_or_default();
        let meant: Vec<String> = own.iter().filter(|one| audiences.is_empty() || audiences.contains(one)).cloned().collect();
        if meant.is_empty() && !audiences.is_empty() {
            return Err(Refused::Unknown);
        }
        Ok(Identified { user, audiences: meant, remarks: Remarks::default() })
    }

    /// For whom a proxy asks, if the connection is a proxy's.
    fn fronted(&self, peer: Option<&PeerCertificate>, headers: &HeaderMap) -> Option<Arc<UserInfo>> {
        let Some(PeerCertificate::Proxy { name, expires, .. }) = peer else { return None };
        self.front_proxies.as_ref().filter(|_| *expires >= Timestamp::now().as_second())?.user(name, headers)
    }

    /// The caller of a request without a token.
    pub fn connection(&self, peer: Option<&PeerCertificate>) -> status::Result<Arc<UserInfo>> {
        match peer {
            Some(PeerCertificate::Proxy { otherwise, .. }) => self.connection(Some(otherwise)),
            Some(PeerCertificate::Trusted { user, expires }) if *expires >= Timestamp::now().as_second() => Ok(user.clone()),
            Some(_) => Err(Status::unauthorized()),
            None if self.anonymous => Ok(ANONYMOUS.clone()),
            None => Err(Status::unauthorized()),
        }
    }
}

static ANONYMOUS: LazyLock<Arc<UserInfo>> = LazyLock::new(|| {
    let groups = vec!["system:unauthenticated".to_owned()];
    Arc::new(UserInfo { name: "system:anonymous".to_owned(), groups, ..UserInfo::default() })
});

impl ApiServer {
    /// Who bears a token, also where what it depends on was made a moment ago.
    pub async fn identify(&self, token: &str, audiences: &[String]) -> Result<Identified, Refused> {
        let found = match self.authenticator().token(self.world(), token, audiences) {
            Err(Refused::Absent(_)) if self.feed.catch_up().await.is_ok() => self.authenticator().token(self.world(), token, audiences),
            found => found,
        };
        let remarks = match &found {
            Ok(found) => Some(&found.remarks),
            Err(Refused::Invalidated(_, remarks)) => Some(&**remarks),
            Err(_) => None,
        };
        if let Some(kept) = remarks.and_then(|remarks| remarks.kept.as_ref()) {
            // Once a day: its future is not to make those of all requests larger.
            Box::pin(self.token_used(kept)).await;
        }
        found
    }

    /// The caller of a request: whom a proxy asks for, who made the connection by a certificate, or the bearer of a token, the
    /// first that is good; and what there is to tell of that, also where it is refused. Who shows a proof is nobody anonymous.
    pub async fn authenticate(&self, peer: Option<&PeerCertificate>, headers: &HeaderMap) -> (status::Result<Arc<UserInfo>>, Remarks) {
        let plain = |found| (found, Remarks { warning: warning(headers), ..Remarks::default() });
        if let Some(user) = self.authenticator().fronted(peer, headers) {
            return plain(Ok(user));
        }
        if peer.is_some()
            && let Ok(user) = self.authenticator().connection(peer)
        {
            return plain(Ok(user));
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map_or(Proof::Other, proof);
        let Proof::Bearer(token) = given else { return plain(self.authenticator().connection(peer)) };
        match self.identify(token, &[]).await {
            Ok(found) => (Ok(found.user), found.remarks),
            Err(refused) => {
                tracing::debug!(?refused, "a token was refused");
                match refused {
                    Refused::Invalidated(_, remarks) => (Err(Status::unauthorized()), *remarks),
                    _ => plain(Err(Status::unauthorized())),
                }
            }
        }
    }
}

/// What an Authorization header says.
#[derive(Debug, PartialEq, Eq)]
enum Proof<'a> {
    Bearer(&'a str),
    /// The token stands behind more than one space. As upstream has it, that is no token, and the client is warned.
    Spaced,
    /// Nothing that is looked at here.
    Other,
}

fn proof(value: &str) -> Proof<'_> {
    let mut parts = value.trim().splitn(3, ' ');
    let is_bearer = parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
    match (parts.next().filter(|_| is_bearer), parts.next()) {
        (None, _) | (Some(""), None) => Proof::Other,
        (Some(""), Some(_)) => Proof::Spaced,
        // What follows the token is not looked at.
        (Some(token), _) => Proof::Bearer(token),
    }
}

/// What the client should know about its proofs.
fn warning(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    (proof(value) == Proof::Spaced)
        .then_some("the provided Authorization header contains extra space before the bearer token, and is ignored")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn user(authenticator: &Authenticator, token: &str) -> Option<Arc<UserInfo>> {
        authenticator.token(&World::default(), token, &[]).ok().map(|found| found.user)
    }

    #[test]
    fn reads_token_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# comment\nabc,ann,1,\"ops, dev\"\n\nxyz,bob,2\n").unwrap();
        let mut authenticator = Authenticator::new(false);
        authenticator.add_token_file(file.path()).unwrap();
        let ann = user(&authenticator, "abc").unwrap();
        assert_eq!((ann.name.as_str(), ann.groups.join(" ")), ("ann", "ops dev system:authenticated".to_owned()));
        assert_eq!(user(&authenticator, "xyz").unwrap().uid, "2");
        assert_eq!(user(&authenticator, "no"), None);
        assert_eq!(authenticator.connection(None).unwrap_err().code, 401);
        std::fs::write(file.path(), "only-a-token\n").unwrap();
        assert!(matches!(authenticator.add_token_file(file.path()), Err(TokenFileError::Line { line: 1, .. })));
    }

    #[test]
    fn a_proxy_that_names_nobody_is_who_its_certificate_says() {
        let names = FrontProxies { user_headers: vec!["x-remote-user".to_owned()], ..FrontProxies::default() };
        let authenticator = Authenticator::new(false).with_front_proxies(names);
        let proxy = |expires, otherwise| PeerCertificate::Proxy { name: "p".into(), expires, otherwise: Box::new(otherwise) };
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "ann".parse().unwrap());
        let good = proxy(i64::MAX, PeerCertificate::Refused);
        assert_eq!(authenticator.fronted(Some(&good), &headers).unwrap().name, "ann");
        assert!(authenticator.fronted(Some(&good), &HeaderMap::new()).is_none());
        assert!(authenticator.fronted(Some(&proxy(0, PeerCertificate::Refused)), &headers).is_none());
        assert!(authenticator.fronted(Some(&PeerCertificate::Refused), &headers).is_none());
        assert_eq!(authenticator.connection(Some(&good)).unwrap_err().code, 401);
        let own = PeerCertificate::Trusted { user: Arc::default(), expires: i64::MAX };
        assert!(authenticator.connection(Some(&proxy(i64::MAX, own))).is_ok());
    }

    #[test]
    fn tokens_stand_behind_one_space() {
        for (value, means) in [
            ("Bearer abc", Proof::Bearer("abc")),
            (" bearer abc ", Proof::Bearer("abc")),
            ("Bearer abc def", Proof::Bearer("abc")),
            ("Bearer  abc", Proof::Spaced),
            ("Bearer", Proof::Other),
            ("Bearer ", Proof::Other),
            ("Basic abc", Proof::Other),
            ("", Proof::Other),
        ] {
            assert_eq!(proof(value), means, "{value:?}");
        }
        let headers = HeaderMap::from_iter([(AUTHORIZATION, http::HeaderValue::from_static("Bearer  abc"))]);
        assert!(warning(&headers).is_some() && warning(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_refused_certificate_makes_nobody_anonymous() {
        let authenticator = Authenticator::new(true);
        assert_eq!(authenticator.connection(None).unwrap().name, "system:anonymous");
        assert_eq!(authenticator.connection(Some(&PeerCertificate::Refused)).unwrap_err().code, 401);
        let peer = |expires| PeerCertificate::Trusted { user: Arc::default(), expires };
        assert_eq!(authenticator.connection(Some(&peer(0))).unwrap_err().code, 401);
        assert!(authenticator.connection(Some(&peer(i64::MAX))).is_ok());
    }
}
