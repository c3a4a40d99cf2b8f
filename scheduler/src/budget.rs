//! [`Budget`]: what preemption needs of a PodDisruptionBudget: whom it protects, and how many of them may go.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use machinery::labels::Selector;

use crate::pod::Pod;

#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    selector: Selector,
    pub allowed: i64,
    /// Pods whose eviction was granted already.
    disrupted: Vec<Box<str>>,
}

impl Budget {
    pub fn of(budget: &PodDisruptionBudget) -> Self {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let status = budget.status.as_ref();
        Self {
            selector: Selector::of(selector).unwrap_or_else(|_| Selector::nothing()),
            allowed: status.and_then(|status| status.disruptions_allowed).map_or(0, i64::from),
            disrupted: status.iter().flat_map(|s| &s.disrupted_pods).flatten().map(|(name, _)| name.as_str().into()).collect(),
        }
    }

    /// Whether a pod of the same namespace is protected. Preemption takes a budget that selects everything for one that
    /// was left empty by mistake, as Kubernetes does.
    pub fn protects(&self, pod: &Pod) -> bool {
        !self.selector.is_everything()
            && self.selector.matches_by(|key| pod.labels.get(key))
            && !self.disrupted.iter().any(|name| **name == *pod.key.name)
    }
}
