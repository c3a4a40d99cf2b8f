//! The objects that every cluster starts with. They are made where they are missing, at each start.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use api::ResourceRef;
use api::object::downcast_ref;
use api::strategy::UserInfo;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use machinery::Status;
use serde_json::{Value, json};

use crate::api_services;
use crate::auth::rbac;
use crate::auth::rbac::bootstrap::{Amendment, Defaults, Reconciled};
use crate::flow_control;
use crate::server::ApiServer;
use crate::verbs::seconds;
use crate::verbs::{Body, Caller, DeleteOptions, FieldValidation, Patch, Target, WriteOptions};

/// Writes that are under way at once.
const AT_ONCE: usize = 64;

/// The API server itself, as the maker of these objects.
pub(crate) fn caller() -> Caller {
    let user = UserInfo {
        name: "system:apiserver".into(),
        groups: vec!["system:authenticated".into(), "system:masters".into()],
        ..UserInfo::default()
    };
    Caller { user, agent: "kube-apiserver".into(), ..Caller::default() }
}

impl ApiServer {
    /// Makes what is missing. All of it is under way at once, since the store makes one sync of many writes; only what
    /// stands in a namespace waits for the namespaces.
    pub(crate) async fn bootstrap(&self) -> Result<(), Status> {
        let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];
        let namespaced = async {
            futures::future::try_join_all(namespaces.map(|name| self.maker().ensure_plain("", "Namespace", name, json!({})))).await?;
            tokio::try_join!(self.ensure_roles(), self.ensure_own_service(), self.publish_authentication()).map(drop)
        };
        let priorities = SYSTEM_PRIORITIES.iter().map(|(name, value, description)| {
            let content = json!({"value": value, "description": description});
            self.maker().ensure_plain("scheduling.k8s.io", "PriorityClass", name, content)
        });
        tokio::try_join!(
            namespaced,
            futures::future::try_join_all(priorities),
            self.ensure_service_cidr(),
            self.ensure_flow_control(),
            self.ensure_api_services(),
        )?;
        Ok(())
    }

    fn maker(&self) -> Maker<'_> {
        Maker { server: self, manager: None }
    }

    /// The range of cluster IPs that the flags name, as an object, which is ready at once: this server serves it without a
    /// controller.
    async fn ensure_service_cidr(&self) -> Result<(), Status> {
        const NAME: &str = "kubernetes";
        let cidrs: Vec<&str> = self.options().service_cluster_ip_range.split(',').map(str::trim).collect();
        self.maker().ensure_plain("networking.k8s.io", "ServiceCIDR", NAME, json!({"spec": {"cidrs": cidrs}})).await?;
        let Some(resource) = self.served().find("networking.k8s.io", "v1", "servicecidrs") else { return Ok(()) };
        self.feed.catch_up().await?;
        let Some(entry) = self.log(&*resource)?.get(&crate::log::path("", NAME)) else { return Ok(()) };
        let kept = entry.object(&*resource).map_err(Status::internal)?;
        if !downcast_ref::<ServiceCIDR>(&*kept).is_some_and(|kept| lacks_readiness(kept, &cidrs)) {
            return Ok(());
        }
        let condition = json!({
            "type": "Ready", "status": "True", "message": "the range that the API server's flags name",
            "lastTransitionTime": seconds(Timestamp::now()),
        });
        let config = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": NAME},
            "status": {"conditions": [condition]},
        });
        let target = Target { resource, subresource: Some("status".into()), namespace: String::new(), name: NAME.into() };
        let options = WriteOptions { field_manager: Some("kubernetes-service-cidr-controller".into()), ..WriteOptions::default() };
        self.patch(&caller(), &target, Patch::Apply { config: config.to_string().into(), force: true }, &options).await.map(drop)
    }

    async fn ensure_flow_control(&self) -> Result<(), Status> {
        const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
        let levels = flow_control::levels().into_iter().map(|(name, spec)| ("PriorityLevelConfiguration", name, spec));
        let schemas = flow_control::schemas().into_iter().map(|(name, spec)| ("FlowSchema", name, spec));
        let all = levels.chain(schemas).map(|(kind, name, spec)| {
            let content = json!({"metadata": {"annotations": {flow_control::AUTO_UPDATE: "true"}}, "spec": spec});
            Maker { server: self, manager: Some(PRODUCER) }.ensure_plain("flowcontrol.apiserver.k8s.io", kind, name, content)
        });
        futures::future::try_join_all(all).await.map(drop)
    }

    /// What this server serves, among what others may serve.
    async fn ensure_api_services(&self) -> Result<(), Status> {
        let served = self.served();
        let mut versions: Vec<(&str, &str)> = served.registry().all().iter().map(|one| (one.names().group, one.names().version)).collect();
        // Reviews are resources that no kind describes.
        versions.extend(crate::catalogue::EXTRAS.iter().map(|extra| (extra.group, extra.version)));
        versions.retain(|(group, _)| *group != api_services::OWN_GROUP);
        versions.sort_unstable();
        versions.dedup();
        let all = versions.into_iter().map(|(group, version)| {
            let (group_priority, version_priority) = api_services::priorities(group, version);
            let mut spec = json!({"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority});
            if !group.is_empty() {
                spec["group"] = json!(group);
            }
            let content = json!({"metadata": {"labels": {api_services::AUTOMANAGED: "onstart"}}, "spec": spec});
            async move { self.maker().ensure_plain(api_services::OWN_GROUP, "APIService", &format!("{version}.{group}"), content).await }
        });
        futures::future::try_join_all(all).await.map(drop)
    }

    /// The roles and bindings that everybody's rights come from, side by side: the store makes one sync of many writes.
    async fn ensure_roles(&self) -> Result<(), Status> {
        let Defaults { cluster_roles, cluster_role_bindings, roles, role_bindings } = Defaults::read();
        tokio::try_join!(
            self.reconcile_all("clusterroles", cluster_roles),
            self.reconcile_all("clusterrolebindings", cluster_role_bindings),
            self.reconcile_all("roles", roles),
            self.reconcile_all("rolebindings", role_bindings),
        )?;
        Ok(())
    }

    async fn reconcile_all<T: Reconciled>(&self, plural: &'static str, wanted: Vec<T>) -> Result<(), Status> {
        let Some(resource) = self.served().find(rbac::GROUP, "v1", plural) else { return Ok(()) };
        let writes = wanted.into_iter().map(|wanted| self.reconcile(resource.clone(), wanted));
        futures::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn reconcile<T: Reconciled>(&self, resource: ResourceRef, wanted: T) -> Result<(), Status> {
        let meta = wanted.meta();
        let (namespace, name) = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let found = self.log(&*resource)?.get(&crate::log::path(&namespace, &name));
        let target =
            |name: &str| Target { resource: resource.clone(), subresource: None, namespace: namespace.clone(), name: name.to_owned() };
        let (caller, options) = (caller(), WriteOptions::default());
        let outcome = match found {
            None => self.create(&caller, &target(""), Body::Typed(Box::new(wanted)), &options).await,
            Some(entry) => {
                let object = entry.object(&*resource).map_err(Status::internal)?;
                let Some(mut present) = downcast_ref::<T>(&*object).cloned() else { return Ok(()) };
                match wanted.amend(&mut present) {
                    Amendment::Nothing => return Ok(()),
                    Amendment::Update => self.update(&caller, &target(&name), Body::Typed(Box::new(present)), &options).await,
                    Amendment::Replace => {
                        self.delete(&caller, &target(&name), &DeleteOptions::default()).await?;
                        self.create(&caller, &target(""), Body::Typed(Box::new(wanted)), &options).await
                    }
                }
            }
        };
        match outcome {
            // Another server that starts at the same time has been faster.
            Err(status) if status.is_already_exists() || status.is_conflict() => Ok(()),
            Err(status) => Err(status),
            Ok(_) => Ok(()),
        }
    }

    /// The Service by which pods reach this server, and its endpoints, if it has an address that others can reach.
    async fn ensure_own_service(&self) -> Result<(), Status> {
        const NAME: &str = "kubernetes";
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP",
                "clusterIP": self.allocation.first_address().map(|address| address.to_string()),
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self.options().secure_port}],
            },
        });
        let made = self.maker().ensure("", "services", "default", NAME, service);
        let address = self.options().advertise_address.or_else(host_address).filter(|address| !address.is_loopback());
        let Some(address) = address else { return made.await };
        let port = json!([{"name": "https", "port": self.options().secure_port, "protocol": "TCP"}]);
        let endpoints = json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": NAME, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address.to_string()}], "ports": port}],
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
            "ports": port,
        });
        let endpoints = self.maker().ensure("", "endpoints", "default", NAME, endpoints);
        let slice = self.maker().ensure("discovery.k8s.io", "endpointslices", "default", NAME, slice);
        tokio::try_join!(made, endpoints, slice)?;
        Ok(())
    }

    /// What aggregated servers need to know their callers, where they look for it.
    async fn publish_authentication(&self) -> Result<(), Status> {
        const NAME: &str = "extension-apiserver-authentication";
        let data = &self.options().extension_authentication;
        if data.is_empty() {
            return Ok(());
        }
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data});
        self.maker().ensure("", "configmaps", "kube-system", NAME, object.clone()).await?;
        // Authorities may have changed since it was made.
        let Some(resource) = self.served().find("", "v1", "configmaps") else { return Ok(()) };
        let Some(entry) = self.log(&*resource)?.get(&crate::log::path("kube-system", NAME)) else { return Ok(()) };
        let kept = entry.object(&*resource).map_err(Status::internal)?;
        if downcast_ref::<ConfigMap>(&*kept).is_some_and(|kept| kept.data.as_ref() == Some(data)) {
            return Ok(());
        }
        let target = Target { resource, subresource: None, namespace: "kube-system".into(), name: NAME.into() };
        match self.update(&caller(), &target, Body::Json(object.to_string().into()), &WriteOptions::default()).await {
            Err(status) if !status.is_conflict() => Err(status),
            _ => Ok(()),
        }
    }
}

/// Makes what is missing.
#[derive(Clone, Copy)]
struct Maker<'a> {
    server: &'a ApiServer,
    /// Under whose name it is made, if not that of the server.
    manager: Option<&'static str>,
}

impl Maker<'_> {
    /// Creates an object unless there is one of its name, or its resource is not served.
    async fn ensure(self, group: &str, plural: &str, namespace: &str, name: &str, object: Value) -> Result<(), Status> {
        let Some(resource) = self.server.served().find(group, "v1", plural) else { return Ok(()) };
        if self.server.log(&*resource)?.get(&crate::log::path(namespace, name)).is_some() {
            return Ok(());
        }
        let target = Target { resource, subresource: None, namespace: namespace.into(), name: String::new() };
        let field_manager = self.manager.map(str::to_owned);
        let options = WriteOptions { field_validation: FieldValidation::Strict, field_manager, ..WriteOptions::default() };
        match self.server.create(&caller(), &target, Body::Json(object.to_string().into()), &options).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(()),
        }
    }

    /// The same with an object of cluster scope, given by what is particular to it.
    async fn ensure_plain(self, group: &str, kind: &str, name: &str, mut object: Value) -> Result<(), Status> {
        let Some(resource) = self.server.served().registry().find_kind(group, "v1", kind) else { return Ok(()) };
        object["apiVersion"] = json!(resource.kind().api_version());
        object["kind"] = json!(kind);
        object["metadata"]["name"] = json!(name);
        self.ensure(group, resource.names().plural, "", name, object).await
    }
}

/// Whether nobody has said if addresses may be taken from the range, which is the one that this server's flags name.
fn lacks_readiness(range: &ServiceCIDR, cidrs: &[&str]) -> bool {
    let is_own = range.spec.as_ref().and_then(|spec| spec.cidrs.as_ref()).is_some_and(|kept| kept == cidrs);
    let mut conditions = range.status.iter().flat_map(|status| status.conditions.iter().flatten());
    is_own && range.metadata.deletion_timestamp.is_none() && !conditions.any(|one| one.type_ == "Ready" && one.status != "Unknown")
}

/// The address by which this host would talk to others. Nothing is sent.
fn host_address() -> Option<IpAddr> {
    // An address kept for documentation (RFC 5737), which routes like any other.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The priorities that the system keeps for itself.
pub(crate) const SYSTEM_PRIORITIES: [(&str, i32, &str); 2] = [
    ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
