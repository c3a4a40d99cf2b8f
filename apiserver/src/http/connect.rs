//! Requests that are to be passed on to a pod or to the node that runs it: `exec`, `attach`, `portforward`, `proxy`. What is
//! wrong with one is found out here; nodes take no such requests from this server, so that one that is right is a 503.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use machinery::{GroupResource, Status};

use super::path::ResourcePath;
use super::query::Query;
use crate::server::ApiServer;

const ACTIONS: [&str; 4] = ["exec", "attach", "portforward", "proxy"];

/// What of a pod a request is to be passed on to.
pub(super) fn action(path: &ResourcePath) -> Option<&str> {
    let is_pods = path.group.is_empty() && path.version == "v1" && path.resource == "pods" && !path.namespace.is_empty();
    path.subresource.as_deref().filter(|name| is_pods && ACTIONS.contains(name) && !path.name.is_empty())
}

/// Why the request cannot be passed on.
pub(super) async fn refuse(api: &ApiServer, path: &ResourcePath, action: &str, query: &Query<'_>) -> Status {
    if let Err(status) = api.feed.catch_up().await {
        return status;
    }
    let name = if action == "proxy" { pod_name(&path.name) } else { &path.name };
    let Some(pod) = api.world().object::<Pod>("", "pods", &path.namespace, name) else {
        return Status::not_found(&GroupResource::new("", "pods"), name);
    };
    let spec = pod.spec.clone().unwrap_or_default();
    if action == "proxy" {
        let has_address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).is_some_and(|ip| !ip.is_empty());
        if !has_address {
            return Status::bad_request(format!("pod {name} has no address to send the request to"));
        }
    } else {
        if action != "portforward"
            && let Err(why) = container(&spec, query.get("container"))
        {
            return Status::bad_request(format!("{why} of pod {name}"));
        }
        if spec.node_name.as_deref().unwrap_or_default().is_empty() {
            return Status::bad_request(format!("pod {name} does not have a host assigned"));
        }
    }
    Status::unavailable(format!("the node of pod {name} takes no {action} requests"))
}

/// `[scheme:]name[:port]`
fn pod_name(text: &str) -> &str {
    let mut parts = text.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("http" | "https"), Some(name), _) => name,
        (Some(name), ..) => name,
        (None, ..) => text,
    }
}

/// The container that is meant: the named one, or the only one.
fn container<'s>(spec: &'s PodSpec, named: Option<&str>) -> Result<&'s str, String> {
    let initial = spec.init_containers.iter().flatten().map(|container| &container.name);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.name);
    let mut all = initial.chain(spec.containers.iter().map(|container| &container.name)).chain(ephemeral);
    match (named.filter(|name| !name.is_empty()), spec.containers.as_slice()) {
        (Some(name), _) => all.find(|one| *one == name).map(String::as_str).ok_or_else(|| format!("container {name:?} is none")),
        (None, [only]) => Ok(&only.name),
        (None, _) => Err("a container must be named".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_pods_are_named_with_scheme_and_port() {
        for text in ["web", "web:80", "http:web", "https:web:443"] {
            assert_eq!(pod_name(text), "web", "{text}");
        }
    }
}
