//! APIService: who serves a version of a group: this server, or another one behind a Service.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition, APIServiceSpec, APIServiceStatus};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::GROUP;
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{self, Context, UpdateStrategy};
use crate::validate::{self, complaints, required, text};
use crate::zero;

const HTTPS_PORT: i32 = 443;
const MOST_GROUP_PRIORITY: i32 = 20_000;
const MOST_VERSION_PRIORITY: i32 = 1_000;

pub struct APIServices;

impl Kind for APIServices {
    type Object = APIService;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "APIService",
        plural: "apiservices",
        singular: "apiservice",
        short: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "apiregistration.k8s.io/apiservices";
    const STATUS_HAS_TABLE: bool = false;
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("Service", "Who serves it."), Column::text("Available", "Whether it is served now."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn validate_own_name(service: &APIService) -> Vec<String> {
        let spec = service.spec.clone().unwrap_or_default();
        let wanted = format!("{}.{}", text(&spec.version), text(&spec.group));
        let is_wanted = text(&service.metadata.name) == wanted;
        if is_wanted { Vec::new() } else { vec![format!("must be `spec.version+\".\"+spec.group`: {wanted:?}")] }
    }

    fn default(service: &mut APIService) {
        let spec = zero::keep(&mut service.spec);
        zero::omit(&mut spec.group);
        zero::omit(&mut spec.insecure_skip_tls_verify);
        if let Some(reference) = &mut spec.service {
            reference.port.get_or_insert(HTTPS_PORT);
        }
        zero::omit(&mut zero::keep(&mut service.status).conditions);
    }

    fn prepare_create(cx: &Context<'_>, service: &mut APIService) {
        let is_local = service.spec.as_ref().is_some_and(|spec| spec.service.is_none());
        let available = APIServiceCondition {
            type_: "Available".to_owned(),
            status: "True".to_owned(),
            reason: Some("Local".to_owned()),
            message: Some("Local APIServices are always available".to_owned()),
            last_transition_time: Some(Time(cx.now)),
        };
        service.status = Some(APIServiceStatus { conditions: is_local.then(|| vec![available]) });
    }

    fn validate_create(_cx: &Context<'_>, service: &APIService) -> Errors {
        check(service)
    }

    fn update() -> &'static dyn UpdateStrategy<APIService> {
        &Update
    }

    fn subresources() -> Vec<Subresource<APIService>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(service: &APIService, now: Timestamp) -> Vec<Value> {
        let reference = service.spec.as_ref().and_then(|spec| spec.service.as_ref());
        let served_by = reference.map_or_else(|| "Local".to_owned(), |one| format!("{}/{}", text(&one.namespace), text(&one.name)));
        let conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let available = conditions.into_iter().find(|condition| condition.type_ == "Available");
        let available = match available {
            None => "Unknown".to_owned(),
            Some(condition) if condition.status == "True" => condition.status.clone(),
            Some(condition) => format!("{} ({})", condition.status, text(&condition.reason)),
        };
        vec![columns::name(&service.metadata), json!(served_by), json!(available), columns::age(&service.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<APIService> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut APIService, old: &APIService) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, _cx: &Context<'_>, new: &APIService, _old: &APIService) -> Errors {
        check(new)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<APIService> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut APIService, old: &APIService) {
        new.spec.clone_from(&old.spec);
        strategy::keep_metadata(&mut new.metadata, &old.metadata);
    }

    fn validate(&self, _cx: &Context<'_>, new: &APIService, _old: &APIService) -> Errors {
        let path = Path::new("status").child("conditions");
        let conditions = new.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let statuses = conditions.iter().enumerate().map(|(i, condition)| (path.index(i).child("status"), &condition.status));
        statuses.flat_map(|(path, status)| validate::supported_value(&path, status, &["False", "True", "Unknown"])).collect()
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}

fn check(service: &APIService) -> Errors {
    let none = APIServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let (group, version) = (text(&spec.group), text(&spec.version));
    let path = Path::new("spec");
    let mut errors = Errors::new();
    if group.is_empty() {
        if version != "v1" {
            errors.push(Error::required(&path.child("group"), "only v1 may have an empty group"));
        }
    } else {
        errors.extend(complaints(&path.child("group"), group, names::dns1123_subdomain(group, false)));
    }
    errors.extend(complaints(&path.child("version"), version, names::dns1035_label(version, false)));
    errors.extend(in_range(&path.child("groupPriorityMinimum"), spec.group_priority_minimum, MOST_GROUP_PRIORITY));
    errors.extend(in_range(&path.child("versionPriority"), spec.version_priority, MOST_VERSION_PRIORITY));
    errors.extend(check_service(&path, spec));
    errors
}

fn in_range(path: &Path, value: i32, most: i32) -> Option<Error> {
    (value <= 0 || value > most).then(|| Error::invalid(path, value, format!("must be positive and at most {most}")))
}

/// How the server behind a Service is trusted; for this server there is nothing to say about that.
fn check_service(path: &Path, spec: &APIServiceSpec) -> Errors {
    let has_bundle = spec.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty());
    let skips = spec.insecure_skip_tls_verify == Some(true);
    let mut errors = Errors::new();
    let Some(service) = &spec.service else {
        if has_bundle {
            errors.push(Error::invalid(&path.child("caBundle"), "", "local APIServices may not have a caBundle"));
        }
        if skips {
            errors.push(Error::invalid(&path.child("insecureSkipTLSVerify"), true, "local APIServices may not have insecureSkipTLSVerify"));
        }
        return errors;
    };
    let at = path.child("service");
    errors.extend(required(&at.child("namespace"), text(&service.namespace)));
    errors.extend(required(&at.child("name"), text(&service.name)));
    if let Some(port) = service.port.filter(|port| !(1..=65_535).contains(port)) {
        errors.push(Error::invalid(&at.child("port"), port, "must be between 1 and 65535, inclusive"));
    }
    if skips && has_bundle {
        errors.push(Error::invalid(&path.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present"));
    }
    errors
}
