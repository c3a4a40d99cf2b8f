//! VolumeAttributesClass: settings of volumes that a driver can change while they are in use.

use jiff::Timestamp;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use serde_json::{Value, json};

use super::{GROUP, check_parameters, check_provisioner};
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, zero};

/// Keeps a class that claims or volumes have.
const PROTECTION: &str = "kubernetes.io/vac-protection";

pub struct VolumeAttributesClasses;

impl Kind for VolumeAttributesClasses {
    type Object = VolumeAttributesClass;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "VolumeAttributesClass",
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        short: &["vac"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "volumeattributesclasses";
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("DriverName", "The driver that knows the settings."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(class: &mut VolumeAttributesClass) {
        zero::omit(&mut class.parameters);
    }

    fn prepare_create(_cx: &Context<'_>, class: &mut VolumeAttributesClass) {
        let finalizers = class.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == PROTECTION) {
            finalizers.push(PROTECTION.to_owned());
        }
    }

    fn validate_create(_cx: &Context<'_>, class: &VolumeAttributesClass) -> Errors {
        check(class)
    }

    fn update() -> &'static dyn UpdateStrategy<VolumeAttributesClass> {
        &Update
    }

    fn row(class: &VolumeAttributesClass, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&class.metadata), json!(class.driver_name), columns::age(&class.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<VolumeAttributesClass> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut VolumeAttributesClass, _old: &VolumeAttributesClass) {}

    fn validate(&self, _cx: &Context<'_>, new: &VolumeAttributesClass, _old: &VolumeAttributesClass) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &VolumeAttributesClass, old: &VolumeAttributesClass) -> Errors {
        let changes = [("driverName", new.driver_name != old.driver_name), ("parameters", new.parameters != old.parameters)];
        let changed = changes.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(name, _)| Error::forbidden(&Path::new(name), "cannot change")).collect()
    }
}

fn check(class: &VolumeAttributesClass) -> Errors {
    let mut errors = check_provisioner(&Path::new("driverName"), &class.driver_name);
    let path = Path::new("parameters");
    errors.extend(check_parameters(&path, class.parameters.as_ref()));
    if class.parameters.is_none() {
        errors.push(Error::required(&path, "one at least"));
    }
    errors
}
