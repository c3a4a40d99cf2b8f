//! The devices of a slice: their attributes, what there is of them to share, and what keeps claims away.

use k8s_openapi::api::resource::v1::{
    CapacityRequestPolicy, CapacityRequestPolicyRange, CounterSet, Device, DeviceAttribute, DeviceCapacity, DeviceCounterConsumption,
    DeviceTaint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::vocabulary::{EFFECTS, binding_conditions, label, list, qualified_name, set};
use crate::core::pod::validate_node_selector;
use crate::validate::{choice, complaints, text};

const MOST_ATTRIBUTES_AND_CAPACITIES: usize = 32;
const MOST_VALUES: usize = 48;
const LONGEST_VALUE_BYTES: usize = 64;
const MOST_TAINTS: usize = 16;
const MOST_COUNTER_SETS_CONSUMED: usize = 2;
const MOST_COUNTERS: usize = 32;
const MOST_OPTIONS: usize = 10;
/// Longer names of attributes are cut in the middle where they stand in paths.
const LONGEST_NAME_IN_PATHS: usize = 96;

/// Drops what belongs to features that are off, and fills amounts that are plain structs upstream.
pub(super) fn default(device: &mut Device) {
    device.node_allocatable_resource_mappings = None;
    for attribute in device.attributes.iter_mut().flat_map(|all| all.values_mut()) {
        (attribute.bools, attribute.ints, attribute.strings, attribute.versions) = (None, None, None, None);
    }
    device.capacity.iter_mut().flat_map(|all| all.values_mut()).for_each(|capacity| default_amount(&mut capacity.value));
    for consumption in device.consumes_counters.iter_mut().flatten() {
        consumption.counters.values_mut().for_each(|counter| default_amount(&mut counter.value));
    }
}

pub(super) fn default_amount(amount: &mut Amount) {
    if amount.0.is_empty() {
        amount.0.push('0');
    }
}

/// `old` is what the slice said of the device before; `per_device` that each device says which nodes have it.
pub(super) fn check(path: &Path, device: &Device, old: Option<&Device>, per_device: bool) -> Errors {
    let mut errors = label(&path.child("name"), &device.name);
    let attributes = device.attributes.as_ref().map_or(0, |all| all.len());
    let both = attributes + device.capacity.as_ref().map_or(0, |all| all.len());
    if both > MOST_ATTRIBUTES_AND_CAPACITIES {
        let why = format!("may have {MOST_ATTRIBUTES_AND_CAPACITIES} attributes and capacities at most");
        errors.push(Error::invalid(path, both, why));
    }
    if attributes > MOST_VALUES {
        errors.push(Error::invalid(path, attributes, format!("may have {MOST_VALUES} values of attributes at most")));
    }
    let at = path.child("attributes");
    for (name, attribute) in device.attributes.iter().flatten() {
        errors.extend(qualified_name(&at, name));
        errors.extend(check_attribute(&at.key(&shortened(name)), attribute));
    }
    let (at, shared) = (path.child("capacity"), device.allow_multiple_allocations == Some(true));
    for (name, capacity) in device.capacity.iter().flatten() {
        errors.extend(qualified_name(&at, name));
        errors.extend(check_capacity(&at.key(&shortened(name)), capacity, shared));
    }
    if old.is_none_or(|old| old.taints != device.taints) {
        errors.extend(list(&path.child("taints"), device.taints.as_deref().unwrap_or_default(), MOST_TAINTS, check_taint));
    }
    let consumed = device.consumes_counters.as_deref().unwrap_or_default();
    let counters = path.child("consumesCounters");
    errors.extend(set(&counters, consumed, MOST_COUNTER_SETS_CONSUMED, check_consumption, |one| &one.counter_set));
    errors.extend(check_nodes(path, device, per_device));
    errors.extend(binding_conditions(path, device.binding_conditions.as_deref(), device.binding_failure_conditions.as_deref()));
    errors
}

fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= LONGEST_NAME_IN_PATHS {
        return name.to_owned();
    }
    let kept = LONGEST_NAME_IN_PATHS - "...".len();
    let (head, tail) = (&letters[..kept.div_ceil(2)], &letters[letters.len() - kept / 2..]);
    head.iter().chain(&['.'; 3]).chain(tail).collect()
}

fn check_attribute(path: &Path, attribute: &DeviceAttribute) -> Errors {
    let mut errors = Errors::new();
    let mut too_long = |at: &Path, value: &str| {
        if value.len() > LONGEST_VALUE_BYTES {
            errors.push(Error::too_long(at, LONGEST_VALUE_BYTES));
        }
    };
    if let Some(value) = &attribute.string {
        too_long(&path.child("string"), value);
    }
    if let Some(version) = &attribute.version {
        let at = path.child("version");
        if !is_version(version) {
            errors.push(Error::invalid(&at, version, "must be a semantic version, such as 1.2.3"));
        }
        if version.len() > LONGEST_VALUE_BYTES {
            errors.push(Error::too_long(&at, LONGEST_VALUE_BYTES));
        }
    }
    let given = [attribute.bool.is_some(), attribute.int.is_some(), attribute.string.is_some(), attribute.version.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        errors.push(Error::invalid(path, attribute, "must have one value"));
    }
    errors
}

/// A version by the rules of semver.org, 2.0.0.
fn is_version(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, release) = rest.split_once('-').map_or((rest, None), |(core, release)| (core, Some(release)));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && release.is_none_or(|release| release.split('.').all(|part| is_word(part) && (!is_digits(part) || is_number(part))))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

fn check_capacity(path: &Path, capacity: &DeviceCapacity, shared: bool) -> Errors {
    let at = path.child("requestPolicy");
    match &capacity.request_policy {
        Some(policy) if shared => check_policy(&at, Quantity::of(&capacity.value), policy),
        Some(_) => vec![Error::forbidden(&at, "allowMultipleAllocations must be true")],
        None => Errors::new(),
    }
}

/// How much may be requested of a capacity: one of some values, or what lies in a range.
fn check_policy(path: &Path, most: Quantity, policy: &CapacityRequestPolicy) -> Errors {
    let values = policy.valid_values.as_deref().unwrap_or_default();
    let default = policy.default.as_ref().map(Quantity::of);
    match (values, &policy.valid_range, default) {
        ([], None, _) => Errors::new(),
        ([_, ..], Some(_), _) => vec![Error::forbidden(path, "validValues and validRange exclude each other")],
        (_, _, None) => vec![Error::required(&path.child("default"), "is needed with validValues and with validRange")],
        ([], Some(range), Some(default)) => check_range(&path.child("validRange"), most, range, default),
        (values, None, Some(default)) => check_values(&path.child("validValues"), most, values, default),
    }
}

fn check_values(path: &Path, most: Quantity, values: &[Amount], default: Quantity) -> Errors {
    let amounts: Vec<Quantity> = values.iter().map(Quantity::of).collect();
    let mut errors = Errors::new();
    for (i, pair) in amounts.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        errors.push(Error::invalid(&path.index(i + 1), pair[1].to_string(), "must be in ascending order"));
    }
    let too_large = |path: &Path, amount: &Quantity| {
        if *amount > most { vec![Error::invalid(path, amount.to_string(), "is more than there is")] } else { Errors::new() }
    };
    errors.extend(set(path, &amounts, MOST_OPTIONS, too_large, |amount| amount.value()));
    // Kubernetes does not look for the default in a list that is too long.
    if amounts.len() > MOST_OPTIONS || !amounts.contains(&default) {
        errors.push(Error::invalid(path, default.to_string(), "the default must be one of them"));
    }
    errors
}

fn check_range(path: &Path, most: Quantity, range: &CapacityRequestPolicyRange, default: Quantity) -> Errors {
    let low = path.child("min");
    if range.min.0.is_empty() {
        return vec![Error::required(&low, "")];
    }
    let min = Quantity::of(&range.min);
    let (max, step) = (range.max.as_ref().map(Quantity::of), range.step.as_ref().map(Quantity::of));
    let mut errors = Errors::new();
    let mut refuse = |wrong: bool, at: &Path, value: Quantity, why: &str| {
        if wrong {
            errors.push(Error::invalid(at, value.to_string(), why));
        }
    };
    refuse(min > most, &low, min, "is more than there is");
    refuse(default < min, &low, default, "the default must not be less");
    if let Some(max) = max {
        let high = path.child("max");
        refuse(min > max, &high, min, "must not be less than min");
        refuse(max > most, &high, max, "is more than there is");
        refuse(default > max, &high, default, "the default must not be more");
    }
    if let Some(step) = step {
        let at = path.child("step");
        let mut first = min;
        first += step;
        refuse(first > most, &at, step, "one step is more than there is");
        for value in std::iter::once(default).chain(max) {
            let off = step.value() == 0 || (value.value() - min.value()) % step.value() != 0;
            refuse(off, &at, value, "must be a whole number of steps from min");
        }
    }
    errors
}

fn check_taint(path: &Path, taint: &DeviceTaint) -> Errors {
    let mut errors = complaints(&path.child("key"), &taint.key, names::qualified_name(&taint.key));
    let value = text(&taint.value);
    errors.extend(complaints(&path.child("value"), value, names::label_value(value)));
    errors.extend(choice(&path.child("effect"), &taint.effect, &EFFECTS));
    errors
}

fn check_consumption(path: &Path, consumption: &DeviceCounterConsumption) -> Errors {
    check_counters(path, ("counterSet", &consumption.counter_set), consumption.counters.keys())
}

/// Counters that devices share.
pub(super) fn check_counter_set(path: &Path, set: &CounterSet) -> Errors {
    check_counters(path, ("name", &set.name), set.counters.keys())
}

fn check_counters<'a>(path: &Path, (field, set): (&str, &str), counters: impl ExactSizeIterator<Item = &'a String>) -> Errors {
    let name = path.child(field);
    let mut errors = if set.is_empty() { vec![Error::required(&name, "")] } else { label(&name, set) };
    let at = path.child("counters");
    match counters.len() {
        0 => errors.push(Error::required(&at, "")),
        many if many > MOST_COUNTERS => errors.push(Error::too_many(&at, many, MOST_COUNTERS)),
        _ => errors.extend(counters.flat_map(|name| label(&at, name))),
    }
    errors
}

/// Which nodes have the device, where devices say so for themselves.
fn check_nodes(path: &Path, device: &Device, per_device: bool) -> Errors {
    const ONE: &str = "must have one of `nodeName`, `nodeSelector` and `allNodes` where the slice has perDeviceNodeSelection";
    let given = device.node_name.is_some() || device.node_selector.is_some() || device.all_nodes.is_some();
    if !per_device {
        return if given { vec![Error::bare_invalid(path, ONE)] } else { Errors::new() };
    }
    let mut errors = Errors::new();
    let mut places = 0;
    if let Some(name) = &device.node_name {
        let at = path.child("nodeName");
        if name.is_empty() {
            errors.push(Error::invalid(&at, name, "must not be empty"));
        } else {
            places += 1;
            errors.extend(complaints(&at, name, names::dns1123_subdomain(name, false)));
        }
    }
    if let Some(selector) = &device.node_selector {
        places += 1;
        errors.extend(validate_node_selector(&path.child("nodeSelector"), selector));
    }
    match device.all_nodes {
        Some(true) => places += 1,
        Some(false) => errors.push(Error::invalid(&path.child("allNodes"), false, "must be absent or true")),
        None => {}
    }
    match places {
        0 => errors.push(Error::required(path, ONE)),
        1 => {}
        _ => errors.push(Error::bare_invalid(path, ONE)),
    }
    errors
}
