//! Binding: puts a pod on a node. A pod is bound once, and the node's zone and region come with it as labels.

use std::sync::LazyLock;

use api::object::downcast_mut;
use client::transport::Binding;
use k8s_openapi::api::core::v1::{Binding as BindingBody, Node, Pod, PodCondition, PodStatus};
use machinery::schema::Schema;
use machinery::{GroupResource, Status};

use super::revision::{Decision, Revision};
use super::update::shown;
use super::write::{Ready, Write};
use super::{Body, Caller, Shown, Target, WriteOptions, Written, body, metadata};
use crate::log::path;
use crate::server::ApiServer;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<BindingBody>);

/// Labels of the node that a bound pod gets, unless it has them already.
const TOPOLOGY_LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// A POST to `pods/<name>/binding`.
pub(super) async fn create(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    given: Body,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let given = body::typed::<BindingBody>(given, options.field_validation, &SCHEMA, "v1", "Binding")?;
    let name = given.metadata.name.clone().unwrap_or_default();
    // The old `bindings` collection names the pod in the body alone.
    let target = match target.name.as_str() {
        "" => &Target { name: name.clone(), ..target.clone() },
        _ => target,
    };
    if name != target.name {
        return Err(Status::bad_request(format!("the binding's name {name:?} is not that of the request, {:?}", target.name)));
    }
    if !matches!(given.target.kind.as_deref(), None | Some("" | "Node")) {
        return Err(Status::unclassified("target.kind: Unsupported value: a pod is bound to a Node"));
    }
    let node = given.target.name.clone().unwrap_or_default();
    if node.is_empty() {
        return Err(Status::unclassified("target.name: Required value"));
    }
    bind(server, caller, target, &node, &given, options).await?;
    let mut status = Status::success(None);
    status.code = 201;
    let json = serde_json::to_vec(&status).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Written { object: Shown::Json(json.into()), created: true, warnings: Vec::new() })
}

impl ApiServer {
    /// Binds a pod to a node; the pod as it then is.
    pub async fn bind_pod(&self, caller: &Caller, binding: &Binding, options: &WriteOptions) -> Result<Shown, Status> {
        let resource = self.registry().find("", "v1", "pods").ok_or_else(Status::path_not_found)?;
        let target =
            Target { resource, subresource: Some("binding".into()), namespace: binding.namespace.clone(), name: binding.name.clone() };
        let mut given = BindingBody::default();
        given.metadata.uid = Some(binding.uid.clone());
        bind(self, caller, &target, &binding.node, &given, options).await
    }
}

async fn bind(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    node: &str,
    given: &BindingBody,
    options: &WriteOptions,
) -> Result<Shown, Status> {
    let write = Write::new(server, caller, target, options)?;
    let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
    loop {
        let decision = revision.existing().and_then(|(entry, old)| {
            let conflict = |named: &str, why: &str| Status::conflict(&GroupResource::new("", named.to_owned()), &target.name, why);
            check_precondition(given, &entry, old.meta()).map_err(|why| conflict("pods", &why))?;
            let mut object = old.clone_boxed();
            let pod = downcast_mut::<Pod>(&mut *object).ok_or_else(Status::path_not_found)?;
            assign(pod, node).map_err(|why| conflict("pods/binding", &why))?;
            pod.metadata.annotations.get_or_insert_default().extend(given.metadata.annotations.clone().unwrap_or_default());
            pod.metadata.annotations.take_if(|annotations| annotations.is_empty());
            copy_topology(&write, pod, node);
            set_scheduled(pod, &write);
            Ok(Decision::Replace(Ready { object, reservation: None, warnings: Vec::new(), generated: false }))
        });
        if let Some(settled) = revision.settle(decision).await? {
            return Ok(shown(settled));
        }
    }
}

fn check_precondition(
    given: &BindingBody,
    present: &crate::log::Entry,
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Result<(), String> {
    let wanted = given.metadata.uid.as_deref().unwrap_or_default();
    let found = meta.uid.as_deref().unwrap_or_default();
    if !wanted.is_empty() && wanted != found {
        return Err(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"));
    }
    let wanted = given.metadata.resource_version.as_deref().unwrap_or_default();
    if !wanted.is_empty() && wanted != present.version.to_string() {
        return Err(format!("Precondition failed: ResourceVersion in precondition: {wanted}, in object meta: {}", present.version));
    }
    Ok(())
}

fn assign(pod: &mut Pod, node: &str) -> Result<(), String> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let spec = pod.spec.get_or_insert_default();
    if let Some(assigned) = spec.node_name.as_deref().filter(|assigned| !assigned.is_empty()) {
        return Err(format!("pod {name} is already assigned to node {assigned:?}"));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    spec.node_name = Some(node.to_owned());
    Ok(())
}

fn copy_topology(write: &Write<'_>, pod: &mut Pod, node: &str) {
    let Some(node) = write.server.world().object::<Node>("", "nodes", "", node) else { return };
    let labels = node.metadata.labels.unwrap_or_default();
    for label in TOPOLOGY_LABELS {
        if let Some(value) = labels.get(label) {
            pod.metadata.labels.get_or_insert_default().entry(label.to_owned()).or_insert_with(|| value.clone());
        }
    }
}

fn set_scheduled(pod: &mut Pod, write: &Write<'_>) {
    let status = pod.status.get_or_insert_with(PodStatus::default);
    // The nomination has served its purpose.
    status.nominated_node_name = None;
    let conditions = status.conditions.get_or_insert_default();
    let now = metadata::seconds(write.now);
    match conditions.iter_mut().find(|condition| condition.type_ == "PodScheduled") {
        Some(condition) => {
            if condition.status != "True" {
                condition.last_transition_time = Some(now);
            }
            condition.status = "True".into();
            condition.reason = None;
            condition.message = None;
        }
        None => conditions.push(PodCondition {
            type_: "PodScheduled".into(),
            status: "True".into(),
            last_transition_time: Some(now),
            ..PodCondition::default()
        }),
    }
}
