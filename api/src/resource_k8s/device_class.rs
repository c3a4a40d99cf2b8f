//! DeviceClass: devices that claims can ask for by one name.

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::DeviceClass;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::Value;

use super::claims::{self, MOST_CONFIGURATIONS};
use super::vocabulary::{list, opaque};
use crate::apps::bump_generation;
use crate::core::pod::is_extended;
use crate::kind::{Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, zero};

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

    fn validate(&self, _cx: &Context<'_>, _new: &DeviceClass, _old: &DeviceClass) -> Errors {
        Errors::new()
    }

    fn validate_change(&self, new: &DeviceClass, _old: &DeviceClass) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(class: &DeviceClass) -> Errors {
    let path = Path::new("spec");
    let mut errors = claims::check_selectors(&path.child("selectors"), class.spec.selectors.as_deref());
    let configurations = class.spec.config.as_deref().unwrap_or_default();
    errors.extend(list(&path.child("config"), configurations, MOST_CONFIGURATIONS, |path, config| {
        opaque(&path.child("opaque"), config.opaque.as_ref())
    }));
    if let Some(name) = class.spec.extended_resource_name.as_ref().filter(|name| !is_extended(name)) {
        errors.push(Error::invalid(&path.child("extendedResourceName"), name, "must be the name of an extended resource"));
    }
    errors
}
