//! PodResizeValidator and NodeDeclaredFeatureValidator: a pod that is on a node is resized only as far as that node can, by its
//! operating system, by what it has for pods, and by the features that its kubelet declares.

use api::Object;
use api::object::downcast_ref;
use api::scheduling::Resources;
use api::scheduling::resources::is_sidecar;
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use machinery::Status;
use machinery::status::Cause;

use super::{Operation, Plugin, Request};

const OS_LABEL: &str = "kubernetes.io/os";
const OF_PODS: &str = "InPlacePodLevelResourcesVerticalScaling";
const OF_INIT_CONTAINERS: &str = "InPlacePodVerticalScalingInitContainers";

pub(super) struct NodeDeclaredFeatures;

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if !request.is("", "pods", None) && !request.is("", "pods", Some("resize")) {
            return Ok(());
        }
        let Some((object, new, old)) = changed(request, object) else { return Ok(()) };
        let needed = needed_features(new, old);
        if needed.is_empty() {
            return Ok(());
        }
        let node = node_of(request, object, new)?;
        let declared = node.status.and_then(|status| status.declared_features).unwrap_or_default();
        match needed.iter().find(|feature| !declared.iter().any(|known| known == *feature)) {
            None => Ok(()),
            Some(feature) => Err(request.forbidden(object, format!("the pod's node lacks the feature {feature}"))),
        }
    }
}

pub(super) struct PodResize;

impl Plugin for PodResize {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if !request.is("", "pods", Some("resize")) {
            return Ok(());
        }
        let Some((object, new, _)) = changed(request, object) else { return Ok(()) };
        let node = node_of(request, object, new)?;
        let refuse = |cause: &str, why: &str| {
            let mut status = request.forbidden(object, why);
            let details = status.details.get_or_insert_default();
            details.causes.push(Cause { reason: cause.to_owned(), ..Cause::default() });
            Err(status)
        };
        let os = node.metadata.labels.as_ref().and_then(|labels| labels.get(OS_LABEL));
        if os.is_some_and(|os| os != "linux") {
            return refuse("UnsupportedPlatform", "pods are resized on nodes with Linux only");
        }
        let (wanted, there_is) = (Resources::requested_by(new), Resources::allocatable(&node));
        if wanted.cpu_milli > there_is.cpu_milli || wanted.memory_bytes > there_is.memory_bytes {
            return refuse("NodeCapacity", "the pod's node does not have as much");
        }
        Ok(())
    }
}

/// The new spec and the old one, of a pod on a node whose spec changes.
fn changed<'a>(request: &Request<'a>, object: Option<&'a dyn Object>) -> Option<(&'a dyn Object, &'a PodSpec, &'a PodSpec)> {
    let object = object.filter(|_| request.operation == Operation::Update)?;
    let (new, old) = (downcast_ref::<Pod>(object)?, downcast_ref::<Pod>(request.old?)?);
    let (spec, was) = (new.spec.as_ref()?, old.spec.as_ref()?);
    let is_placed = spec.node_name.as_ref().is_some_and(|node| !node.is_empty());
    (is_placed && new.metadata.generation != old.metadata.generation).then_some((object, spec, was))
}

fn node_of(request: &Request<'_>, object: &dyn Object, spec: &PodSpec) -> Result<Node, Status> {
    let name = spec.node_name.as_deref().unwrap_or_default();
    let node = request.world.object::<Node>("", "nodes", "", name);
    node.ok_or_else(|| request.forbidden(object, format!("node {name:?} not found")))
}

fn needed_features(new: &PodSpec, old: &PodSpec) -> Vec<&'static str> {
    let init = |spec: &PodSpec| -> Vec<Container> { spec.init_containers.clone().unwrap_or_default() };
    let (new_init, old_init) = (init(new), init(old));
    let mut steps = old_init.iter().zip(&new_init).filter(|(old, _)| !is_sidecar(old));
    let mut needed = Vec::new();
    if steps.any(|(old, new)| old.resources != new.resources) {
        needed.push(OF_INIT_CONTAINERS);
    }
    if old.resources != new.resources {
        needed.push(OF_PODS);
    }
    needed
}
