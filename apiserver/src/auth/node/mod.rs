//! Nodes: what an agent may do that calls as `system:node:<name>` in the group `system:nodes`. [`Nodes`] decides by
//! what stands in the logs: a node may read what the pods need that are bound to it, and little else.
//! [`Restriction`] judges what a node writes.

mod audiences;
mod references;
mod restriction;

use api::strategy::UserInfo;
use serde_json::Value;

pub use restriction::Restriction;

use super::authorize::{Attributes, Decision, Grounds, ResourceAccess};
use super::rbac::Rule;
use super::rbac::bootstrap::Defaults;
use crate::admission::World;
use references::{Kind, each_in_pod, each_secret_in_volume};

pub(super) const USER_PREFIX: &str = "system:node:";
pub(super) const GROUP: &str = "system:nodes";
const LEASES_NAMESPACE: &str = "kube-node-lease";

/// The name of the node whose agent calls; it may be empty. None: the caller is no node.
pub fn node_name(user: &UserInfo) -> Option<&str> {
    user.name.strip_prefix(USER_PREFIX).filter(|_| user.groups.iter().any(|group| group == GROUP))
}

/// Decides about nodes.
pub struct Nodes {
    world: World,
    /// What holds for all nodes alike, where nothing below says more.
    rules: Box<[Rule]>,
}

/// What a rule says no with.
type Verdict = Result<(), String>;

impl Nodes {
    pub fn new(world: World) -> Self {
        Self { world, rules: Defaults::read().rules_of("system:node") }
    }

    /// Decides about a request of `node`.
    pub fn authorize(&self, node: &str, attributes: &Attributes<'_>) -> Decision {
        let verdict = match attributes {
            _ if node.is_empty() => Err("the user name names no node".to_owned()),
            Attributes::Resource(access) => self.judge(node, access).unwrap_or_else(|| self.by_rules(attributes)),
            Attributes::Path { .. } => self.by_rules(attributes),
        };
        match verdict {
            Ok(()) => Decision::Allow(Grounds::Node),
            Err(reason) => Decision::NoOpinion { reason },
        }
    }

    fn by_rules(&self, attributes: &Attributes<'_>) -> Verdict {
        if self.rules.iter().any(|rule| rule.allows(attributes)) { Ok(()) } else { Err(String::new()) }
    }

    /// None: the resource has no rule of its own.
    fn judge(&self, node: &str, access: &ResourceAccess<'_>) -> Option<Verdict> {
        Some(match (access.group, access.resource) {
            ("", "secrets") => read(node, access, || self.needs_secret(node, access)),
            ("", "configmaps") => read(node, access, || self.needs(node, access, Kind::ConfigMap)),
            ("", "persistentvolumeclaims") if access.subresource == Some("status") => match access.verb {
                "update" | "patch" => related(node, self.needs(node, access, Kind::Claim)),
                _ => Err("a node may update or patch the status alone".to_owned()),
            },
            ("", "persistentvolumeclaims") => get(access, || related(node, self.needs(node, access, Kind::Claim))),
            ("", "persistentvolumes") => get(access, || related(node, self.needs_volume(node, access.name))),
            ("resource.k8s.io", "resourceclaims") => get(access, || related(node, self.needs(node, access, Kind::ResourceClaim))),
            ("storage.k8s.io", "volumeattachments") => get(access, || related(node, self.is_attached(node, access.name))),
            ("", "serviceaccounts") => self.service_account(node, access),
            ("coordination.k8s.io", "leases") => lease(node, access),
            ("storage.k8s.io", "csinodes") => csi_node(node, access),
            ("resource.k8s.io", "resourceslices") => self.resource_slice(node, access),
            ("", "nodes") => own_node(node, access),
            ("", "pods") => self.pod(node, access),
            _ => return None,
        })
    }

    fn service_account(&self, node: &str, access: &ResourceAccess<'_>) -> Verdict {
        match (access.verb, access.subresource) {
            _ if access.name.is_empty() => Err("a node may ask for single service accounts only".to_owned()),
            ("create", Some("token")) | ("get", None) => related(node, self.needs(node, access, Kind::ServiceAccount)),
            _ => Err("a node may get service accounts and create their tokens, no more".to_owned()),
        }
    }

    fn resource_slice(&self, node: &str, access: &ResourceAccess<'_>) -> Verdict {
        match access.verb {
            _ if access.subresource.is_some() => Err("there are no subresources of these for nodes".to_owned()),
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => {
                let slice = self.value("resource.k8s.io", "resourceslices", "", access.name);
                related(node, slice.is_some_and(|slice| slice["spec"]["nodeName"] == node))
            }
            "list" | "watch" | "deletecollection" if access.selected("spec.nodeName") == Some(node) => Ok(()),
            _ => Err("a node may list these with a field selector for spec.nodeName only".to_owned()),
        }
    }

    fn pod(&self, node: &str, access: &ResourceAccess<'_>) -> Verdict {
        match (access.subresource, access.verb) {
            (None, "get") => related(node, self.is_bound(node, access)),
            (None, "list" | "watch") if access.selected("spec.nodeName") == Some(node) => Ok(()),
            (None, "list" | "watch") if !access.name.is_empty() => related(node, self.is_bound(node, access)),
            (None, "list" | "watch") => Err("a node may list pods with a field selector for spec.nodeName only".to_owned()),
            // Admission sees whose they are.
            (None, "create" | "delete") | (Some("status"), "update" | "patch") | (Some("eviction"), "create") => Ok(()),
            _ => Err(String::new()),
        }
    }

    fn is_bound(&self, node: &str, access: &ResourceAccess<'_>) -> bool {
        let pod = self.world.get("", "pods", access.namespace, access.name);
        pod.is_some_and(|pod| pod.field("spec.nodeName") == Some(node))
    }

    fn is_attached(&self, node: &str, name: &str) -> bool {
        self.value("storage.k8s.io", "volumeattachments", "", name).is_some_and(|attachment| attachment["spec"]["nodeName"] == node)
    }

    /// Whether a pod of the node refers to an object in its namespace.
    fn needs(&self, node: &str, access: &ResourceAccess<'_>, kind: Kind) -> bool {
        self.any_reference(node, access.namespace, |_, found, name| found == kind && name == access.name)
    }

    fn needs_secret(&self, node: &str, access: &ResourceAccess<'_>) -> bool {
        let is_it = |namespace: &str, name: &str| namespace == access.namespace && name == access.name;
        self.needs(node, access, Kind::Secret)
            || self.any_reference(node, "", |namespace, kind, claim| {
                let volume = (kind == Kind::Claim).then(|| self.volume_of(namespace, claim)).flatten();
                volume.is_some_and(|volume| each_secret_in_volume(&volume, namespace, is_it))
            })
    }

    /// Whether a pod of the node uses the claim that is bound to a volume.
    fn needs_volume(&self, node: &str, name: &str) -> bool {
        let Some(volume) = self.value("", "persistentvolumes", "", name) else { return false };
        let (namespace, claim) = (&volume["spec"]["claimRef"]["namespace"], &volume["spec"]["claimRef"]["name"]);
        let (Some(namespace), Some(claim)) = (namespace.as_str(), claim.as_str()) else { return false };
        let names_it = self.value("", "persistentvolumeclaims", namespace, claim).is_some_and(|claim| claim["spec"]["volumeName"] == name);
        names_it && self.any_reference(node, namespace, |_, kind, found| kind == Kind::Claim && found == claim)
    }

    fn volume_of(&self, namespace: &str, claim: &str) -> Option<Value> {
        let claim = self.value("", "persistentvolumeclaims", namespace, claim)?;
        self.value("", "persistentvolumes", "", claim["spec"]["volumeName"].as_str()?)
    }

    /// Whether a reference of one of the node's pods, in one namespace or in all, fulfils a condition. The log knows
    /// where pods are bound; only those of the node, a hundred or so, are decoded.
    fn any_reference(&self, node: &str, namespace: &str, mut wanted: impl FnMut(&str, Kind, &str) -> bool) -> bool {
        let Some(log) = self.world.log("", "pods") else { return false };
        let snapshot = log.snapshot();
        let pods = snapshot.range(namespace, "").filter(|(_, pod)| pod.field("spec.nodeName") == Some(node));
        pods.into_iter().any(|(_, entry)| {
            let Ok(pod) = serde_json::from_slice::<Value>(&entry.json) else { return false };
            each_in_pod(&pod, |kind, name| wanted(&entry.key.namespace, kind, name))
        })
    }

    fn value(&self, group: &'static str, plural: &'static str, namespace: &str, name: &str) -> Option<Value> {
        serde_json::from_slice(&self.world.get(group, plural, namespace, name)?.json).ok()
    }
}

fn related(node: &str, is_related: bool) -> Verdict {
    if is_related { Ok(()) } else { Err(format!("no relationship found between node {node:?} and this object")) }
}

/// Reads of one object that a pod of the node needs; a list or watch of its name alone counts as one.
fn read(node: &str, access: &ResourceAccess<'_>, is_needed: impl FnOnce() -> bool) -> Verdict {
    match (access.verb, access.subresource) {
        ("get" | "list" | "watch", None) if access.namespace.is_empty() => Err("a node may read these in a namespace only".to_owned()),
        ("get" | "list" | "watch", None) if access.name.is_empty() => Err("a node may read these by name only".to_owned()),
        ("get" | "list" | "watch", None) => related(node, is_needed()),
        _ => Err("a node may only read these".to_owned()),
    }
}

fn get(access: &ResourceAccess<'_>, verdict: impl FnOnce() -> Verdict) -> Verdict {
    match (access.verb, access.subresource) {
        ("get", None) if !access.name.is_empty() => verdict(),
        _ => Err("a node may only get single ones of these".to_owned()),
    }
}

/// Reads compare the name, so that an agent may look for its node before it has made it.
fn own_node(node: &str, access: &ResourceAccess<'_>) -> Verdict {
    match (access.subresource, access.verb) {
        // Admission sees that it is its own.
        (None, "create" | "update" | "patch") | (Some("status"), "update" | "patch") => Ok(()),
        (None, "get" | "list" | "watch") if access.name == node => Ok(()),
        (None, "get" | "list" | "watch") => Err(format!("node {node:?} may read its own Node only")),
        _ => Err(String::new()),
    }
}

/// The name of what is created is not known here; admission sees it.
fn lease(node: &str, access: &ResourceAccess<'_>) -> Verdict {
    match access.verb {
        _ if access.namespace != LEASES_NAMESPACE => Err(format!("a node may use leases in {LEASES_NAMESPACE:?} only")),
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" if access.name == node => Ok(()),
        "get" | "update" | "patch" | "delete" => Err("a node may use the lease of its own name only".to_owned()),
        _ => Err("a node may get, create, update, patch and delete its lease, no more".to_owned()),
    }
}

fn csi_node(node: &str, access: &ResourceAccess<'_>) -> Verdict {
    match access.verb {
        _ if access.subresource.is_some() => Err("there are no subresources of these for nodes".to_owned()),
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" if access.name == node => Ok(()),
        _ => Err("a node may use the CSINode of its own name only".to_owned()),
    }
}
