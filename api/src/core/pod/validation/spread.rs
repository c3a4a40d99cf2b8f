//! Topology spread constraints.

use k8s_openapi::api::core::v1::PodSpec;
use machinery::field::{Error, Errors, Path};
use machinery::labels;

use super::affinity::validate_label_keys;
use crate::validate::{positive, required, supported_value};

pub(super) fn validate(path: &Path, spec: &PodSpec) -> Errors {
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let at = path.index(i);
        errors.extend(positive(&at.child("maxSkew"), constraint.max_skew.into()));
        errors.extend(required(&at.child("topologyKey"), &constraint.topology_key));
        let when = constraint.when_unsatisfiable.as_str();
        errors.extend(supported_value(&at.child("whenUnsatisfiable"), when, &["DoNotSchedule", "ScheduleAnyway"]));
        let repeated = constraints[i + 1..]
            .iter()
            .any(|c| c.topology_key == constraint.topology_key && c.when_unsatisfiable == constraint.when_unsatisfiable);
        if repeated {
            let pair = format!("{{{}, {when}}}", constraint.topology_key);
            errors.push(Error::duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        if let Some(domains) = constraint.min_domains {
            let field = at.child("minDomains");
            errors.extend(positive(&field, domains.into()));
            if when != "DoNotSchedule" {
                errors.push(Error::invalid(&field, domains, "can only be set with DoNotSchedule"));
            }
        }
        for (name, policy) in
            [("nodeAffinityPolicy", &constraint.node_affinity_policy), ("nodeTaintsPolicy", &constraint.node_taints_policy)]
        {
            if let Some(policy) = policy {
                errors.extend(supported_value(&at.child(name), policy, &["Honor", "Ignore"]));
            }
        }
        let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
        errors.extend(validate_label_keys(&at, keys, &[], constraint.label_selector.as_ref()));
        if let Some(selector) = &constraint.label_selector {
            errors.extend(labels::validate(selector, &at.child("labelSelector")));
        }
    }
    errors
}
