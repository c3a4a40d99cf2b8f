//! Which requests a policy or a binding is for: rules over resources and operations, and selectors over labels.

use std::collections::BTreeMap;

use api::Object;
use api::kind::Scope;
use k8s_openapi::api::admissionregistration::v1::{MatchResources, NamedRuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::labels::Selector;

use crate::admission::{Operation, Request};

type Labels = BTreeMap<String, String>;

/// Whether a request is one of those that are described.
pub(super) fn matches(resources: &MatchResources, request: &Request<'_>, object: Option<&dyn Object>) -> bool {
    let exact = resources.match_policy.as_deref() == Some("Exact");
    let any = |rules: &[NamedRuleWithOperations]| rules.iter().any(|rule| is_for(rule, request, object, exact));
    let rules = resources.resource_rules.as_deref().unwrap_or_default();
    (rules.is_empty() || any(rules))
        && !any(resources.exclude_resource_rules.as_deref().unwrap_or_default())
        && matches_namespace(resources.namespace_selector.as_ref(), request, object)
        && matches_object(resources.object_selector.as_ref(), request, object)
}

/// The name that a write is about; that of a new object may be made only later.
pub(super) fn name_of<'r>(request: &'r Request<'_>, object: Option<&'r dyn Object>) -> &'r str {
    let named = object.or(request.old).and_then(|object| object.meta().name.as_deref());
    named.filter(|name| !name.is_empty()).unwrap_or(&request.target.name)
}

pub(super) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
    }
}

fn is_for(rule: &NamedRuleWithOperations, request: &Request<'_>, object: Option<&dyn Object>, exact: bool) -> bool {
    let listed = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|one| one == "*" || one == wanted);
    let resource = &request.target.resource;
    let names = resource.names();
    let version_listed = |group: &str, version: &str| listed(&rule.api_groups, group) && listed(&rule.api_versions, version);
    // What is stored in another version is known by that one as well.
    let stored = resource.stored_kind();
    let scope = match resource.scope() {
        Scope::Cluster => "Cluster",
        Scope::Namespaced => "Namespaced",
    };
    let name = name_of(request, object);
    let names_match = rule.resource_names.as_ref().is_none_or(|names| names.is_empty() || names.iter().any(|one| one == name));
    listed(&rule.operations, operation_name(request.operation))
        && (version_listed(names.group, names.version) || (!exact && version_listed(&stored.group, &stored.version)))
        && rule.resources.iter().flatten().any(|one| covers(one, names.plural, request.target.subresource.as_deref()))
        && rule.scope.as_deref().is_none_or(|wanted| wanted == "*" || wanted == scope)
        && names_match
}

/// Whether an entry such as `pods`, `pods/*` or `*/scale` covers a resource. `*` covers no subresources.
fn covers(entry: &str, plural: &str, subresource: Option<&str>) -> bool {
    let (wanted, wanted_subresource) = entry.split_once('/').map_or((entry, None), |(wanted, sub)| (wanted, Some(sub)));
    let is_wanted = wanted == "*" || wanted == plural;
    is_wanted
        && match (wanted_subresource, subresource) {
            (None, None) => true,
            (Some("*"), _) => true,
            (Some(wanted), Some(subresource)) => wanted == subresource,
            _ => false,
        }
}

fn select(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    // A selector that cannot be read, which validation rules out, selects nothing.
    Selector::of(Some(selector)).is_ok_and(|selector| selector.matches_option(labels))
}

/// By the labels of the namespace that the object is in, or is; other objects of the cluster are in none, and match.
fn matches_namespace(selector: Option<&LabelSelector>, request: &Request<'_>, object: Option<&dyn Object>) -> bool {
    let Some(selector) = selector.filter(|selector| **selector != LabelSelector::default()) else { return true };
    if request.is("", "namespaces", request.target.subresource.as_deref()) {
        let object = object.or(request.old);
        return object.is_some_and(|object| select(selector, object.meta().labels.as_ref()));
    }
    if request.target.namespace.is_empty() {
        return true;
    }
    let namespace = request.world.get("", "namespaces", "", &request.target.namespace);
    namespace.is_some_and(|entry| select(selector, Some(&entry.labels)))
}

/// By the labels of the object, or of what it was.
fn matches_object(selector: Option<&LabelSelector>, request: &Request<'_>, object: Option<&dyn Object>) -> bool {
    let Some(selector) = selector.filter(|selector| **selector != LabelSelector::default()) else { return true };
    object.into_iter().chain(request.old).any(|object| select(selector, object.meta().labels.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn subresources_are_covered_only_by_name() {
        for (entry, plural, subresource, covered) in [
            ("*", "pods", None, true),
            ("*", "pods", Some("status"), false),
            ("*/*", "pods", Some("status"), true),
            ("*/*", "pods", None, true),
            ("pods", "pods", None, true),
            ("pods", "pods", Some("status"), false),
            ("pods/status", "pods", Some("status"), true),
            ("pods/*", "pods", Some("scale"), true),
            ("*/scale", "deployments", Some("scale"), true),
            ("*/scale", "deployments", None, false),
        ] {
            assert_eq!(covers(entry, plural, subresource), covered, "{entry} {plural} {subresource:?}");
        }
    }
}
