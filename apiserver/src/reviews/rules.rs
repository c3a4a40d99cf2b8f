//! SelfSubjectRulesReview: all that the caller may do in a namespace, as far as rules say it.

use k8s_openapi::api::authorization::v1::{NonResourceRule, ResourceRule, SelfSubjectRulesReview, SubjectRulesReviewStatus};
use machinery::{Status, status};

use super::Asked;
use crate::auth::node;
use crate::auth::rbac::{self, Held, Rule};

/// Nothing is kept of the question.
pub(super) fn of_caller(asked: &Asked<'_>, review: &SelfSubjectRulesReview) -> status::Result<SelfSubjectRulesReview> {
    let namespace = review.spec.namespace.as_deref().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("the review names no namespace"));
    }
    let user = &asked.caller.user;
    // What a node may do depends on its pods, which no rule says.
    let is_node = node::node_name(user).is_some();
    let Held { rules, missing } = asked.server.access().rbac.rules(user, namespace);
    let of_node = is_node.then(|| "the rules of nodes cannot be listed".to_owned());
    let said: Vec<String> = of_node.into_iter().chain(missing).collect();
    let mut answer = SubjectRulesReviewStatus {
        resource_rules: Vec::new(),
        non_resource_rules: Vec::new(),
        incomplete: is_node,
        evaluation_error: rbac::together(&said),
    };
    for rule in rules {
        if !rule.resources.is_empty() {
            answer.resource_rules.push(of_resources(&rule));
        }
        if !rule.paths.is_empty() {
            answer.non_resource_rules.push(NonResourceRule { verbs: list(&rule.verbs), non_resource_urls: Some(list(&rule.paths)) });
        }
    }
    Ok(SelfSubjectRulesReview { status: Some(answer), ..SelfSubjectRulesReview::default() })
}

fn of_resources(rule: &Rule) -> ResourceRule {
    ResourceRule {
        verbs: list(&rule.verbs),
        api_groups: Some(list(&rule.groups)),
        resources: Some(list(&rule.resources)),
        resource_names: Some(list(&rule.names)).filter(|names| !names.is_empty()),
    }
}

fn list(items: &[Box<str>]) -> Vec<String> {
    items.iter().map(|item| item.to_string()).collect()
}
