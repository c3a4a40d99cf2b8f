//! Deletes old ReplicaSets beyond the revision history limit.

use super::{Rollout, revisions};
use crate::plan::{Plan, Write};

pub(super) fn clean(rollout: &Rollout<'_>, plan: &mut Plan) {
    let Some(limit) = rollout.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
    let mut candidates: Vec<_> = rollout.old.iter().filter(|m| !m.set.header().is_terminating()).collect();
    candidates.sort_by_key(|m| revisions::revision(&m.set));
    let excess = candidates.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    for member in &candidates[..excess] {
        let observed = member.set.status.as_ref().and_then(|s| s.observed_generation).unwrap_or(0);
        // One that still has pods, or whose status is not up to date, is left for another time.
        let empty = member.size == 0 && member.replicas() == 0;
        if empty && member.set.metadata.generation.unwrap_or(0) <= observed {
            plan.write(Write::delete(&*member.set));
        }
    }
}
