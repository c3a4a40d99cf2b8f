//! Scopes: which objects a quota is about.

use k8s_openapi::api::core::v1::{ResourceQuotaSpec, ScopedResourceSelectorRequirement};

/// What scopes ask about an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    Pod(PodTraits),
    /// A volume claim, with the classes of attributes that it has or is to have.
    Claim {
        attributes: Vec<String>,
    },
    /// Nothing: no scope matches.
    Other,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTraits {
    /// Ends by a deadline.
    pub terminating: bool,
    pub best_effort: bool,
    pub priority_class: String,
    pub crosses_namespaces: bool,
}

/// Whether all scopes of a quota match.
pub fn selects(spec: &ResourceQuotaSpec, subject: &Subject) -> bool {
    let scopes = spec.scopes.iter().flatten();
    let expressions = spec.scope_selector.as_ref().and_then(|selector| selector.match_expressions.as_deref()).unwrap_or_default();
    scopes.into_iter().all(|scope| holds(scope, "Exists", &[], subject))
        && expressions.iter().all(|ScopedResourceSelectorRequirement { scope_name, operator, values }| {
            holds(scope_name, operator, values.as_deref().unwrap_or_default(), subject)
        })
}

fn holds(scope: &str, operator: &str, values: &[String], subject: &Subject) -> bool {
    match (subject, scope) {
        (Subject::Pod(pod), "Terminating") => pod.terminating,
        (Subject::Pod(pod), "NotTerminating") => !pod.terminating,
        (Subject::Pod(pod), "BestEffort") => pod.best_effort,
        (Subject::Pod(pod), "NotBestEffort") => !pod.best_effort,
        (Subject::Pod(pod), "CrossNamespacePodAffinity") => pod.crosses_namespaces,
        (Subject::Pod(pod), "PriorityClass") => {
            let classes = std::slice::from_ref(&pod.priority_class).iter().filter(|class| !class.is_empty());
            compare(operator, values, classes)
        }
        (Subject::Claim { attributes }, "VolumeAttributesClass") => compare(operator, values, attributes.iter()),
        _ => false,
    }
}

fn compare<'a>(operator: &str, values: &[String], mut present: impl Iterator<Item = &'a String>) -> bool {
    match operator {
        "Exists" => present.next().is_some(),
        "DoesNotExist" => present.next().is_none(),
        "In" => present.any(|one| values.contains(one)),
        "NotIn" => !present.any(|one| values.contains(one)),
        _ => false,
    }
}
