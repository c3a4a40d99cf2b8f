//! Pods: how much compute they ask for and are limited to, and what a quota demands that they say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodAffinityTerm, PodSpec, ResourceRequirements};
use machinery::quantity::Quantity;

use super::scopes::PodTraits;
use super::{Amounts, ONE, add, amounts};
use crate::core::pod::quality_of_service;
use crate::scheduling::resources::{List, is_sidecar};

const COUNT: &str = "count/pods";
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";
/// A quota on one of these demands that every container says how much of it it needs.
const DEMANDED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Whether a quota's resource name is about pods.
pub(super) fn counts(name: &str) -> bool {
    let bare = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    name == "pods" || COMPUTE.contains(&bare) || bare.starts_with(HUGE_PAGES) || (name.starts_with("requests.") && bare.contains('/'))
}

/// What a pod counts for while it may run, and what scopes ask about it. Pods of one template have the same.
#[derive(Clone, Debug, PartialEq)]
pub struct PodUsage {
    compute: Amounts,
    pub traits: PodTraits,
}

impl PodUsage {
    pub fn of(pod: &Pod) -> Self {
        let no_spec = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&no_spec);
        let traits = PodTraits {
            terminating: spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0),
            best_effort: quality_of_service(pod) == "BestEffort",
            priority_class: spec.priority_class_name.clone().unwrap_or_default(),
            crosses_namespaces: crosses_namespaces(spec),
        };
        Self { compute: compute(spec), traits }
    }

    /// A pod that has ended, or should have, is an object and nothing else.
    pub fn amounts(&self, runs: bool) -> Amounts {
        let mut amounts = if runs { self.compute.clone() } else { Amounts::new() };
        amounts.insert(COUNT.into(), ONE);
        amounts
    }
}

/// Whether a pod still takes resources: until it has ended, or its grace period has passed twice over (its node is gone then).
pub(super) fn is_counted(pod: &Pod, now: Timestamp) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed")) && expiry(pod).is_none_or(|at| now <= at)
}

/// From when on a pod that is being deleted takes no resources any more.
pub(super) fn expiry(pod: &Pod) -> Option<Timestamp> {
    let meta = &pod.metadata;
    let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds?);
    meta.deletion_timestamp.as_ref()?.0.checked_add(grace).ok()
}

impl PodUsage {
    /// See [`PodUsage::amounts`].
    pub fn expiry(pod: &Pod) -> Option<Timestamp> {
        expiry(pod)
    }
}

fn compute(spec: &PodSpec) -> Amounts {
    let (requests, limits) = (pod_requests(spec, true), pod_limits(spec, true));
    let mut sum = Amounts::from([("pods".to_owned(), ONE)]);
    for (name, amount) in requests {
        if COMPUTE.contains(&name.as_str()) || name.starts_with(HUGE_PAGES) {
            sum.insert(format!("requests.{name}"), amount);
            sum.insert(name, amount);
        } else if name.contains('/') {
            sum.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in limits.into_iter().filter(|(name, _)| COMPUTE.contains(&name.as_str())) {
        sum.insert(format!("limits.{name}"), amount);
    }
    sum
}

/// What the pod asks for in all; with what its runtime costs, or without.
pub fn pod_requests(spec: &PodSpec, with_overhead: bool) -> Amounts {
    let mut sum = aggregate(spec, requests);
    if with_overhead {
        add(&mut sum, &amounts(spec.overhead.as_ref()));
    }
    sum
}

/// What the pod is limited to in all. Overhead adds to limits that there are.
pub fn pod_limits(spec: &PodSpec, with_overhead: bool) -> Amounts {
    let mut sum = aggregate(spec, limits);
    let overhead = spec.overhead.iter().flatten().filter(|_| with_overhead);
    for (name, amount) in overhead {
        if let Some(limit) = sum.get_mut(name).filter(|limit| !limit.is_zero()) {
            *limit += Quantity::of(amount);
        }
    }
    sum
}

fn requests(resources: &ResourceRequirements) -> Option<&List> {
    resources.requests.as_ref()
}

fn limits(resources: &ResourceRequirements) -> Option<&List> {
    resources.limits.as_ref()
}

type Select = fn(&ResourceRequirements) -> Option<&List>;

/// The larger of what the containers need together and of what any step of the initialization needs; what the pod
/// says as a whole stands above that.
fn aggregate(spec: &PodSpec, select: Select) -> Amounts {
    let of = |container: &Container| amounts(container.resources.as_ref().and_then(select));
    let mut together = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut together, &of(container)));
    let (mut sidecars, mut initializing) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut step = of(container);
        if is_sidecar(container) {
            add(&mut together, &step);
            add(&mut sidecars, &step);
            raise(&mut initializing, &sidecars);
        } else {
            add(&mut step, &sidecars);
            raise(&mut initializing, &step);
        }
    }
    raise(&mut together, &initializing);
    together.extend(amounts(spec.resources.as_ref().and_then(select)));
    together
}

fn raise(amounts: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        let mine = amounts.entry(name.clone()).or_insert(*amount);
        *mine = (*mine).max(*amount);
    }
}

/// Of the resources that a quota counts, those about which containers must say something and do not: by resource,
/// the containers' names.
pub fn missing<'p>(pod: &'p Pod, counted: &[&str]) -> BTreeMap<String, BTreeSet<&'p str>> {
    let mut missing: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let Some(spec) = &pod.spec else { return missing };
    let says = |resources: Option<&ResourceRequirements>, name: &str| {
        let (select, bare): (Select, &str) = match (name.strip_prefix("limits."), name.strip_prefix("requests.")) {
            (Some(bare), _) => (limits, bare),
            (_, Some(bare)) => (requests, bare),
            _ => (requests, name),
        };
        resources.and_then(select).is_some_and(|list| list.contains_key(bare))
    };
    for name in counted.iter().filter(|name| DEMANDED.contains(name)) {
        if says(spec.resources.as_ref(), name) {
            continue;
        }
        let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        for container in all.filter(|container| !says(container.resources.as_ref(), name)) {
            missing.entry((*name).to_owned()).or_default().insert(&container.name);
        }
    }
    missing
}

/// Whether the pod's affinity looks at pods of other namespaces.
fn crosses_namespaces(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let crosses = |term: &PodAffinityTerm| term.namespace_selector.is_some() || term.namespaces.as_ref().is_some_and(|n| !n.is_empty());
    let near = affinity.pod_affinity.as_ref();
    let far = affinity.pod_anti_affinity.as_ref();
    let required = near
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
        .into_iter()
        .chain(far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()));
    let preferred = near
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref())
        .into_iter()
        .chain(far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()));
    required.flatten().any(crosses) || preferred.flatten().any(|weighted| crosses(&weighted.pod_affinity_term))
}
