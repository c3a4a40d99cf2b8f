//! What validating and mutating webhooks share: all but who may be called again.

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, RuleWithOperations, WebhookClientConfig};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, Errors, Path};
use machinery::{labels, names};
use serde_json::{Map, Value};

use super::{FAILURE_POLICIES, expressions, matching};
use crate::{validate, zero};

const TIMEOUT_SECONDS: i32 = 10;
const MOST_TIMEOUT_SECONDS: i32 = 30;
/// The versions of AdmissionReview that there are.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// The fields that webhooks of both kinds have, to be defaulted.
pub(super) struct HookMut<'a> {
    pub(super) client: &'a mut WebhookClientConfig,
    pub(super) failure_policy: &'a mut Option<String>,
    pub(super) match_conditions: &'a mut Option<Vec<MatchCondition>>,
    pub(super) match_policy: &'a mut Option<String>,
    pub(super) namespace_selector: &'a mut Option<LabelSelector>,
    pub(super) object_selector: &'a mut Option<LabelSelector>,
    pub(super) rules: &'a mut Option<Vec<RuleWithOperations>>,
    pub(super) timeout_seconds: &'a mut Option<i32>,
}

pub(super) fn default(hook: HookMut<'_>) {
    hook.failure_policy.get_or_insert_with(|| "Fail".to_owned());
    hook.match_policy.get_or_insert_with(|| "Equivalent".to_owned());
    zero::keep(hook.namespace_selector);
    zero::keep(hook.object_selector);
    hook.timeout_seconds.get_or_insert(TIMEOUT_SECONDS);
    zero::omit(hook.match_conditions);
    zero::omit(hook.rules);
    hook.rules.iter_mut().flatten().for_each(matching::default_rule);
    if hook.client.ca_bundle.as_ref().is_some_and(|bundle| bundle.0.is_empty()) {
        hook.client.ca_bundle = None;
    }
    if let Some(service) = &mut hook.client.service {
        service.port.get_or_insert(443);
    }
}

/// The same fields, to be checked.
pub(super) struct Hook<'a> {
    pub(super) name: &'a str,
    pub(super) client: &'a WebhookClientConfig,
    pub(super) failure_policy: Option<&'a str>,
    pub(super) match_conditions: Option<&'a Vec<MatchCondition>>,
    pub(super) match_policy: Option<&'a str>,
    pub(super) namespace_selector: Option<&'a LabelSelector>,
    pub(super) object_selector: Option<&'a LabelSelector>,
    pub(super) review_versions: &'a [String],
    pub(super) rules: &'a [RuleWithOperations],
    pub(super) side_effects: &'a str,
    pub(super) timeout_seconds: Option<i32>,
}

/// Tells empty side effects from none.
pub(super) fn mark(configuration: &mut Map<String, Value>) {
    let hooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
    hooks.into_iter().flatten().for_each(|hook| validate::mark_empty(hook.get_mut("sideEffects")));
}

pub(super) fn check(path: &Path, hook: &Hook<'_>) -> Errors {
    let mut errors = check_name(&path.child("name"), hook.name);
    for (i, rule) in hook.rules.iter().enumerate() {
        errors.extend(matching::check_rule(&path.child("rules").index(i), rule));
    }
    if let Some(policy) = hook.failure_policy {
        errors.extend(validate::supported_value(&path.child("failurePolicy"), policy, &FAILURE_POLICIES));
    }
    errors.extend(matching::check_match_policy(&path.child("matchPolicy"), hook.match_policy));
    let side_effects = path.child("sideEffects");
    errors.extend(match validate::marked(hook.side_effects) {
        None => vec![Error::required(&side_effects, "")],
        Some(given) => validate::supported_value(&side_effects, given, &["None", "NoneOnDryRun"]),
    });
    if let Some(seconds) = hook.timeout_seconds.filter(|seconds| !(1..=MOST_TIMEOUT_SECONDS).contains(seconds)) {
        let why = format!("must be between 1 and {MOST_TIMEOUT_SECONDS} seconds");
        errors.push(Error::invalid(&path.child("timeoutSeconds"), seconds, why));
    }
    for (name, selector) in [("namespaceSelector", hook.namespace_selector), ("objectSelector", hook.object_selector)] {
        errors.extend(selector.map(|selector| labels::validate(selector, &path.child(name))).unwrap_or_default());
    }
    errors.extend(check_client(&path.child("clientConfig"), hook.client));
    errors.extend(expressions::check_conditions(&path.child("matchConditions"), hook.match_conditions, false));
    errors.extend(check_reviews(&path.child("admissionReviewVersions"), hook.review_versions));
    errors
}

/// The names of a configuration's webhooks, each its own.
pub(super) fn check_unique<'a>(names: impl Iterator<Item = &'a str>) -> Errors {
    let names: Vec<&str> = names.collect();
    let repeated = names.iter().enumerate().filter(|(i, name)| !name.is_empty() && names[..*i].contains(name));
    repeated.map(|(i, name)| Error::duplicate(&Path::new("webhooks").index(i).child("name"), *name)).collect()
}

fn check_name(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let wrong = names::dns1123_subdomain(name, false);
    if wrong.is_empty() && name.split('.').count() < 3 {
        return vec![Error::invalid(path, name, "must be a domain of three labels at least")];
    }
    validate::complaints(path, name, wrong)
}

fn check_client(path: &Path, client: &WebhookClientConfig) -> Errors {
    match (&client.url, &client.service) {
        (Some(url), None) => check_url(&path.child("url"), url),
        (None, Some(service)) => {
            check_service(&path.child("service"), (&service.name, &service.namespace), service.path.as_deref(), service.port)
        }
        _ => vec![Error::required(path, "exactly one of url and service is required")],
    }
}

/// The address of a webhook outside of the cluster.
pub(crate) fn check_url(path: &Path, url: &str) -> Errors {
    let invalid = |why: &str| vec![Error::invalid(path, url, why)];
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = if scheme.is_empty() { "" } else { rest.split(['/', '?', '#']).next().unwrap_or_default() };
    // Of a text that is no URL at all, Kubernetes says that the URL is missing.
    let escape = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if authority.contains(' ') || url.contains(|c: char| c.is_ascii_control()) || !url.split('%').skip(1).all(escape) {
        return vec![Error::required(path, "must be a URL")];
    }
    let mut errors = Errors::new();
    if scheme != "https" {
        errors.extend(invalid("'https' is the only allowed scheme"));
    }
    if authority.is_empty() {
        errors.extend(invalid("host must be specified"));
    }
    for (mark, what) in
        [('@', "user information is not permitted"), ('#', "fragments are not permitted"), ('?', "query parameters are not permitted")]
    {
        let within = if mark == '@' { authority } else { rest };
        if within.contains(mark) {
            errors.extend(invalid(what));
        }
    }
    errors
}

/// The address of a webhook within the cluster: the name and the namespace of a Service, a path and a port.
pub(crate) fn check_service(path: &Path, (name, namespace): (&str, &str), below: Option<&str>, port: Option<i32>) -> Errors {
    let mut errors = Errors::new();
    for (name, value) in [("name", name), ("namespace", namespace)] {
        if value.is_empty() {
            errors.push(Error::required(&path.child(name), ""));
        }
    }
    if let Some(port) = port {
        errors.extend(names::port_number(port).into_iter().map(|why| Error::invalid(&path.child("port"), port, why)));
    }
    if let Some(text) = below.filter(|text| !text.is_empty() && *text != "/") {
        errors.extend(check_service_path(&path.child("path"), text));
    }
    errors
}

fn check_service_path(path: &Path, text: &str) -> Errors {
    if text == "//" {
        return vec![Error::invalid(path, text, "has an empty segment")];
    }
    let mut errors = Errors::new();
    if !text.starts_with('/') {
        errors.push(Error::invalid(path, text, "must start with a '/'"));
    }
    // What is in the place of the slash is not looked at.
    let rest = text.char_indices().nth(1).map_or("", |(at, _)| &text[at..]);
    for segment in rest.strip_suffix('/').unwrap_or(rest).split('/') {
        if segment.is_empty() {
            errors.push(Error::invalid(path, text, "has an empty segment"));
        } else {
            errors.extend(validate::complaints(path, text, names::dns1123_subdomain(segment, false)));
        }
    }
    errors
}

/// The versions of reviews that a webhook takes.
pub(crate) fn check_reviews(path: &Path, versions: &[String]) -> Errors {
    if versions.is_empty() {
        return vec![Error::required(path, format!("one of {}", REVIEWS.join(", ")))];
    }
    let mut errors = Errors::new();
    for (i, version) in versions.iter().enumerate() {
        errors.extend(validate::complaints(&path.index(i), version, names::dns1035_label(version, false)));
        if versions[..i].contains(version) {
            errors.push(Error::invalid(&path.index(i), version, "duplicate version"));
        }
    }
    if !versions.iter().any(|version| REVIEWS.contains(&version.as_str())) {
        errors.push(Error::invalid(path, versions, format!("must include at least one of {}", REVIEWS.join(", "))));
    }
    errors
}
