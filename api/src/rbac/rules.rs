//! The rules of Roles and ClusterRoles.

use k8s_openapi::api::rbac::v1::PolicyRule;
use machinery::field::{Error, Errors, Path};

use crate::zero;

pub(super) fn default(rules: &mut Option<Vec<PolicyRule>>) {
    for rule in rules.iter_mut().flatten() {
        zero::omit(&mut rule.api_groups);
        zero::omit(&mut rule.resources);
        zero::omit(&mut rule.resource_names);
        zero::omit(&mut rule.non_resource_urls);
    }
}

/// `namespaced` rules cannot speak of URLs, which belong to no namespace.
pub(super) fn check(rules: Option<&Vec<PolicyRule>>, namespaced: bool) -> Errors {
    let path = Path::new("rules");
    rules.into_iter().flatten().enumerate().flat_map(|(i, rule)| check_rule(&path.index(i), rule, namespaced)).collect()
}

fn check_rule(path: &Path, rule: &PolicyRule, namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    if rule.verbs.is_empty() {
        errors.push(Error::required(&path.child("verbs"), "one at least"));
    }
    if let Some(urls) = &rule.non_resource_urls {
        let path = path.child("nonResourceURLs");
        if namespaced {
            errors.push(Error::invalid(&path, urls, "rules of a namespace cannot apply to URLs"));
        }
        if rule.api_groups.is_some() || rule.resources.is_some() || rule.resource_names.is_some() {
            errors.push(Error::invalid(&path, urls, "a rule cannot apply to both resources and URLs"));
        }
        return errors;
    }
    for (name, list) in [("apiGroups", &rule.api_groups), ("resources", &rule.resources)] {
        if list.is_none() {
            errors.push(Error::required(&path.child(name), "one at least"));
        }
    }
    errors
}
