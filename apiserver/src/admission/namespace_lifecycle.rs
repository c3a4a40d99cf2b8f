//! NamespaceLifecycle: nothing is made in a namespace that does not exist or is going away, and the namespaces that the
//! system cannot do without stay.

use api::Object;
use api::kind::Scope;
use k8s_openapi::api::core::v1::Namespace;
use machinery::{GroupResource, Status};

use super::{Operation, Plugin, Request};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        create(request, object.meta().name.as_deref().unwrap_or_default())
    }

    fn validate(&self, request: &Request<'_>, _object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        let name = request.target.name.as_str();
        if request.operation == Operation::Delete && request.is("", "namespaces", None) && IMMORTAL.contains(&name) {
            return Err(Status::forbidden(&GroupResource::new("", "namespaces"), name, "this namespace may not be deleted"));
        }
        // What is created of an object that is there, such as an eviction, is not asked about before.
        if request.target.subresource.is_some() { create(request, name) } else { Ok(()) }
    }
}

/// Whether something may be created in the namespace, under this name.
fn create(request: &Request<'_>, name: &str) -> Result<(), Status> {
    let resource = &request.target.resource;
    let namespace = request.target.namespace.as_str();
    if request.operation != Operation::Create || resource.scope() == Scope::Cluster {
        return Ok(());
    }
    let Some(found) = request.world.object::<Namespace>("", "namespaces", "", namespace) else {
        return Err(Status::not_found(&GroupResource::new("", "namespaces"), namespace));
    };
    let terminating = found.metadata.deletion_timestamp.is_some()
        || found.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Terminating");
    if !terminating {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let message = format!("namespace {namespace} is being terminated");
    let refused = Status::forbidden(&resource.group_resource(), name, why);
    Err(refused.with_cause("NamespaceTerminating", message, "metadata.namespace"))
}
