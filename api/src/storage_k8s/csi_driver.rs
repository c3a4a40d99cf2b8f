//! CSIDriver: what Kubernetes has to know of a storage driver that was installed.

use jiff::Timestamp;
use k8s_openapi::api::storage::v1::{CSIDriver, TokenRequest};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::GROUP;
use crate::apps::bump_generation;
use crate::columns::{self, NONE};
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

const LEAST_TOKEN_SECONDS: i64 = 600;
const MOST_TOKEN_SECONDS: i64 = 1 << 32;
const LEAST_UPDATE_SECONDS: i64 = 10;

pub struct CSIDrivers;

impl Kind for CSIDrivers {
    type Object = CSIDriver;

    const NAMES: Names =
        Names { group: GROUP, version: "v1", kind: "CSIDriver", plural: "csidrivers", singular: "csidriver", short: &[], categories: &[] };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "csidrivers";
    const UNCONDITIONAL_UPDATE: bool = false;
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::boolean("AttachRequired", "Whether volumes are attached before they are mounted."),
        Column::boolean("PodInfoOnMount", "Whether the driver is told of the pod."),
        Column::boolean("StorageCapacity", "Whether the driver publishes how much it has left."),
        Column::text("TokenRequests", "Audiences of the tokens that it is given."),
        Column::boolean("RequiresRepublish", "Whether volumes are published again and again."),
        Column::text("Modes", "Kinds of volumes that it makes."),
        Column::AGE,
    ];

    /// Names that no driver can have are good enough for the object.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(driver: &mut CSIDriver) {
        let spec = &mut driver.spec;
        spec.attach_required.get_or_insert(true);
        spec.pod_info_on_mount.get_or_insert(false);
        spec.storage_capacity.get_or_insert(false);
        spec.fs_group_policy.get_or_insert_with(|| "ReadWriteOnceWithFSType".to_owned());
        zero::omit(&mut spec.volume_lifecycle_modes);
        spec.volume_lifecycle_modes.get_or_insert_with(|| vec!["Persistent".to_owned()]);
        spec.requires_republish.get_or_insert(false);
        spec.se_linux_mount.get_or_insert(false);
        zero::omit(&mut spec.token_requests);
    }

    fn drop_unkept(driver: &mut CSIDriver) {
        // Kubernetes 1.36 knows the field, and leaves it to a feature that is not there yet.
        driver.spec.prevent_pod_scheduling_if_missing = None;
    }

    fn validate_create(_cx: &Context<'_>, driver: &CSIDriver) -> Errors {
        check(driver)
    }

    fn warnings_create(driver: &CSIDriver) -> Vec<String> {
        warnings(driver)
    }

    fn update() -> &'static dyn UpdateStrategy<CSIDriver> {
        &Update
    }

    fn row(driver: &CSIDriver, now: Timestamp) -> Vec<Value> {
        let spec = &driver.spec;
        let audiences: Vec<&str> = spec.token_requests.iter().flatten().map(|request| request.audience.as_str()).collect();
        vec![
            columns::name(&driver.metadata),
            json!(spec.attach_required.unwrap_or(true)),
            json!(spec.pod_info_on_mount.unwrap_or(false)),
            json!(spec.storage_capacity.unwrap_or(false)),
            json!(if audiences.is_empty() { "<unset>".to_owned() } else { audiences.join(",") }),
            json!(spec.requires_republish.unwrap_or(false)),
            json!(spec.volume_lifecycle_modes.as_ref().map_or_else(|| NONE.to_owned(), |modes| modes.join(","))),
            columns::age(&driver.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<CSIDriver> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut CSIDriver, old: &CSIDriver) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &CSIDriver, old: &CSIDriver) -> Errors {
        let mut errors = check(new);
        let path = Path::new("spec");
        // That is what Kubernetes calls the field here.
        errors.extend(validate::immutable(&path.child("attachedRequired"), &new.spec.attach_required, &old.spec.attach_required));
        let modes = (&new.spec.volume_lifecycle_modes, &old.spec.volume_lifecycle_modes);
        errors.extend(validate::immutable(&path.child("volumeLifecycleModes"), modes.0, modes.1));
        errors
    }

    fn warnings(&self, new: &CSIDriver, old: &CSIDriver) -> Vec<String> {
        if new.spec.token_requests == old.spec.token_requests { Vec::new() } else { warnings(new) }
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}

fn warnings(driver: &CSIDriver) -> Vec<String> {
    if driver.spec.token_requests.is_none() || driver.spec.service_account_token_in_secrets.is_some() {
        return Vec::new();
    }
    let why = "where the driver knows how, set it to true, so that tokens do not end up in logs of volume attributes";
    vec![format!("spec.serviceAccountTokenInSecrets: {why}")]
}

fn check(driver: &CSIDriver) -> Errors {
    let spec = &driver.spec;
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let required = [
        ("attachedRequired", spec.attach_required),
        ("podInfoOnMount", spec.pod_info_on_mount),
        ("storageCapacity", spec.storage_capacity),
    ];
    for (name, _) in required.iter().filter(|(_, value)| value.is_none()) {
        errors.push(Error::required(&path.child(name), ""));
    }
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    let policy = spec.fs_group_policy.as_deref().unwrap_or_default();
    errors.extend(validate::supported_value(&path.child("fsGroupPolicy"), policy, &policies));
    errors.extend(check_tokens(&path.child("tokenRequests"), spec.token_requests.as_deref().unwrap_or_default()));
    for mode in spec.volume_lifecycle_modes.iter().flatten() {
        errors.extend(validate::supported_value(&path.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]));
    }
    if let Some(seconds) = spec.node_allocatable_update_period_seconds.filter(|seconds| *seconds < LEAST_UPDATE_SECONDS) {
        let why = format!("must be greater than or equal to {LEAST_UPDATE_SECONDS}");
        errors.push(Error::invalid(&path.child("nodeAllocatableUpdatePeriodSeconds"), seconds, why));
    }
    if let Some(wanted) = spec.service_account_token_in_secrets.filter(|_| spec.token_requests.is_none()) {
        errors.push(Error::invalid(&path.child("serviceAccountTokenInSecrets"), wanted, "there are no tokenRequests"));
    }
    errors
}

fn check_tokens(path: &Path, requests: &[TokenRequest]) -> Errors {
    let mut errors = Errors::new();
    for (i, request) in requests.iter().enumerate() {
        let path = path.index(i);
        if requests[..i].iter().any(|before| before.audience == request.audience) {
            errors.push(Error::duplicate(&path.child("audience"), &request.audience));
            continue;
        }
        if let Some(seconds) = request.expiration_seconds.filter(|s| !(LEAST_TOKEN_SECONDS..=MOST_TOKEN_SECONDS).contains(s)) {
            let why = format!("must be between {LEAST_TOKEN_SECONDS} and {MOST_TOKEN_SECONDS}");
            errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, why));
        }
    }
    errors
}
