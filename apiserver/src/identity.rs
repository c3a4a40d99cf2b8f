//! The lease by which this API server tells others that it is there, and those of servers that are not any more.
//!
//! It carries the label `apiserver.kubernetes.io/identity`, is renewed every ten seconds, and holds for an hour; every
//! hour, leases that have run out are removed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::object::downcast_ref;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use machinery::Status;
use tokio_util::sync::CancellationToken;

use crate::bootstrap;
use crate::server::ApiServer;
use crate::verbs::{Body, DeleteOptions, Target, WriteOptions};

const NAMESPACE: &str = "kube-system";
const GROUP: &str = "coordination.k8s.io";
const LEASES: &str = "leases";
const IDENTITY: (&str, &str) = ("apiserver.kubernetes.io/identity", "kube-apiserver");
const HOSTNAME: &str = "kubernetes.io/hostname";
const ADVERTISED: &str = "kubernetes.io/peer-advertise-address";
const HOLDS_SECONDS: i32 = 3600;
const RENEW_EVERY: Duration = Duration::from_secs(10);
const COLLECT_EVERY: Duration = Duration::from_secs(3600);

/// Keeps the lease, and no others that have run out, until `stop`.
pub(crate) async fn keep(server: Weak<ApiServer>, stop: CancellationToken) {
    let host = hostname();
    let name = name_of(&host);
    let holder = format!("{name}_{}", uuid::Uuid::new_v4());
    let work = async {
        let (mut renew, mut collect) = (tokio::time::interval(RENEW_EVERY), tokio::time::interval(COLLECT_EVERY));
        loop {
            let renews = tokio::select! { _ = renew.tick() => true, _ = collect.tick() => false };
            let Some(server) = server.upgrade() else { return };
            let done = if renews { server.renew_identity(&name, &host, &holder).await } else { server.collect_identities().await };
            if let Err(status) = done {
                tracing::debug!(%status, "keeping the leases of API servers; the next round tries again");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

impl ApiServer {
    async fn renew_identity(self: Arc<Self>, name: &str, host: &str, holder: &str) -> Result<(), Status> {
        let Some(target) = self.identity_target(name) else { return Ok(()) };
        let known: Option<Lease> = self.world().object(GROUP, LEASES, NAMESPACE, name);
        let is_new = known.is_none();
        let mut lease = known.unwrap_or_default();
        (lease.metadata.name, lease.metadata.namespace) = (Some(name.to_owned()), Some(NAMESPACE.to_owned()));
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.extend([IDENTITY, (HOSTNAME, host)].map(|(key, value)| (key.to_owned(), value.to_owned())));
        lease.metadata.annotations.get_or_insert_default().insert(ADVERTISED.to_owned(), self.advertised_address());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_duration_seconds = Some(HOLDS_SECONDS);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let (caller, options, body) = (bootstrap::caller(), WriteOptions::default(), Body::Typed(Box::new(lease)));
        if is_new {
            self.create(&caller, &Target { name: String::new(), ..target }, body, &options).await?;
        } else {
            self.update(&caller, &target, body, &options).await?;
        }
        Ok(())
    }

    /// Removes the leases of servers that have not renewed them in time.
    async fn collect_identities(self: Arc<Self>) -> Result<(), Status> {
        let Some(log) = self.world().log(GROUP, LEASES) else { return Ok(()) };
        let now = Timestamp::now();
        for entry in log.snapshot().entries.values() {
            if &*entry.key.namespace != NAMESPACE || entry.labels.get(IDENTITY.0).is_none_or(|value| value != IDENTITY.1) {
                continue;
            }
            let object = entry.object(log.resource()).map_err(Status::internal)?;
            let Some(lease) = downcast_ref::<Lease>(&*object).filter(|lease| has_run_out(lease, now)) else { continue };
            let Some(target) = self.identity_target(&entry.key.name) else { return Ok(()) };
            // Renewed meanwhile, it is another version.
            let options = DeleteOptions {
                uid: lease.metadata.uid.clone(),
                resource_version: Some(entry.version.to_string()),
                ..DeleteOptions::default()
            };
            match self.delete(&bootstrap::caller(), &target, &options).await {
                Err(status) if !status.is_not_found() && !status.is_conflict() => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }

    fn identity_target(&self, name: &str) -> Option<Target> {
        let resource = self.served().find(GROUP, "v1", LEASES)?;
        Some(Target { resource, subresource: None, namespace: NAMESPACE.to_owned(), name: name.to_owned() })
    }
}

/// Whether a lease has run out; one that does not say when it does was made by nobody who renews it.
fn has_run_out(lease: &Lease, now: Timestamp) -> bool {
    let spec = lease.spec.as_ref();
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref());
    let holds = spec.and_then(|spec| spec.lease_duration_seconds);
    let until = renewed.zip(holds).and_then(|(renewed, holds)| renewed.0.checked_add(SignedDuration::from_secs(holds.into())).ok());
    until.is_none_or(|until| until < now)
}

/// The name of this host.
fn hostname() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let told = told.trim();
    if told.is_empty() { "localhost".to_owned() } else { told.to_owned() }
}

/// A name for the server on a host, the same at each start: of the digest of its host's name and its own, as upstream makes it.
fn name_of(host: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    const DIGEST_BYTES: usize = 16;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [host, IDENTITY.1] {
        // Names of hosts are far shorter than what two bytes count.
        digest.update(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let digest = digest.finish();
    let mut name = "apiserver-".to_owned();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in &digest.as_ref()[..DIGEST_BYTES] {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            name.push(char::from(ALPHABET[(bits >> held & 31) as usize]));
        }
    }
    if held > 0 {
        name.push(char::from(ALPHABET[(bits << (5 - held) & 31) as usize]));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_always_has_the_same_name() {
        assert_eq!(name_of("vm"), "apiserver-wlv32tlttr4jl3gtroqexyxapa");
    }

    #[test]
    fn a_lease_runs_out_when_it_is_not_renewed() {
        let now = Timestamp::now();
        let lease = |renewed: i64, holds| Lease {
            spec: Some(LeaseSpec {
                renew_time: Some(MicroTime(now - SignedDuration::from_secs(renewed))),
                lease_duration_seconds: holds,
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert!(has_run_out(&lease(11, Some(10)), now) && !has_run_out(&lease(9, Some(10)), now));
        assert!(has_run_out(&lease(0, None), now) && has_run_out(&Lease::default(), now));
    }
}
