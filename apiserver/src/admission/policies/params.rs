//! The parameters of a policy: objects that its binding names or selects.

use k8s_openapi::api::admissionregistration::v1::{ParamKind, ParamRef};
use machinery::labels::Selector;
use serde_json::Value as Json;

use crate::admission::Request;
use crate::log::path;

/// The sets of parameters that a policy is evaluated with, each for itself; one that is null where it has none. The error
/// says why there should have been some.
pub(super) fn find(kind: Option<&ParamKind>, reference: Option<&ParamRef>, request: &Request<'_>) -> Result<Vec<Json>, String> {
    let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![Json::Null]) };
    let (version, name) = (kind.api_version.as_deref().unwrap_or_default(), kind.kind.as_deref().unwrap_or_default());
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let Some(log) = request.world.log_of_kind(group, version, name) else {
        return Err(format!("the kind of the parameters, {name} of {group}/{version}, is not served"));
    };
    let resource = log.resource();
    let namespace = match (resource.scope(), reference.namespace.as_deref()) {
        (api::kind::Scope::Cluster, _) => "",
        (_, Some(namespace)) => namespace,
        (_, None) if request.target.namespace.is_empty() => {
            return Err("parameters in the namespace of the request's object: it has none".to_owned());
        }
        (_, None) => request.target.namespace.as_str(),
    };
    let read = |entry: &crate::log::Entry| entry.kept_object(resource).ok().map(|object| resource.encode(&*object));
    let found: Vec<Json> = match &reference.name {
        Some(name) => log.get(&path(namespace, name)).as_deref().and_then(read).into_iter().collect(),
        None => {
            let selector = Selector::of(reference.selector.as_ref()).map_err(|error| error.to_string())?;
            let snapshot = log.snapshot();
            let entries = snapshot.range(namespace, "").map(|(_, entry)| entry);
            entries.filter(|entry| selector.matches(&entry.labels)).filter_map(|entry| read(entry)).collect()
        }
    };
    if found.is_empty() && reference.parameter_not_found_action.as_deref() == Some("Deny") {
        return Err("there are no parameters for the policy's binding, and it denies without them".to_owned());
    }
    Ok(found)
}
