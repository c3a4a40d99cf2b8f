//! Taints keep pods away from nodes; tolerations let them in.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// The taint that a cordoned node counts as having.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Whether one toleration tolerates one taint. An empty key (with `Exists`) stands for every key, an empty effect for
/// every effect.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let (key, effect) = (given(&toleration.key), given(&toleration.effect));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match given(&toleration.operator) {
        "" | "Equal" => given(&toleration.value) == given(&taint.value),
        "Exists" => true,
        _ => false,
    }
}

fn given(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// Whether any of the tolerations tolerates the taint.
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|t| tolerates(t, taint))
}

/// The first taint of one of the `effects` that nothing tolerates: the one that Kubernetes names.
pub fn first_untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration], effects: &[&str]) -> Option<&'a Taint> {
    taints.iter().find(|taint| effects.contains(&taint.effect.as_str()) && !tolerated(taint, tolerations))
}

/// Whether the tolerations let a pod onto a cordoned node.
pub fn tolerates_unschedulable(tolerations: &[Toleration]) -> bool {
    let taint = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    tolerated(&taint, tolerations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        Toleration { key: some(key), operator: some(operator), value: some(value), effect: some(effect), toleration_seconds: None }
    }

    #[test]
    fn tolerations() {
        let taint = Taint { key: "k".into(), value: Some("v".into()), effect: "NoSchedule".into(), ..Taint::default() };
        for (toleration, expected) in [
            (toleration("k", "", "v", "NoSchedule"), true),
            (toleration("k", "Equal", "v", ""), true),
            (toleration("k", "Equal", "w", ""), false),
            (toleration("k", "Exists", "", "NoSchedule"), true),
            (toleration("", "Exists", "", ""), true),
            (toleration("k", "Exists", "", "NoExecute"), false),
            (toleration("x", "Exists", "", ""), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?}");
        }
        let taints = [taint];
        assert!(first_untolerated(&taints, &[], &["NoExecute"]).is_none());
        assert_eq!(first_untolerated(&taints, &[], &["NoSchedule"]), Some(&taints[0]));
        assert!(!tolerates_unschedulable(&[]));
        assert!(tolerates_unschedulable(&[toleration("", "Exists", "", "")]));
    }
}
