//! The IPAddress objects of cluster IPs: each address that a Service holds has one, which other programs that give out
//! addresses can see. It is made before the Service is written and goes with it; what a crash leaves behind is mended.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Object;
use api::core::service::allocation::release;
use api::object::downcast_ref;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Status;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::caller;
use crate::server::ApiServer;
use crate::verbs::{Body, DeleteOptions, Target, WriteOptions};

pub(super) const GROUP: &str = "networking.k8s.io";
pub(super) const PLURAL: &str = "ipaddresses";
const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGER_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
const MANAGER: &str = "ipallocator.k8s.io";
/// How often Services and addresses are compared.
const REPAIR_EVERY: Duration = Duration::from_secs(180);
/// An address without a Service may belong to one that is being made.
const ORPHAN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The addresses that a Service holds.
fn held(object: &dyn Object) -> BTreeSet<IpAddr> {
    downcast_ref::<Service>(object).map(|service| release(service).released_addresses.into_iter().collect()).unwrap_or_default()
}

fn is_of(address: &IPAddress, namespace: &str, name: &str) -> bool {
    let parent = &address.spec.parent_ref;
    parent.group.as_deref().unwrap_or_default().is_empty()
        && parent.resource == "services"
        && parent.namespace.as_deref() == Some(namespace)
        && parent.name == name
}

fn object(address: IpAddr, namespace: &str, name: &str) -> IPAddress {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels = [(FAMILY_LABEL, family), (MANAGER_LABEL, MANAGER)];
    IPAddress {
        metadata: ObjectMeta {
            name: Some(address.to_string()),
            labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            ..ObjectMeta::default()
        },
        spec: IPAddressSpec {
            parent_ref: ParentReference {
                group: None,
                resource: "services".into(),
                namespace: Some(namespace.to_owned()),
                name: name.to_owned(),
            },
        },
    }
}

impl ApiServer {
    fn address_target(&self, name: String) -> Option<Target> {
        let resource = self.served().find(GROUP, "v1", PLURAL)?;
        Some(Target { resource, subresource: None, namespace: String::new(), name })
    }

    /// Makes the objects of the addresses that a Service is about to have and had not, and says which. Gives them back if
    /// one of them is another's.
    pub(crate) async fn hold_addresses(&self, new: &dyn Object, old: Option<&dyn Object>) -> Result<Vec<IpAddr>, Status> {
        let before = old.map(held).unwrap_or_default();
        let meta = new.meta();
        let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let mut made = Vec::new();
        for address in held(new).difference(&before) {
            match self.hold(*address, namespace, name).await {
                Ok(()) => made.push(*address),
                Err(status) => {
                    self.let_go(made, namespace, name).await;
                    return Err(status);
                }
            }
        }
        Ok(made)
    }

    async fn hold(&self, address: IpAddr, namespace: &str, name: &str) -> Result<(), Status> {
        let Some(target) = self.address_target(String::new()) else { return Ok(()) };
        let body = Body::Typed(Box::new(object(address, namespace, name)));
        // Boxed: this is a write within a write.
        match Box::pin(self.create(&caller(), &target, body, &WriteOptions::default())).await {
            Err(status) if status.is_already_exists() => {
                // What a crash left of an earlier attempt will do.
                self.feed.catch_up().await?;
                let found = self.world().object::<IPAddress>(GROUP, PLURAL, "", &address.to_string());
                if found.is_some_and(|found| is_of(&found, namespace, name)) { Ok(()) } else { Err(taken(address)) }
            }
            outcome => outcome.map(drop),
        }
    }

    /// Removes the objects of the addresses that a Service had and has not any more. `new`: None if it is gone.
    pub(crate) async fn release_addresses(&self, old: &dyn Object, new: Option<&dyn Object>) {
        let after = new.map(held).unwrap_or_default();
        let meta = old.meta();
        let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        self.let_go(held(old).difference(&after).copied(), namespace, name).await;
    }

    /// What cannot be removed now is removed by the next repair.
    pub(crate) async fn let_go(&self, addresses: impl IntoIterator<Item = IpAddr>, namespace: &str, name: &str) {
        for address in addresses {
            let text = address.to_string();
            let found = self.world().object::<IPAddress>(GROUP, PLURAL, "", &text);
            if found.is_some_and(|found| !is_of(&found, namespace, name)) {
                continue;
            }
            let Some(target) = self.address_target(text) else { return };
            if let Err(status) = Box::pin(self.delete(&caller(), &target, &DeleteOptions::default())).await
                && !status.is_not_found()
            {
                tracing::warn!(%address, %status, "cannot give back the address of a Service");
            }
        }
    }

    /// Makes what Services lack, and removes what nobody holds any more.
    pub(crate) async fn repair_addresses(&self) {
        if self.feed.catch_up().await.is_err() {
            return;
        }
        let services = self.world().objects::<Service>("", "services", "");
        for service in &services {
            let meta = &service.metadata;
            let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
            let lacks = |address: &IpAddr| self.world().get(GROUP, PLURAL, "", &address.to_string()).is_none();
            for address in held(service).into_iter().filter(lacks) {
                if let Err(status) = self.hold(address, namespace, name).await {
                    tracing::warn!(%address, namespace, name, %status, "the address of a Service has no object");
                }
            }
        }
        for address in self.world().objects::<IPAddress>(GROUP, PLURAL, "") {
            self.remove_orphan(&address).await;
        }
    }

    async fn remove_orphan(&self, address: &IPAddress) {
        let ours = address.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGER_LABEL)).is_some_and(|by| by == MANAGER);
        let created = address.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let young = created.is_none_or(|at| Timestamp::now().duration_since(at) < ORPHAN_AFTER);
        let parent = &address.spec.parent_ref;
        let (namespace, name) = (parent.namespace.as_deref().unwrap_or_default(), parent.name.as_str());
        let ip = address.metadata.name.as_deref().and_then(|name| name.parse::<IpAddr>().ok());
        let Some(ip) = ip.filter(|_| ours && !young) else { return };
        let service = self.world().object::<Service>("", "services", namespace, name);
        if service.is_none_or(|service| !held(&service).contains(&ip)) {
            self.let_go([ip], namespace, name).await;
        }
    }
}

fn taken(address: IpAddr) -> Status {
    Status::unclassified(format!("address {address} is held by somebody else; please try again"))
}

/// Compares Services and addresses every now and then, until `stop` or until the server is gone.
pub(crate) async fn keep_repaired(server: Weak<ApiServer>, stop: CancellationToken) {
    let mut turns = tokio::time::interval(REPAIR_EVERY);
    while stop.run_until_cancelled(turns.tick()).await.is_some() {
        let Some(server): Option<Arc<ApiServer>> = server.upgrade() else { return };
        server.repair_addresses().await;
    }
}
