//! ResourceSlice: devices of one driver, in one pool, as the driver publishes them.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::{ResourceSlice, ResourceSliceSpec};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use serde_json::{Value, json};

use super::claims;
use crate::apps::bump_generation;
use crate::kind::{Column, Kind, Names, Scope, SelectableField};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

const MOST_DEVICES: usize = 128;

pub struct ResourceSlices;

impl Kind for ResourceSlices {
    type Object = ResourceSlice;

    const NAMES: Names = super::names("ResourceSlice", "resourceslices", "resourceslice");
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "resourceslices";
    const DELETE_RETURNS_OBJECT: bool = true;
    const SELECTABLE: &'static [&'static str] = &["spec.nodeName", "spec.driver"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Node", "The node that has the devices."),
        Column::text("Driver", "The driver that publishes them."),
        Column::text("Pool", "The pool that they belong to."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(slice: &mut ResourceSlice) {
        zero::omit(&mut slice.spec.devices);
        zero::omit(&mut slice.spec.shared_counters);
    }

    fn prepare_create(_cx: &Context<'_>, slice: &mut ResourceSlice) {
        slice.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, slice: &ResourceSlice) -> Errors {
        check(&slice.spec)
    }

    fn update() -> &'static dyn UpdateStrategy<ResourceSlice> {
        &Update
    }

    fn selectable_fields(slice: &ResourceSlice) -> Vec<SelectableField> {
        vec![
            ("spec.nodeName", Cow::Owned(slice.spec.node_name.clone().unwrap_or_default())),
            ("spec.driver", Cow::Owned(slice.spec.driver.clone())),
        ]
    }

    fn row(slice: &ResourceSlice, now: Timestamp) -> Vec<Value> {
        vec![
            columns::name(&slice.metadata),
            json!(slice.spec.node_name.as_deref().unwrap_or_default()),
            json!(slice.spec.driver),
            json!(slice.spec.pool.name),
            columns::age(&slice.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<ResourceSlice> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceSlice, old: &ResourceSlice) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceSlice, old: &ResourceSlice) -> Errors {
        let (new, old) = (&new.spec, &old.spec);
        let path = Path::new("spec");
        let mut errors = check(new);
        errors.extend(validate::immutable(&path.child("driver"), &new.driver, &old.driver));
        errors.extend(validate::immutable(&path.child("pool").child("name"), &new.pool.name, &old.pool.name));
        errors.extend(validate::immutable(&path.child("nodeName"), &new.node_name, &old.node_name));
        errors
    }
}

fn check(spec: &ResourceSliceSpec) -> Errors {
    let path = Path::new("spec");
    let mut errors = claims::check_driver(&path.child("driver"), &spec.driver);
    errors.extend(check_pool(&path.child("pool"), spec));
    let places = [
        spec.node_name.is_some(),
        spec.node_selector.is_some(),
        spec.all_nodes == Some(true),
        spec.per_device_node_selection == Some(true),
    ];
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes` and `perDeviceNodeSelection`";
    match places.iter().filter(|given| **given).count() {
        0 => errors.push(Error::required(&path, ONE)),
        1 => {}
        _ => errors.push(Error::bare_invalid(&path, ONE)),
    }
    if let Some(node) = &spec.node_name {
        errors.extend(validate::complaints(&path.child("nodeName"), node, names::dns1123_subdomain(node, false)));
    }
    let devices = spec.devices.as_deref().unwrap_or_default();
    let devices_path = path.child("devices");
    if devices.len() > MOST_DEVICES {
        errors.push(Error::too_many(&devices_path, devices.len(), MOST_DEVICES));
    }
    for (i, device) in devices.iter().enumerate() {
        let name = devices_path.index(i).child("name");
        if device.name.is_empty() {
            errors.push(Error::required(&name, ""));
        } else {
            errors.extend(validate::complaints(&name, &device.name, names::dns1123_label(&device.name, false)));
        }
        if devices[..i].iter().any(|before| before.name == device.name) {
            errors.push(Error::duplicate(&devices_path.index(i), &device.name));
        }
    }
    errors
}

fn check_pool(path: &Path, spec: &ResourceSliceSpec) -> Errors {
    let pool = &spec.pool;
    let mut errors = Errors::new();
    let name = path.child("name");
    if pool.name.is_empty() {
        errors.push(Error::required(&name, ""));
    } else {
        for part in pool.name.split('/') {
            errors.extend(validate::complaints(&name, part, names::dns1123_subdomain(part, false)));
        }
    }
    errors.extend(validate::positive(&path.child("resourceSliceCount"), pool.resource_slice_count));
    errors.extend(validate::non_negative(&path.child("generation"), pool.generation));
    errors
}
