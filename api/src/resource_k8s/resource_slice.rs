//! ResourceSlice: devices of one driver, in one pool, as the driver publishes them.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::{Device, ResourceSlice, ResourceSliceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::device;
use super::vocabulary::{pool_name, set};
use crate::apps::bump_generation;
use crate::core::pod::validate_node_selector;
use crate::kind::{Column, Kind, Names, Scope, SelectableField};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

const MOST_DEVICES: usize = 128;
const MOST_DEVICES_WITH_TAINTS_OR_COUNTERS: usize = 64;
const MOST_COUNTER_SETS: usize = 8;

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
        // Beside each other they are refused, even empty.
        if slice.spec.devices.is_some() != slice.spec.shared_counters.is_some() {
            zero::omit(&mut slice.spec.devices);
            zero::omit(&mut slice.spec.shared_counters);
        }
        for one in slice.spec.devices.iter_mut().flatten() {
            zero::omit(&mut one.taints);
            zero::omit(&mut one.consumes_counters);
            device::default(one);
        }
        let sets = slice.spec.shared_counters.iter_mut().flatten();
        sets.flat_map(|set| set.counters.values_mut()).for_each(|counter| device::default_amount(&mut counter.value));
    }

    fn prepare_create(cx: &Context<'_>, slice: &mut ResourceSlice) {
        date_taints(cx, slice);
        slice.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, slice: &ResourceSlice) -> Errors {
        check(&slice.spec, None)
    }

    fn warnings_create(slice: &ResourceSlice) -> Vec<String> {
        warnings(slice)
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

/// Taints that do not say since when are new.
fn date_taints(cx: &Context<'_>, slice: &mut ResourceSlice) {
    let taints = slice.spec.devices.iter_mut().flatten().flat_map(|device| device.taints.iter_mut().flatten());
    taints.for_each(|taint| _ = taint.time_added.get_or_insert(Time(cx.now)));
}

/// Drivers whose names are not in lower case are still known by them.
fn warnings(slice: &ResourceSlice) -> Vec<String> {
    let driver = &slice.spec.driver;
    if *driver == driver.to_lowercase() { Vec::new() } else { vec![format!("spec.driver: {driver:?} should be in lower case")] }
}

struct Update;

impl UpdateStrategy<ResourceSlice> for Update {
    fn prepare(&self, cx: &Context<'_>, new: &mut ResourceSlice, old: &ResourceSlice) {
        date_taints(cx, new);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceSlice, old: &ResourceSlice) -> Errors {
        check(&new.spec, Some(&old.spec))
    }

    fn warnings(&self, new: &ResourceSlice, _old: &ResourceSlice) -> Vec<String> {
        warnings(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}

fn check(spec: &ResourceSliceSpec, old: Option<&ResourceSliceSpec>) -> Errors {
    let path = Path::new("spec");
    let mut errors = validate::driver_name(&path.child("driver"), &spec.driver);
    errors.extend(check_pool(&path.child("pool"), spec));
    if let Some(old) = old {
        errors.extend(validate::immutable(&path.child("pool").child("name"), &spec.pool.name, &old.pool.name));
        errors.extend(validate::immutable(&path.child("driver"), &spec.driver, &old.driver));
        errors.extend(validate::immutable(&path.child("nodeName"), &spec.node_name, &old.node_name));
    }
    errors.extend(check_nodes(&path, spec));
    if spec.shared_counters.is_some() && spec.devices.is_some() {
        errors.push(Error::invalid(&path, "", "sharedCounters and devices stand in slices of their own"));
    }
    let devices = spec.devices.as_deref().unwrap_or_default();
    let advanced = |device: &Device| device.taints.is_some() || device.consumes_counters.is_some();
    let most = if devices.iter().any(advanced) { MOST_DEVICES_WITH_TAINTS_OR_COUNTERS } else { MOST_DEVICES };
    let per_device = spec.per_device_node_selection == Some(true);
    let before = |name: &str| old.and_then(|old| old.devices.iter().flatten().find(|device| device.name == name));
    let check_device = |path: &Path, one: &Device| device::check(path, one, before(&one.name), per_device);
    errors.extend(set(&path.child("devices"), devices, most, check_device, |device| &device.name));
    let counters = spec.shared_counters.as_deref().unwrap_or_default();
    errors.extend(set(&path.child("sharedCounters"), counters, MOST_COUNTER_SETS, device::check_counter_set, |one| &one.name));
    errors
}

/// Which nodes have the devices: exactly one way to say so.
fn check_nodes(path: &Path, spec: &ResourceSliceSpec) -> Errors {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes` and `perDeviceNodeSelection`";
    let mut errors = Errors::new();
    let mut places = 0;
    if let Some(node) = &spec.node_name {
        let at = path.child("nodeName");
        if node.is_empty() {
            errors.push(Error::invalid(&at, node, "must be absent or not empty"));
        } else {
            places += 1;
            errors.extend(validate::complaints(&at, node, names::dns1123_subdomain(node, false)));
        }
    }
    if let Some(selector) = &spec.node_selector {
        places += 1;
        let at = path.child("nodeSelector");
        errors.extend(validate_node_selector(&at, selector));
        if selector.node_selector_terms.len() != 1 {
            errors.push(Error::invalid(&at.child("nodeSelectorTerms"), &selector.node_selector_terms, "must be one term"));
        }
    }
    for (field, value) in [("allNodes", spec.all_nodes), ("perDeviceNodeSelection", spec.per_device_node_selection)] {
        match value {
            Some(true) => places += 1,
            Some(false) => errors.push(Error::invalid(&path.child(field), false, "must be absent or true")),
            None => {}
        }
    }
    match places {
        0 => errors.push(Error::required(path, ONE)),
        1 => {}
        _ => errors.push(Error::bare_invalid(path, ONE)),
    }
    errors
}

fn check_pool(path: &Path, spec: &ResourceSliceSpec) -> Errors {
    let pool = &spec.pool;
    let mut errors = pool_name(&path.child("name"), &pool.name);
    errors.extend(validate::positive(&path.child("resourceSliceCount"), pool.resource_slice_count));
    errors.extend(validate::non_negative(&path.child("generation"), pool.generation));
    errors
}
