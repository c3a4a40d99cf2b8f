//! What may be wrong with a Node, as an object and as an update.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use machinery::field::{Error, Errors, Path};
use machinery::ip::{self, Block};
use machinery::objectmeta::{self, Rules};
use machinery::{names, quantity};

use super::{annotations, status};
use crate::core::pod::validate_amount;
use crate::validate::{self, text};

/// Everything wrong with a node in itself.
pub(super) fn check(node: &Node) -> Errors {
    let mut errors = annotations::check(node);
    errors.extend(check_own_taints(node));
    errors.extend(check_resources(node));
    let swap = status(node).and_then(|s| s.node_info.as_ref()).and_then(|info| info.swap.as_ref());
    if let Some(bytes) = swap.and_then(|swap| swap.capacity) {
        // Kubernetes reports swap below `metadata`.
        let path = Path::new("metadata").child("nodeSwapStatus").child("capacity");
        errors.extend(validate::positive(&path, bytes));
    }
    errors.extend(check_features(node));
    errors.extend(check_cidrs(node));
    errors
}

/// What is wrong with a change of metadata, once more.
pub(super) fn check_metadata_change(new: &Node, old: &Node) -> Errors {
    let rules = Rules { namespaced: false, finalizer_domains: true, name: &names::dns1123_subdomain };
    objectmeta::validate_change_again(&new.metadata, &old.metadata, rules)
}

/// Everything wrong with a change, much of which is wrong with the node in itself.
pub(super) fn check_change(new: &Node, old: &Node) -> Errors {
    let mut errors = annotations::check(new);
    errors.extend(check_resources(new));
    errors.extend(check_features(new));
    let mut seen = BTreeSet::new();
    let addresses = Path::new("status").child("addresses");
    for (i, address) in status(new).iter().filter_map(|s| s.addresses.as_ref()).flatten().enumerate() {
        if !seen.insert((&address.type_, &address.address)) {
            errors.push(Error::duplicate(&addresses.index(i), address));
        }
    }
    let none = NodeSpec::default();
    let (new_spec, old_spec) = (new.spec.as_ref().unwrap_or(&none), old.spec.as_ref().unwrap_or(&none));
    let path = Path::new("spec");
    const SET_ONCE: &str = "cannot change once it is set";
    let (cidrs, old_cidrs) = (cidrs(new_spec), cidrs(old_spec));
    let changed = match old_cidrs {
        [] => 0,
        _ if cidrs.len() != old_cidrs.len() => 1,
        _ => cidrs.iter().zip(old_cidrs).filter(|(new, old)| new != old).count(),
    };
    errors.extend((0..changed).map(|_| Error::forbidden(&path.child("podCIDRs"), SET_ONCE)));
    let provider = text(&old_spec.provider_id);
    if !provider.is_empty() && provider != text(&new_spec.provider_id) {
        errors.push(Error::forbidden(&path.child("providerID"), SET_ONCE));
    }
    errors.extend(check_own_taints(new));
    if text(&new_spec.external_id) != text(&old_spec.external_id) {
        errors.push(Error::forbidden(&path.child("externalID"), "cannot change"));
    }
    errors
}

fn cidrs(spec: &NodeSpec) -> &[String] {
    spec.pod_cidrs.as_deref().unwrap_or_default()
}

fn check_own_taints(node: &Node) -> Errors {
    // Kubernetes reports taints below `metadata`.
    let path = Path::new("metadata").child("taints");
    check_taints(&path, node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default())
}

pub(super) fn check_taints(path: &Path, taints: &[Taint]) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let at = path.index(i);
        errors.extend(validate::complaints(&at.child("key"), &taint.key, names::qualified_name(&taint.key)));
        let value = taint.value.as_deref().unwrap_or_default();
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(Error::invalid(&at.child("value"), value, wrong.join("; ")));
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        errors.extend(validate::choice(&at.child("effect"), &taint.effect, &effects));
        if !seen.insert((&taint.key, &taint.effect)) {
            errors.push(Error::duplicate(&at, taint));
        }
    }
    errors
}

fn check_resources(node: &Node) -> Errors {
    let Some(status) = status(node) else { return Errors::new() };
    let path = Path::new("status");
    let mut errors = check_amounts(&path.child("capacity"), status.capacity.as_ref());
    errors.extend(check_amounts(&path.child("allocatable"), status.allocatable.as_ref()));
    errors
}

fn check_amounts(path: &Path, amounts: Option<&BTreeMap<String, Quantity>>) -> Errors {
    let each = amounts.into_iter().flatten();
    each.flat_map(|(name, amount)| validate_amount(&path.child(name), name, quantity::Quantity::of(amount))).collect()
}

/// Names in upper camel case, with more of them after slashes, in order.
fn check_features(node: &Node) -> Errors {
    let path = Path::new("status").child("declaredFeatures");
    let features = status(node).and_then(|s| s.declared_features.as_deref()).unwrap_or_default();
    let mut errors = Errors::new();
    for (i, feature) in features.iter().enumerate() {
        if feature.len() > 253 || !is_feature(feature) {
            errors.push(Error::invalid(&path.index(i), feature, "must be like MyFeature or MyFeature/subFeature"));
        }
        match features.get(i + 1) {
            Some(next) if next == feature => errors.push(Error::duplicate(&path.index(i + 1), next)),
            Some(next) if next < feature => errors.push(Error::invalid(&path.index(i + 1), next, "must be in alphabetical order")),
            _ => {}
        }
    }
    errors
}

fn is_feature(name: &str) -> bool {
    let is_word = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(is_word)
}

fn check_cidrs(node: &Node) -> Errors {
    let path = Path::new("spec").child("podCIDRs");
    let cidrs = node.spec.as_ref().map(cidrs).unwrap_or_default();
    let each = cidrs.iter().enumerate();
    let mut errors: Errors = each.flat_map(|(i, cidr)| validate::complaints(&path.index(i), cidr, ip::block(cidr))).collect();
    if cidrs.len() < 2 {
        return errors;
    }
    let blocks: Option<Vec<Block>> = cidrs.iter().map(|cidr| Block::parse_loosely(cidr)).collect();
    if blocks.is_none() {
        errors.push(Error::internal(&path, "families of what is no block cannot be told"));
    }
    let families: BTreeSet<bool> = blocks.iter().flatten().map(|block| block.address().is_ipv4()).collect();
    if families.len() < 2 || cidrs.len() > 2 {
        errors.push(Error::invalid(&path, cidrs, "may have one entry for each IP family"));
    }
    errors
}
