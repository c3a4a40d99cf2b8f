//! The pod failure policy of a Job: what the end of a failed pod means for it.

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyRule};

use crate::world::{Outcome, Phase, PodRow};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The Job fails at once.
    FailJob,
    /// The pod's index fails at once.
    FailIndex,
    /// The failure is not counted.
    Ignore,
    /// The failure counts as any other.
    Count,
}

/// The action of the first rule that fits, and that rule's number.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &PodRow) -> Option<(Action, usize)> {
    let outcome = pod.outcome.as_deref().filter(|_| pod.phase == Phase::Failed)?;
    let (number, rule) = policy?.rules.iter().enumerate().find(|(_, rule)| fits(rule, outcome))?;
    let action = match rule.action.as_str() {
        "FailJob" => Action::FailJob,
        "FailIndex" => Action::FailIndex,
        "Ignore" => Action::Ignore,
        _ => Action::Count,
    };
    Some((action, number))
}

fn fits(rule: &PodFailurePolicyRule, outcome: &Outcome) -> bool {
    if let Some(codes) = &rule.on_exit_codes {
        let named = |name: &str| codes.container_name.as_deref().is_none_or(|wanted| wanted == name);
        // Success is no failure, whatever the values say.
        let mut exits = outcome.exits.iter().filter(|(name, code)| *code != 0 && named(name)).map(|(_, code)| code);
        return match codes.operator.as_str() {
            "In" => exits.any(|code| codes.values.contains(code)),
            "NotIn" => exits.any(|code| !codes.values.contains(code)),
            _ => false,
        };
    }
    rule.on_pod_conditions.iter().flatten().any(|pattern| {
        let status = pattern.status.as_deref().unwrap_or("True");
        outcome.conditions.iter().any(|(type_, value)| *type_ == pattern.type_ && value == status)
    })
}
