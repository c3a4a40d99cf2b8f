//! DeviceClass: devices that claims can ask for by one name.

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::DeviceClass;
use machinery::field::{Errors, Path};
use machinery::names;
use serde_json::Value;

use super::claims;
use crate::apps::bump_generation;
use crate::kind::{Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

pub struct DeviceClasses;

impl Kind for DeviceClasses {
    type Object = DeviceClass;

    const NAMES: Names = super::names("DeviceClass", "deviceclasses", "deviceclass");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "deviceclasses";
    const DELETE_RETURNS_OBJECT: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(class: &mut DeviceClass) {
        zero::omit(&mut class.spec.selectors);
        zero::omit(&mut class.spec.config);
    }

    fn prepare_create(_cx: &Context<'_>, class: &mut DeviceClass) {
        class.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, class: &DeviceClass) -> Errors {
        check(class)
    }

    fn update() -> &'static dyn UpdateStrategy<DeviceClass> {
        &Update
    }

    fn row(class: &DeviceClass, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&class.metadata), columns::age(&class.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<DeviceClass> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut DeviceClass, old: &DeviceClass) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &DeviceClass, _old: &DeviceClass) -> Errors {
        check(new)
    }
}

fn check(class: &DeviceClass) -> Errors {
    let path = Path::new("spec");
    let mut errors = claims::check_selectors(&path.child("selectors"), class.spec.selectors.as_deref());
    for (i, config) in class.spec.config.iter().flatten().enumerate() {
        errors.extend(claims::check_opaque(&path.child("config").index(i).child("opaque"), config.opaque.as_ref()));
    }
    if let Some(name) = &class.spec.extended_resource_name {
        errors.extend(validate::complaints(&path.child("extendedResourceName"), name, names::qualified_name(name)));
    }
    errors
}
