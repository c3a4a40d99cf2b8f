//! The audit log: who asked what of the server, when, and what came of it, as `audit.k8s.io/v1` Events, one a line.
//!
//! It is a stage of the chain that every request crosses (`chain.rs`): a request whose caller is known begins a
//! [`Trail`] if the [`policy`] says so, which the caller carries along. Authorization, admission and the verbs leave on
//! it what they find, the doors what they answer; each stage's event goes to the [`journal`]. Without a policy there is
//! no [`Audit`], and every trail is empty.

mod event;
mod file;
mod journal;
mod policy;
mod trail;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use api::strategy::UserInfo;
use http::HeaderMap;
use http::header::USER_AGENT;
use jiff::Timestamp;
use machinery::{Status, status};
use parking_lot::Mutex;

pub use file::{LogFile, Rotation};
pub use journal::{Journal, Mode, Output};
pub use policy::{Policy, PolicyError};
pub use trail::{Answered, Trail};

use crate::auth::Attributes;
use crate::auth::authorize::ResourceAccess;
use crate::chain::Wanted;
use event::ObjectReference;
use policy::Level;
use trail::{Found, Record};

/// What is recorded, and where.
pub struct Audit {
    policy: Policy,
    journal: Arc<Journal>,
    /// Of an event; None: any.
    most_bytes: Option<usize>,
}

/// A request as it came in.
pub struct Incoming<'a> {
    /// What the answer's `Audit-ID` header says.
    pub id: &'a str,
    pub uri: &'a str,
    pub headers: &'a HeaderMap,
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
}

/// Where a connection comes from, among a request's extensions while there is an audit log.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Audit {
    pub fn new(policy: Policy, journal: Journal, most_bytes: Option<usize>) -> Self {
        Self { policy, journal: Arc::new(journal), most_bytes }
    }

    /// Begins to record a request. `user`: None if the caller is not known; then the answer is recorded alone.
    ///
    /// # Errors
    /// 500, if the request must be recorded and cannot be.
    pub async fn begin(&self, incoming: &Incoming<'_>, user: Option<&Arc<UserInfo>>, wanted: &Wanted<'_>) -> status::Result<Trail> {
        let verdict = self.policy.judge(user.map(|user| &**user), &wanted.attributes);
        if verdict.level == Level::None {
            return Ok(Trail::default());
        }
        let (verb, object) = match &wanted.attributes {
            Attributes::Resource(access) => (access.verb, Some(reference(access, wanted.version))),
            Attributes::Path { verb, .. } => (*verb, None),
        };
        let trail = Trail::of(Record {
            journal: self.journal.clone(),
            most_bytes: self.most_bytes,
            verdict,
            id: incoming.id.to_owned(),
            uri: incoming.uri.to_owned(),
            verb: verb.to_owned(),
            user: user.cloned(),
            source_ips: source_ips(incoming.headers, incoming.address),
            user_agent: user_agent(incoming.headers),
            received: Timestamp::now(),
            found: Mutex::new(Found { object, ..Found::default() }),
            closed: AtomicBool::new(false),
        });
        if user.is_some() && !trail.received().await {
            trail.close();
            return Err(Status::internal("the request cannot be recorded in the audit log"));
        }
        Ok(trail)
    }

    /// Waits until all events so far are written.
    pub async fn flush(&self) {
        self.journal.flush().await;
    }
}

fn reference(access: &ResourceAccess<'_>, version: &str) -> ObjectReference {
    ObjectReference {
        resource: access.resource.to_owned(),
        namespace: access.namespace.to_owned(),
        name: access.name.to_owned(),
        api_group: access.group.to_owned(),
        api_version: version.to_owned(),
        subresource: access.subresource.unwrap_or_default().to_owned(),
        ..ObjectReference::default()
    }
}

/// Where a request comes from: the proxies' words first, the connection's own address last. Only that one can be relied on.
fn source_ips(headers: &HeaderMap, address: Option<IpAddr>) -> Vec<IpAddr> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut all: Vec<IpAddr> = text("x-forwarded-for").split(',').filter_map(|ip| ip.trim().parse().ok()).collect();
    if let Ok(real) = text("x-real-ip").parse()
        && !all.contains(&real)
    {
        all.push(real);
    }
    all.extend(address.filter(|own| all.last() != Some(own)));
    all
}

fn user_agent(headers: &HeaderMap) -> String {
    const LONGEST: usize = 1024;
    let agent = headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    if agent.len() <= LONGEST { agent.into_owned() } else { format!("{}...TRUNCATED", &agent[..agent.floor_char_boundary(LONGEST)]) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_by_proxies_and_by_the_connection() {
        let mut headers = HeaderMap::new();
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(source_ips(&headers, Some(own)), [own]);
        headers.insert("x-forwarded-for", "1.2.3.4, nonsense,::1".parse().unwrap());
        headers.insert("x-real-ip", "1.2.3.4".parse().unwrap());
        let shown: Vec<String> = source_ips(&headers, Some(own)).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["1.2.3.4", "::1", "127.0.0.1"]);
        headers.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        headers.remove("x-real-ip");
        assert_eq!(source_ips(&headers, Some(own)), [own]);
    }
}
