//! NodeRestriction: a node writes what is its own: its Node and lease, the status of its pods, and tokens for them.
//! Whoever holds one node's credentials gains nothing over the others, and cannot draw others' work to itself.

use std::collections::BTreeMap;

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::Status;

use super::references::each_in_pod;
use super::{LEASES_NAMESPACE, USER_PREFIX, audiences, node_name};
use crate::admission::{Operation, Plugin, Request};
use crate::auth::certificates;

const MIRROR: &str = "kubernetes.io/config.mirror";

pub struct Restriction;

impl Plugin for Restriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        judge(request, Some(object))
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        // What is written has been judged before.
        let seen = request.operation != Operation::Delete && request.target.subresource.as_deref() != Some("eviction");
        if seen { Ok(()) } else { judge(request, object) }
    }
}

fn judge(request: &Request<'_>, object: Option<&dyn Object>) -> Result<(), Status> {
    let Some(node) = node_name(request.user) else { return Ok(()) };
    let names = request.target.resource.names();
    // The name of what is created stands in the object.
    let name = match object.and_then(|object| object.meta().name.as_deref()) {
        Some(own) if request.target.name.is_empty() => own,
        _ => request.target.name.as_str(),
    };
    let verdict = match (names.group, names.plural, request.target.subresource.as_deref()) {
        _ if node.is_empty() => Err(format!("could not determine node from user {:?}", request.user.name)),
        ("", "pods", None) => pod(request, node, object),
        ("", "pods", Some("status")) => pod_status(request, node, object),
        ("", "pods", Some("eviction")) => own_pod(request, node, name),
        ("", "pods", Some(other)) => Err(format!("a node may use status and eviction of pods, not {other}")),
        ("", "nodes", _) if name != node => Err(format!("node {node:?} may not change node {name:?}")),
        ("", "nodes", _) => own_node(request, node, object),
        ("", "persistentvolumeclaims", Some("status")) => claim_status(request, node, object),
        ("", "persistentvolumeclaims", _) => Err("a node may update the status of claims alone".to_owned()),
        ("", "serviceaccounts", Some("token")) => {
            return token(request, node, object).map_err(|refused| match refused {
                Refused::Because(why) => Status::forbidden(&request.target.resource.group_resource(), name, why),
                Refused::With(status) => status,
            });
        }
        ("certificates.k8s.io", "certificatesigningrequests", None) if request.operation == Operation::Create => {
            signing_request(node, object)
        }
        ("coordination.k8s.io", "leases", _) if request.target.namespace != LEASES_NAMESPACE || name != node => {
            Err(format!("node {node:?} may use its own lease in {LEASES_NAMESPACE:?} only"))
        }
        ("storage.k8s.io", "csinodes", _) if name != node => Err(format!("node {node:?} may use its own CSINode only")),
        ("resource.k8s.io", "resourceslices", _) => resource_slice(request, node, object),
        _ => Ok(()),
    };
    verdict.map_err(|why| Status::forbidden(&request.target.resource.group_resource(), name, why))
}

type Verdict = Result<(), String>;

/// Why a token is refused.
enum Refused {
    Because(String),
    With(Status),
}

impl<T: Into<String>> From<T> for Refused {
    fn from(why: T) -> Self {
        Self::Because(why.into())
    }
}

fn pod(request: &Request<'_>, node: &str, object: Option<&dyn Object>) -> Verdict {
    match request.operation {
        Operation::Delete => own_pod(request, node, &request.target.name),
        Operation::Create => match object.and_then(downcast_ref::<Pod>) {
            Some(pod) => mirror_pod(request, node, pod),
            None => Err("this is no pod".to_owned()),
        },
        Operation::Update => Err(format!("node {node:?} may create and delete mirror pods, not update them")),
    }
}

/// A node creates pods only to show what it runs by itself. They refer to nothing that the API would have to give it.
fn mirror_pod(request: &Request<'_>, node: &str, pod: &Pod) -> Verdict {
    if !pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        return Err(format!("pod does not have annotation {MIRROR:?}: node {node:?} may only create mirror pods"));
    }
    if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node) {
        return Err(format!("node {node:?} may only create pods that are bound to it"));
    }
    let is_own = |owner: &OwnerReference| {
        let is_node = owner.api_version == "v1" && owner.kind == "Node" && owner.name == node;
        is_node && owner.controller == Some(true) && owner.block_owner_deletion != Some(true)
    };
    let owner = match pod.metadata.owner_references.as_deref() {
        Some([owner]) if is_own(owner) => owner,
        _ => return Err(format!("node {node:?} may only create pods that it owns, alone and as their controller")),
    };
    if request.world.get("", "nodes", "", node).is_none_or(|entry| entry.identity().0 != owner.uid) {
        return Err(format!("the owner's UID is not that of node {node:?}"));
    }
    let mut found = None;
    let refers = each_in_pod(&pod.to_value(), |kind, name| {
        found = Some((kind, name.to_owned()));
        true
    });
    if let Some((kind, name)) = found.filter(|_| refers) {
        return Err(format!("node {node:?} may not create pods that refer to objects: {kind:?} {name:?}"));
    }
    match pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten().find(|volume| needs_api(volume)) {
        Some(volume) => Err(format!("node {node:?} may not create pods with volume {:?}, which is not known without the API", volume.name)),
        None => Ok(()),
    }
}

/// Whether a volume needs objects of the API that it does not name.
fn needs_api(volume: &Volume) -> bool {
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
    volume.csi.is_some()
        || volume.glusterfs.is_some()
        || sources.into_iter().flatten().any(|source| source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some())
}

fn pod_status(request: &Request<'_>, node: &str, object: Option<&dyn Object>) -> Verdict {
    let (Some(old), Some(new)) = (request.old.and_then(downcast_ref::<Pod>), object.and_then(downcast_ref::<Pod>)) else {
        return Err("this is no update of a pod".to_owned());
    };
    if old.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node) {
        return Err(format!("node {node:?} may only update the status of pods that are bound to it"));
    }
    if differ(old.metadata.labels.as_ref(), new.metadata.labels.as_ref()).next().is_some() {
        return Err(format!("node {node:?} may not change labels through the status"));
    }
    let claims = |pod: &Pod| pod.status.as_ref().and_then(|status| status.resource_claim_statuses.clone()).unwrap_or_default();
    let extended = |pod: &Pod| pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.clone());
    if claims(old) != claims(new) || extended(old) != extended(new) {
        return Err(format!("node {node:?} may not change the statuses of resource claims"));
    }
    Ok(())
}

fn own_pod(request: &Request<'_>, node: &str, name: &str) -> Verdict {
    let pod = request.world.get("", "pods", &request.target.namespace, name);
    if pod.is_some_and(|pod| pod.field("spec.nodeName") != Some(node)) {
        return Err(format!("node {node:?} may only delete and evict pods that are bound to it"));
    }
    Ok(())
}

fn own_node(request: &Request<'_>, node: &str, object: Option<&dyn Object>) -> Verdict {
    let Some(new) = object.and_then(downcast_ref::<Node>) else { return Ok(()) };
    let old = request.old.and_then(downcast_ref::<Node>);
    // What a node may see depended on it once.
    let source = |node: &Node| node.spec.as_ref().and_then(|spec| spec.config_source.clone());
    if source(new).is_some() && old.is_none_or(|old| source(old) != source(new)) {
        return Err(format!("node {node:?} may not set its configSource"));
    }
    if let Some(old) = old {
        let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        if taints(old) != taints(new) {
            return Err(format!("node {node:?} may not change its taints"));
        }
        let owners = |node: &Node| node.metadata.owner_references.clone().unwrap_or_default();
        if owners(old) != owners(new) {
            return Err(format!("node {node:?} may not change its ownerReferences"));
        }
    }
    let changed = differ(old.and_then(|old| old.metadata.labels.as_ref()), new.metadata.labels.as_ref());
    let forbidden: Vec<&str> = changed.filter(|label| is_reserved(label)).collect();
    if forbidden.is_empty() { Ok(()) } else { Err(format!("node {node:?} may not set or change these labels: {}", forbidden.join(", "))) }
}

/// The labels that stand in one of two maps, or differ.
fn differ<'a>(old: Option<&'a BTreeMap<String, String>>, new: Option<&'a BTreeMap<String, String>>) -> impl Iterator<Item = &'a str> {
    let get = |map: Option<&'a BTreeMap<String, String>>, key: &str| map.and_then(|map| map.get(key));
    let keys = new.into_iter().flatten().chain(old.into_iter().flatten().filter(move |(key, _)| get(new, key).is_none()));
    keys.filter(move |(key, _)| get(old, key) != get(new, key)).map(|(key, _)| key.as_str())
}

/// Whether a label is not for nodes to give themselves: others may rely on it to keep work from a node.
fn is_reserved(label: &str) -> bool {
    const OWN: [&str; 11] = [
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    ];
    let Some((domain, _)) = label.split_once('/') else { return false };
    let within = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if !within("kubernetes.io") && !within("k8s.io") {
        return false;
    }
    !(OWN.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io"))
}

/// A node may say how large a claim's volume has become, and no more.
fn claim_status(request: &Request<'_>, node: &str, object: Option<&dyn Object>) -> Verdict {
    let claims = (request.old.and_then(downcast_ref::<PersistentVolumeClaim>), object.and_then(downcast_ref::<PersistentVolumeClaim>));
    let (Some(old), Some(new)) = claims else { return Err("this is no update of a claim".to_owned()) };
    let rest = |claim: &PersistentVolumeClaim| {
        let mut rest = claim.clone();
        rest.metadata.resource_version = None;
        rest.metadata.managed_fields = None;
        let status = rest.status.get_or_insert_default();
        status.capacity = None;
        status.conditions = None;
        status.allocated_resource_statuses = None;
        status.allocated_resources = None;
        rest
    };
    if rest(old) == rest(new) { Ok(()) } else { Err(format!("node {node:?} may change capacity and conditions of claims alone")) }
}

/// A node asks for tokens of the pods that run on it, each bound to its pod.
fn token(request: &Request<'_>, node: &str, object: Option<&dyn Object>) -> Result<(), Refused> {
    let spec = object.and_then(downcast_ref::<TokenRequest>).and_then(|asked| asked.spec.as_ref());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let is_pod = |version: &str, kind: &str| (version, kind) == ("v1", "Pod");
    let bound = spec.and_then(|spec| spec.bound_object_ref.as_ref()).filter(|b| is_pod(&text(&b.api_version), &text(&b.kind)));
    let (name, uid) = bound.map(|bound| (text(&bound.name), text(&bound.uid))).unwrap_or_default();
    if name.is_empty() {
        return Err("node requested token not bound to a pod".into());
    }
    if uid.is_empty() {
        return Err("node requested token with a pod binding without a uid".into());
    }
    let pod = audiences::pod(request, &name).map_err(Refused::With)?;
    if pod.metadata.uid.as_deref() != Some(uid.as_str()) {
        return Err(format!("the UID in the bound object reference ({uid}) is not that in record").into());
    }
    if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node) {
        return Err("node requested token bound to a pod on another node".into());
    }
    let wanted = spec.and_then(|spec| spec.audiences.as_deref()).unwrap_or_default();
    Ok(audiences::check(request, &pod, wanted)?)
}

/// A node asks for certificates that name it, and no other.
fn signing_request(node: &str, object: Option<&dyn Object>) -> Verdict {
    const OF_NODES: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    let Some(asked) = object.and_then(downcast_ref::<CertificateSigningRequest>) else { return Ok(()) };
    if !OF_NODES.contains(&asked.spec.signer_name.as_str()) {
        return Ok(());
    }
    match certificates::common_name(&asked.spec.request.0) {
        None => Err("the certificate signing request does not read".to_owned()),
        Some(name) if name.strip_prefix(USER_PREFIX) == Some(node) => Ok(()),
        Some(_) => Err(format!("a node may ask for certificates with CN={USER_PREFIX}{node} only")),
    }
}

fn resource_slice(request: &Request<'_>, node: &str, object: Option<&dyn Object>) -> Verdict {
    let name_in = |object: &dyn Object| object.to_value()["spec"]["nodeName"].as_str().map(str::to_owned);
    let seen = object.into_iter().chain(request.old);
    let is_own = seen.map(name_in).all(|named| named.as_deref() == Some(node));
    if is_own { Ok(()) } else { Err(format!("node {node:?} may only write slices whose spec.nodeName is its own")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_give_themselves_only_labels_that_are_theirs() {
        for fine in [
            "a",
            "example.com/a",
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
            "node.kubernetes.io/x",
            "a.kubelet.kubernetes.io/x",
        ] {
            assert!(!is_reserved(fine), "{fine}");
        }
        for reserved in [
            "node-restriction.kubernetes.io/a",
            "a.node-restriction.kubernetes.io/a",
            "kubernetes.io/role",
            "x.k8s.io/a",
            "node-role.kubernetes.io/master",
        ] {
            assert!(is_reserved(reserved), "{reserved}");
        }
    }

    #[test]
    fn labels_differ_that_are_added_removed_or_changed() {
        let map = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let (old, new) = (map(&[("a", "1"), ("b", "1"), ("c", "1")]), map(&[("b", "1"), ("c", "2"), ("d", "1")]));
        let mut found: Vec<&str> = differ(Some(&old), Some(&new)).collect();
        found.sort_unstable();
        assert_eq!(found, ["a", "c", "d"]);
        assert_eq!(differ(None, None).count(), 0);
    }
}
