//! Binding: puts a pod on a node. What that changes in the pod, [`api::core::pod::bind`] says.

use std::sync::LazyLock;

use api::Object as _;
use api::core::pod::{bind, target_of};
use api::object::downcast_mut;
use client::transport::Binding;
use k8s_openapi::api::core::v1::{Binding as BindingBody, Pod};
use machinery::schema::Schema;
use machinery::{GroupResource, Status};

use super::revision::{Decision, Revision};
use super::update::shown;
use super::write::{Ready, Write};
use super::{Body, Caller, Shown, Target, WriteOptions, Written, body};
use crate::log::path;
use crate::server::ApiServer;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<BindingBody>);

/// A POST to `pods/<name>/binding`.
pub(super) async fn create(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    given: Body,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let (given, warnings) = body::typed::<BindingBody>(given, options.field_validation, &SCHEMA, &["v1"], "Binding")?;
    caller.trail.requests(Some(&given.metadata), || given.json());
    let name = given.metadata.name.clone().unwrap_or_default();
    // The old `bindings` collection names the pod in the body alone.
    let target = match target.name.as_str() {
        "" => &Target { name: name.clone(), ..target.clone() },
        _ => target,
    };
    if name != target.name {
        return Err(Status::bad_request(format!("the binding's name {name:?} is not that of the request, {:?}", target.name)));
    }
    target_of(&given)?;
    if name.is_empty() {
        return Err(Status::bad_request("the binding does not name its pod"));
    }
    if given.metadata.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty() && namespace != target.namespace) {
        return Err(Status::bad_request("the namespace of the binding is not that of the request"));
    }
    write_binding(server, caller, target, &given, options).await?;
    let mut status = Status::success(None);
    status.code = 201;
    let json = serde_json::to_vec(&status).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Written { object: Shown::Json(json.into()), created: true, warnings })
}

impl ApiServer {
    /// Binds a pod to a node; the pod as it then is.
    pub async fn bind_pod(&self, caller: &Caller, binding: &Binding, options: &WriteOptions) -> Result<Shown, Status> {
        let resource = self.served().find("", "v1", "pods").ok_or_else(Status::path_not_found)?;
        let target =
            Target { resource, subresource: Some("binding".into()), namespace: binding.namespace.clone(), name: binding.name.clone() };
        let mut given = BindingBody::default();
        given.metadata.uid = Some(binding.uid.clone());
        given.target.name = Some(binding.node.clone());
        write_binding(self, caller, &target, &given, options).await
    }
}

async fn write_binding(
    server: &ApiServer,
    caller: &Caller,
    target: &Target,
    given: &BindingBody,
    options: &WriteOptions,
) -> Result<Shown, Status> {
    let write = Write::new(server, caller, target, options)?;
    let node = given.target.name.as_deref().unwrap_or_default();
    let node_labels = server.world().get("", "nodes", "", node).map(|node| node.labels.clone());
    let mut revision = Revision::begin(&write, path(&target.namespace, &target.name));
    loop {
        let decision = revision.existing().and_then(|(entry, old)| {
            if let Some(wanted) = given.metadata.resource_version.as_deref().filter(|v| !v.is_empty() && **v != entry.version.to_string()) {
                let why = format!("the resource version in the precondition is {wanted}, that of the pod {}", entry.version);
                return Err(Status::conflict(&GroupResource::new("", "pods"), &target.name, why));
            }
            let mut object = old.clone_boxed();
            let pod = downcast_mut::<Pod>(&mut *object).ok_or_else(Status::path_not_found)?;
            bind(pod, given, node_labels.as_deref(), write.now)?;
            Ok(Decision::Replace(Ready::of(object, entry.managed())))
        });
        if let Some(settled) = revision.settle(decision).await? {
            return Ok(shown(settled));
        }
    }
}
