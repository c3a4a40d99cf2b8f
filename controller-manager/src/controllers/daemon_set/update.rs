//! The rolling update of a DaemonSet: old pods are deleted as far as availability allows, or new ones come beside them
//! as far as surge allows.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Daemons;
use crate::controllers::deployment::{Rounding, scaled};
use crate::plan::Plan;
use crate::world::PodRow;

fn is_rolling(daemons: &Daemons<'_>) -> bool {
    daemons.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
}

/// On how many nodes at once a new pod may run beside the old one.
pub(super) fn surge(daemons: &Daemons<'_>) -> i32 {
    if !is_rolling(daemons) {
        return 0;
    }
    let rolling = daemons.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let given = rolling.and_then(|rolling| rolling.max_surge.as_ref());
    let total = i32::try_from(daemons.wanted_nodes().len()).unwrap_or(i32::MAX);
    given.map_or(0, |given| scaled(Some(given), total, Rounding::Up))
}

fn unavailable(daemons: &Daemons<'_>) -> i32 {
    let rolling = daemons.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let given = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    let total = i32::try_from(daemons.wanted_nodes().len()).unwrap_or(i32::MAX);
    scaled(Some(given.unwrap_or(&IntOrString::Int(1))), total, Rounding::Up)
}

/// Plans one step of the update. The set's pods are otherwise as they should be.
pub(super) fn roll(daemons: &mut Daemons<'_>, plan: &mut Plan) {
    if !is_rolling(daemons) {
        return;
    }
    match surge(daemons) {
        0 => replace(daemons, plan),
        most => add_beside(daemons, most, plan),
    }
}

/// The pods of a node that are not on their way out: of the present revision, and of an earlier one.
fn pair(daemons: &Daemons<'_>, node: &str) -> (Option<Arc<PodRow>>, Option<Arc<PodRow>>) {
    let alive = || daemons.pods_on(node).iter().filter(|pod| !pod.is_terminating());
    (alive().find(|pod| daemons.is_current(pod)).cloned(), alive().find(|pod| !daemons.is_current(pod)).cloned())
}

fn replace(daemons: &mut Daemons<'_>, plan: &mut Plan) {
    let mut room = unavailable(daemons);
    let (mut at_once, mut in_turn) = (Vec::new(), Vec::new());
    for node in daemons.wanted_nodes() {
        match pair(daemons, &node) {
            (None, None) => room -= 1,
            (Some(new), _) => room -= i32::from(!daemons.is_available(&new)),
            (None, Some(old)) if daemons.is_available(&old) => in_turn.push(old),
            (None, Some(old)) => {
                // It does not serve: replacing it costs nothing.
                room -= 1;
                at_once.push(old);
            }
        }
    }
    let more = usize::try_from(room).unwrap_or(0);
    for pod in at_once.into_iter().chain(in_turn.into_iter().take(more)) {
        daemons.delete(&pod, plan);
    }
}

fn add_beside(daemons: &mut Daemons<'_>, most: i32, plan: &mut Plan) {
    let mut room = most;
    let (mut at_once, mut in_turn) = (Vec::new(), Vec::new());
    for node in daemons.wanted_nodes() {
        match pair(daemons, &node) {
            (Some(_), Some(_)) => room -= 1,
            (None, Some(old)) if daemons.is_available(&old) => in_turn.push(node),
            (None, Some(_)) => at_once.push(node),
            _ => {}
        }
    }
    let more = usize::try_from(room).unwrap_or(0);
    for node in at_once.into_iter().chain(in_turn.into_iter().take(more)) {
        daemons.create(&node, plan);
    }
}
