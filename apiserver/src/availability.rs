//! APIServices that another server stands behind. Nothing is passed on to it: their condition `Available`, which is True of
//! this server's own groups, says how far it would be reachable, and requests for their paths are refused.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition, ServiceReference};
use machinery::Status;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::admission::World;
use crate::api_services::OWN_GROUP;
use crate::bootstrap::caller;
use crate::follow::follow;
use crate::server::ApiServer;
use crate::verbs::{Body, Target, WriteOptions, seconds};

const PLURAL: &str = "apiservices";
const CONDITION: &str = "Available";
const DEFAULT_PORT: i32 = 443;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How often services and their endpoints are looked at, while there is an APIService that has one.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Keeps the conditions in step until `stop`, which must come no later than the end of watches.
pub(crate) async fn keep_told(server: Weak<ApiServer>, stop: CancellationToken) {
    let look = |server: Arc<ApiServer>| {
        async move {
            let there_are = server.tell_available().await.unwrap_or_else(|status| {
                tracing::debug!(%status, "telling which APIServices are available; the next look tries again");
                true
            });
            there_are.then_some(AGAIN_AFTER)
        }
        .boxed()
    };
    follow(server, stop, &[(OWN_GROUP, PLURAL)], look).await;
}

impl ApiServer {
    /// Writes the conditions that lag behind; whether any APIService has a service.
    async fn tell_available(self: Arc<Self>) -> Result<bool, Status> {
        let Some(resource) = self.served().find(OWN_GROUP, "v1", PLURAL) else { return Ok(false) };
        let all = self.world().objects::<APIService>(OWN_GROUP, PLURAL, "");
        let mut others = false;
        for mut service in all {
            let Some(reference) = service.spec.as_ref().and_then(|spec| spec.service.as_ref()) else { continue };
            others = true;
            let (reason, message) = hindrance(self.world(), reference);
            if !set(&mut service, reason, message, Timestamp::now()) {
                continue;
            }
            let name = service.metadata.name.clone().unwrap_or_default();
            let target = Target { resource: resource.clone(), subresource: Some("status".to_owned()), namespace: String::new(), name };
            match self.update(&caller(), &target, Body::Typed(Box::new(service)), &WriteOptions::default()).await {
                Err(status) if !status.is_conflict() && !status.is_not_found() => return Err(status),
                _ => {}
            }
        }
        Ok(others)
    }

    /// Whether a version of a group is registered for another server, to which nothing is passed on.
    pub(crate) fn is_elsewhere(&self, group: &str, version: &str) -> bool {
        let registered: Option<APIService> = self.world().object(OWN_GROUP, PLURAL, "", &format!("{version}.{group}"));
        registered.and_then(|service| service.spec).is_some_and(|spec| spec.service.is_some())
    }

    /// `/apis/<group>` of a group that is registered, and not served here.
    pub(crate) fn registered_group(&self, group: &str) -> Option<Value> {
        let registered = self.world().objects::<APIService>(OWN_GROUP, PLURAL, "").into_iter().filter_map(|service| service.spec);
        let mut specs: Vec<_> = registered.filter(|spec| !group.is_empty() && spec.group.as_deref() == Some(group)).collect();
        specs.sort_by_key(|spec| Reverse(spec.version_priority));
        let versions = specs.iter().filter_map(|spec| spec.version.as_deref());
        let versions: Vec<Value> =
            versions.map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version })).collect();
        let preferred = versions.first()?.clone();
        Some(json!({ "kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions, "preferredVersion": preferred }))
    }
}

/// Why nobody reaches the server behind an APIService.
fn hindrance(world: &World, reference: &ServiceReference) -> (&'static str, String) {
    let (name, namespace) = (reference.name.as_deref().unwrap_or_default(), reference.namespace.as_deref().unwrap_or_default());
    let wanted = reference.port.unwrap_or(DEFAULT_PORT);
    let Some(service) = world.object::<Service>("", "services", namespace, name) else {
        return ("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    };
    let spec = service.spec.unwrap_or_default();
    if spec.type_.as_deref() == Some("ClusterIP") {
        let Some(port) = spec.ports.iter().flatten().find(|port| port.port == wanted) else {
            return ("ServicePortError", format!("service/{name} in {namespace:?} does not listen on port {wanted}"));
        };
        let slices = world.objects::<EndpointSlice>("discovery.k8s.io", "endpointslices", namespace);
        let of_service = |slice: &&EndpointSlice| {
            slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)).is_some_and(|of| of == name)
        };
        let mut slices = slices.iter().filter(of_service).peekable();
        if slices.peek().is_none() {
            return ("EndpointsNotFound", format!("service/{name} in {namespace:?} has no endpoint slices"));
        }
        let port_name = port.name.clone().unwrap_or_default();
        let serves = |slice: &EndpointSlice| {
            let named = slice.ports.iter().flatten().any(|port| port.name.as_deref().unwrap_or_default() == port_name);
            named
                && slice
                    .endpoints
                    .iter()
                    .flatten()
                    .any(|one| one.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
        };
        if !slices.any(serves) {
            return (
                "MissingEndpoints",
                format!("endpoints for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"),
            );
        }
    }
    (
        "FailedDiscoveryCheck",
        format!("requests are not passed on to service/{name} in {namespace:?}: this server serves its own groups only"),
    )
}

/// Sets the condition to false; whether that is a change.
fn set(service: &mut APIService, reason: &str, message: String, now: Timestamp) -> bool {
    let conditions = service.status.get_or_insert_default().conditions.get_or_insert_default();
    let known = conditions.iter().find(|known| known.type_ == CONDITION).filter(|known| known.status == "False");
    if known.is_some_and(|known| known.reason.as_deref() == Some(reason) && known.message.as_ref() == Some(&message)) {
        return false;
    }
    let last_transition_time = known.and_then(|known| known.last_transition_time.clone()).unwrap_or_else(|| Time(seconds(now).0));
    conditions.retain(|known| known.type_ != CONDITION);
    conditions.push(APIServiceCondition {
        type_: CONDITION.to_owned(),
        status: "False".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(last_transition_time),
    });
    true
}
