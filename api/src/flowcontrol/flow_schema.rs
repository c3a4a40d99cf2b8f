//! FlowSchema: which requests belong together, and how important they are.

use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{
    FlowSchema, FlowSchemaSpec, FlowSchemaStatus, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{GROUP, mandatory};
use crate::apps::bump_generation;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{self, Context, UpdateStrategy};
use crate::{validate, zero};

const MIDDLE_PRECEDENCE: i32 = 1000;
const MOST_PRECEDENCE: i32 = 10_000;
/// Those of resources; rules for URLs take them too, though requests for URLs have others.
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub struct FlowSchemas;

impl Kind for FlowSchemas {
    type Object = FlowSchema;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "FlowSchema",
        plural: "flowschemas",
        singular: "flowschema",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "flowschemas";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("PriorityLevel", "The level of the requests."),
        Column::text("MatchingPrecedence", "Which schema is tried first."),
        Column::text("DistinguisherMethod", "What tells flows apart."),
        Column::AGE,
        Column::text("MissingPL", "Whether the level is missing."),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(schema: &mut FlowSchema) {
        let spec = zero::keep(&mut schema.spec);
        zero::omit(&mut spec.matching_precedence);
        spec.matching_precedence.get_or_insert(MIDDLE_PRECEDENCE);
        zero::omit(&mut spec.rules);
        for rule in spec.rules.iter_mut().flatten() {
            zero::omit(&mut rule.resource_rules);
            zero::omit(&mut rule.non_resource_rules);
            for resource in rule.resource_rules.iter_mut().flatten() {
                zero::omit(&mut resource.cluster_scope);
                zero::omit(&mut resource.namespaces);
            }
        }
        zero::omit(&mut zero::keep(&mut schema.status).conditions);
    }

    fn prepare_create(_cx: &Context<'_>, schema: &mut FlowSchema) {
        schema.status = Some(FlowSchemaStatus::default());
        schema.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, schema: &FlowSchema) -> Errors {
        check(schema)
    }

    fn update() -> &'static dyn UpdateStrategy<FlowSchema> {
        &Update
    }

    fn subresources() -> Vec<Subresource<FlowSchema>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(schema: &FlowSchema, now: Timestamp) -> Vec<Value> {
        let none = FlowSchemaSpec::default();
        let spec = schema.spec.as_ref().unwrap_or(&none);
        let conditions = schema.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let dangling = conditions.filter(|c| c.type_.as_deref() == Some("Dangling")).find_map(|c| c.status.clone());
        vec![
            columns::name(&schema.metadata),
            json!(spec.priority_level_configuration.name),
            json!(spec.matching_precedence.unwrap_or(0)),
            json!(spec.distinguisher_method.as_ref().map_or(columns::NONE, |method| method.type_.as_str())),
            columns::age(&schema.metadata, now),
            json!(dangling.unwrap_or_else(|| "?".to_owned())),
        ]
    }
}

struct Update;

impl UpdateStrategy<FlowSchema> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut FlowSchema, old: &FlowSchema) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &FlowSchema, _old: &FlowSchema) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<FlowSchema> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut FlowSchema, old: &FlowSchema) {
        new.spec.clone_from(&old.spec);
        strategy::keep_metadata(&mut new.metadata, &old.metadata);
        new.metadata.deletion_grace_period_seconds = old.metadata.deletion_grace_period_seconds;
    }

    fn validate(&self, _cx: &Context<'_>, new: &FlowSchema, _old: &FlowSchema) -> Errors {
        let path = Path::new("status").child("conditions");
        let types: Vec<&str> =
            new.status.iter().flat_map(|s| s.conditions.iter().flatten()).map(|c| c.type_.as_deref().unwrap_or_default()).collect();
        super::priority_level_configuration::check_conditions(&path, &types)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }
}

fn check(schema: &FlowSchema) -> Errors {
    let none = FlowSchemaSpec::default();
    let spec = schema.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let precedence_path = path.child("matchingPrecedence");
    let mut errors = Errors::new();
    let precedence = spec.matching_precedence.unwrap_or(0);
    if precedence <= 0 {
        errors.push(Error::invalid(&precedence_path, precedence, "must be a positive value"));
    }
    if precedence > MOST_PRECEDENCE {
        errors.push(Error::invalid(&precedence_path, precedence, format!("must not be greater than {MOST_PRECEDENCE}")));
    }
    if precedence == 1 && schema.metadata.name.as_deref() != Some("exempt") {
        errors.push(Error::invalid(&precedence_path, precedence, "only the schema named 'exempt' may have precedence 1"));
    }
    if let Some(method) = &spec.distinguisher_method {
        let path = path.child("distinguisherMethod").child("type");
        errors.extend(validate::supported_value(&path, &method.type_, &["ByNamespace", "ByUser"]));
    }
    let level = &spec.priority_level_configuration.name;
    let level_path = path.child("priorityLevelConfiguration").child("name");
    if level.is_empty() {
        errors.push(Error::required(&level_path, ""));
    } else {
        errors.extend(validate::complaints(&level_path, level, names::dns1123_subdomain(level, false)));
    }
    for (i, rule) in spec.rules.iter().flatten().enumerate() {
        errors.extend(check_rule(&path.child("rules").index(i), rule));
    }
    if mandatory::schema(schema.metadata.name.as_deref()).is_some_and(|fixed| fixed != *spec) {
        errors.push(Error::invalid(&path, spec, "must be what it is in every cluster"));
    }
    errors
}

fn check_rule(path: &Path, rule: &PolicyRulesWithSubjects) -> Errors {
    let mut errors = Errors::new();
    if rule.subjects.is_empty() {
        errors.push(Error::required(&path.child("subjects"), "one at least"));
    }
    for (i, subject) in rule.subjects.iter().enumerate() {
        errors.extend(check_subject(&path.child("subjects").index(i), subject));
    }
    if rule.resource_rules.is_none() && rule.non_resource_rules.is_none() {
        errors.push(Error::required(path, "one of resourceRules and nonResourceRules"));
    }
    for (i, rule) in rule.resource_rules.iter().flatten().enumerate() {
        errors.extend(check_resource_rule(&path.child("resourceRules").index(i), rule));
    }
    for (i, rule) in rule.non_resource_rules.iter().flatten().enumerate() {
        errors.extend(check_url_rule(&path.child("nonResourceRules").index(i), rule));
    }
    errors
}

fn check_subject(path: &Path, subject: &Subject) -> Errors {
    let sources = [
        ("ServiceAccount", "serviceAccount", subject.service_account.is_some()),
        ("User", "user", subject.user.is_some()),
        ("Group", "group", subject.group.is_some()),
    ];
    if !sources.iter().any(|(kind, ..)| *kind == subject.kind) {
        return vec![Error::not_supported(&path.child("kind"), &subject.kind, &["Group", "ServiceAccount", "User"])];
    }
    let mut errors = check_named(path, subject);
    for (kind, name, present) in sources {
        if kind != subject.kind && present {
            errors.push(Error::forbidden(&path.child(name), format!("when the subject's kind is not '{kind}'")));
        }
    }
    errors
}

/// The part of a subject that its kind asks for.
fn check_named(path: &Path, subject: &Subject) -> Errors {
    let missing = |path: &Path| vec![Error::required(path, format!("when the subject's kind is '{}'", subject.kind))];
    let name = |path: &Path, name: Option<&str>| name.map_or_else(|| missing(path), |name| validate::required(&path.child("name"), name));
    match subject.kind.as_str() {
        "User" => name(&path.child("user"), subject.user.as_ref().map(|user| user.name.as_str())),
        "Group" => name(&path.child("group"), subject.group.as_ref().map(|group| group.name.as_str())),
        _ => {
            let path = path.child("serviceAccount");
            let Some(account) = &subject.service_account else { return missing(&path) };
            let mut errors = check_account_part(&path.child("name"), &account.name, names::dns1123_subdomain);
            if account.name == "*" {
                errors.clear();
            }
            errors.extend(check_account_part(&path.child("namespace"), &account.namespace, names::dns1123_label));
            errors
        }
    }
}

fn check_account_part(path: &Path, value: &str, rule: fn(&str, bool) -> Vec<String>) -> Errors {
    if value.is_empty() { vec![Error::required(path, "")] } else { validate::complaints(path, value, rule(value, false)) }
}

/// A list that must not be empty, and holds either `*` alone or no `*`.
fn check_list(path: &Path, list: &[String]) -> Errors {
    if list.is_empty() {
        return vec![Error::required(path, "one at least")];
    }
    if list.len() > 1 && list.iter().any(|element| element == "*") {
        return vec![Error::invalid(path, list, "if '*' is present, it must be alone")];
    }
    Errors::new()
}

fn check_verbs(path: &Path, verbs: &[String]) -> Errors {
    let errors = check_list(path, verbs);
    let starred = verbs.iter().any(|verb| verb == "*");
    if errors.is_empty() && !starred && !verbs.iter().all(|verb| VERBS.contains(&verb.as_str())) {
        return vec![Error::not_supported(path, verbs, &VERBS)];
    }
    errors
}

fn check_resource_rule(path: &Path, rule: &ResourcePolicyRule) -> Errors {
    let mut errors = check_verbs(&path.child("verbs"), &rule.verbs);
    errors.extend(check_list(&path.child("apiGroups"), &rule.api_groups));
    errors.extend(check_list(&path.child("resources"), &rule.resources));
    let namespaces = rule.namespaces.as_deref().unwrap_or_default();
    let path = path.child("namespaces");
    if namespaces.is_empty() && rule.cluster_scope != Some(true) {
        errors.push(Error::required(&path, "rules that are not cluster scoped must name namespaces"));
    } else if namespaces.len() > 1 && namespaces.iter().any(|namespace| namespace == "*") {
        errors.push(Error::invalid(&path, namespaces, "if '*' is present, it must be alone"));
    } else {
        for (i, namespace) in namespaces.iter().enumerate().filter(|(_, namespace)| *namespace != "*") {
            errors.extend(validate::complaints(&path.index(i), namespace, names::dns1123_label(namespace, false)));
        }
    }
    errors
}

fn check_url_rule(path: &Path, rule: &NonResourcePolicyRule) -> Errors {
    let mut errors = check_verbs(&path.child("verbs"), &rule.verbs);
    let path = path.child("nonResourceURLs");
    errors.extend(check_list(&path, &rule.non_resource_urls));
    if rule.non_resource_urls.iter().any(|url| url == "*") {
        return errors;
    }
    for (i, url) in rule.non_resource_urls.iter().enumerate() {
        let starred = url.trim_end_matches('*').contains('*') || (url.ends_with('*') && !url.ends_with("/*"));
        if !url.starts_with('/') || url.contains(' ') || url.contains("//") || starred {
            errors.push(Error::invalid(&path.index(i), url, "must be an absolute path, with '*' only as its last segment"));
        }
    }
    errors
}
