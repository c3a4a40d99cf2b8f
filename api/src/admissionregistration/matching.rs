//! Which requests a webhook or policy is for: rules over resources and operations, and label selectors.

use k8s_openapi::api::admissionregistration::v1::{MatchResources, NamedRuleWithOperations, ParamKind, ParamRef, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, Errors, Path};
use machinery::{labels, names};

use crate::columns;
use crate::{validate, zero};

const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const UNSET: &str = "<unset>";

/// The parts that rules of webhooks and of policies have in common.
struct Rule<'a> {
    operations: &'a [String],
    groups: &'a [String],
    versions: &'a [String],
    resources: &'a [String],
    scope: Option<&'a str>,
}

fn list(list: &Option<Vec<String>>) -> &[String] {
    list.as_deref().unwrap_or_default()
}

pub(super) fn default_rule(rule: &mut RuleWithOperations) {
    rule.scope.get_or_insert_with(|| "*".to_owned());
    for list in [&mut rule.api_groups, &mut rule.api_versions, &mut rule.operations, &mut rule.resources] {
        zero::omit(list);
    }
}

fn default_named_rule(rule: &mut NamedRuleWithOperations) {
    rule.scope.get_or_insert_with(|| "*".to_owned());
    zero::omit(&mut rule.resource_names);
    for list in [&mut rule.api_groups, &mut rule.api_versions, &mut rule.operations, &mut rule.resources] {
        zero::omit(list);
    }
}

pub(super) fn default_resources(resources: &mut MatchResources) {
    resources.match_policy.get_or_insert_with(|| "Equivalent".to_owned());
    zero::keep(&mut resources.namespace_selector);
    zero::keep(&mut resources.object_selector);
    for rules in [&mut resources.resource_rules, &mut resources.exclude_resource_rules] {
        zero::omit(rules);
        rules.iter_mut().flatten().for_each(default_named_rule);
    }
}

pub(super) fn check_rule(path: &Path, rule: &RuleWithOperations) -> Errors {
    check_parts(
        path,
        &Rule {
            operations: list(&rule.operations),
            groups: list(&rule.api_groups),
            versions: list(&rule.api_versions),
            resources: list(&rule.resources),
            scope: rule.scope.as_deref(),
        },
    )
}

fn check_named_rule(path: &Path, rule: &NamedRuleWithOperations) -> Errors {
    let names = list(&rule.resource_names);
    let mut errors = Errors::new();
    for (i, name) in names.iter().enumerate() {
        let path = path.child("resourceNames").index(i);
        errors.extend(validate::complaints(&path, name, names::path_segment(name, false)));
        if names[..i].contains(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors.extend(check_parts(
        path,
        &Rule {
            operations: list(&rule.operations),
            groups: list(&rule.api_groups),
            versions: list(&rule.api_versions),
            resources: list(&rule.resources),
            scope: rule.scope.as_deref(),
        },
    ));
    errors
}

/// Nothing is left of what is deleted that could be changed.
pub(super) fn check_mutating_operations(path: &Path, resources: &MatchResources) -> Errors {
    let path = path.child("resourceRules").child("operations");
    let operations = resources.resource_rules.iter().flatten().flat_map(|rule| list(&rule.operations));
    operations.flat_map(|operation| validate::supported_value(&path, operation, &["*", "CONNECT", "CREATE", "UPDATE"])).collect()
}

fn check_parts(path: &Path, rule: &Rule<'_>) -> Errors {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let mut errors = check_starred(&path.child("operations"), rule.operations);
    for (i, operation) in rule.operations.iter().enumerate() {
        errors.extend(validate::supported_value(&path.child("operations").index(i), operation, &OPERATIONS));
    }
    errors.extend(check_starred(&path.child("apiGroups"), rule.groups));
    let versions = path.child("apiVersions");
    errors.extend(check_starred(&versions, rule.versions));
    for (i, _) in rule.versions.iter().enumerate().filter(|(_, version)| version.is_empty()) {
        errors.push(Error::required(&versions.index(i), ""));
    }
    errors.extend(check_resources_list(&path.child("resources"), rule.resources));
    if let Some(scope) = rule.scope {
        errors.extend(validate::supported_value(&path.child("scope"), scope, &["*", "Cluster", "Namespaced"]));
    }
    errors
}

/// A list that must not be empty, and holds either `*` alone or no `*`.
fn check_starred(path: &Path, list: &[String]) -> Errors {
    if list.is_empty() {
        return vec![Error::required(path, "")];
    }
    if list.len() > 1 && list.iter().any(|element| element == "*") {
        return vec![Error::invalid(path, list, "if '*' is present, it must be alone")];
    }
    Errors::new()
}

/// Resources and `resource/subresource`, where either may be `*`; what a wildcard covers must not come after it.
fn check_resources_list(path: &Path, resources: &[String]) -> Errors {
    if resources.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    for (i, text) in resources.iter().enumerate() {
        let path = path.index(i);
        if text.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        let Some((resource, sub)) = text.split_once('/') else { continue };
        let before = |covering: String| resources[..i].contains(&covering);
        if before(format!("{resource}/*")) {
            errors.push(Error::invalid(&path, text, format!("'{resource}/*' covers it")));
        }
        if before(format!("*/{sub}")) {
            errors.push(Error::invalid(&path, text, format!("'*/{sub}' covers it")));
        }
    }
    let has = |text: &str| resources.iter().any(|resource| resource == text);
    if has("*/*") && resources.len() > 1 {
        errors.push(Error::invalid(path, resources, "if '*/*' is present, it must be alone"));
    }
    // Only the last one without a subresource counts.
    let last = resources.iter().rfind(|text| !text.is_empty() && !text.contains('/'));
    if has("*") && last.is_some_and(|last| last != "*") {
        errors.push(Error::invalid(path, resources, "if '*' is present, it covers the others without subresources"));
    }
    errors
}

/// `needs_rules`: a policy has to say what it is about; a binding may leave that to its policy.
pub(super) fn check_resources(path: &Path, resources: &MatchResources, needs_rules: bool) -> Errors {
    let mut errors = Errors::new();
    let policy = path.child("matchPolicy");
    errors.extend(super::choice(&policy, resources.match_policy.as_deref(), &MATCH_POLICIES));
    for (name, selector) in [("namespaceSelector", &resources.namespace_selector), ("objectSelector", &resources.object_selector)] {
        match selector {
            None => errors.push(Error::required(&path.child(name), "")),
            Some(selector) => errors.extend(labels::validate(selector, &path.child(name))),
        }
    }
    for (name, rules) in [("resourceRules", &resources.resource_rules), ("excludeResourceRules", &resources.exclude_resource_rules)] {
        for (i, rule) in rules.iter().flatten().enumerate() {
            errors.extend(check_named_rule(&path.child(name).index(i), rule));
        }
    }
    if needs_rules && resources.resource_rules.is_none() {
        errors.push(Error::required(&path.child("resourceRules"), ""));
    }
    errors
}

pub(super) fn check_match_policy(path: &Path, policy: Option<&str>) -> Errors {
    policy.map(|policy| validate::supported_value(path, policy, &MATCH_POLICIES)).unwrap_or_default()
}

pub(super) fn check_param_kind(path: &Path, kind: Option<&ParamKind>) -> Errors {
    let Some(kind) = kind else { return Errors::new() };
    let mut errors = Errors::new();
    let text = kind.api_version.as_deref().unwrap_or_default();
    let path_of_version = path.child("apiVersion");
    // However much is wrong with a part, it is one cause.
    let one = |path: &Path, value: &str, wrong: Vec<String>| (!wrong.is_empty()).then(|| Error::invalid(path, value, wrong.join(", ")));
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    if text.is_empty() {
        errors.push(Error::required(&path_of_version, ""));
    } else if version.contains('/') {
        errors.push(Error::invalid(&path_of_version, text, "must be a version, or a group and a version"));
    } else {
        if !group.is_empty() {
            errors.extend(one(&path_of_version, group, names::dns1123_subdomain(group, false)));
        }
        errors.extend(one(&path_of_version, version, names::dns1035_label(version, false)));
    }
    let name = kind.kind.as_deref().unwrap_or_default();
    if name.is_empty() {
        errors.push(Error::required(&path.child("kind"), ""));
    } else {
        errors.extend(one(&path.child("kind"), name, names::dns1035_label(&name.to_lowercase(), false)));
    }
    errors
}

pub(super) fn default_param_ref(reference: &mut Option<ParamRef>) {
    if let Some(reference) = reference {
        zero::omit(&mut reference.name);
        zero::omit(&mut reference.namespace);
    }
}

pub(super) fn check_param_ref(path: &Path, reference: Option<&ParamRef>) -> Errors {
    let Some(reference) = reference else { return Errors::new() };
    const BOTH: &str = "name and selector are mutually exclusive";
    let mut errors = Errors::new();
    if let Some(name) = &reference.name {
        errors.extend(validate::complaints(&path.child("name"), name, names::path_segment(name, false)));
        errors.extend(reference.selector.is_some().then(|| Error::forbidden(&path.child("name"), BOTH)));
    }
    if let Some(selector) = &reference.selector {
        errors.extend(labels::validate(selector, &path.child("selector")));
        errors.extend(reference.name.is_some().then(|| Error::forbidden(&path.child("selector"), BOTH)));
    }
    if reference.name.is_none() && reference.selector.is_none() {
        errors.push(Error::required(path, "one of name and selector"));
    }
    let action = path.child("parameterNotFoundAction");
    errors.extend(validate::one_of(&action, reference.parameter_not_found_action.as_deref(), &["Allow", "Deny"]));
    errors
}

pub(super) fn check_policy_name(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    validate::complaints(path, name, names::dns1123_subdomain(name, false))
}

/// The cell of a policy's column ParamKind.
pub(super) fn param_kind_cell(kind: Option<&ParamKind>) -> String {
    kind.map_or_else(
        || UNSET.to_owned(),
        |kind| columns::or_none([&kind.api_version, &kind.kind].into_iter().flatten().cloned().collect::<Vec<_>>().join("/")),
    )
}

/// The cell of a binding's column ParamRef: a name in its namespace, or in any; a selector as Go shows it.
pub(super) fn param_ref_cell(reference: Option<&ParamRef>) -> String {
    let Some(reference) = reference else { return UNSET.to_owned() };
    match (&reference.name, &reference.selector) {
        (Some(name), _) => format!("{}/{name}", reference.namespace.as_deref().unwrap_or("*")),
        (None, Some(selector)) => selector_cell(selector),
        (None, None) => UNSET.to_owned(),
    }
}

fn selector_cell(selector: &LabelSelector) -> String {
    let labels: String = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions: String = (selector.match_expressions.iter().flatten())
        .map(|one| {
            let values = one.values.as_deref().unwrap_or_default().join(" ");
            format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", one.key, one.operator)
        })
        .collect();
    format!("&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}")
}
