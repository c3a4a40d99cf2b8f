//! RollingUpdate: grows the new ReplicaSet as far as surge allows, then shrinks the old ones as far as availability
//! allows.

use super::Rollout;
use super::scaling::{Which, resize};
use crate::plan::Plan;

pub(super) fn roll(rollout: &mut Rollout<'_>, plan: &mut Plan) {
    let Some(new) = &rollout.new else { return };
    let size = new_size(rollout, new.size);
    if size != new.size && resize(rollout, Which::New, size, plan) {
        return;
    }
    shrink_old(rollout, plan);
}

/// The size that the new ReplicaSet may have now, given the one it has.
pub(super) fn new_size(rollout: &Rollout<'_>, present: i32) -> i32 {
    if present >= rollout.replicas {
        return rollout.replicas;
    }
    let room = rollout.most() - rollout.total_size();
    present + room.clamp(0, rollout.replicas - present)
}

fn shrink_old(rollout: &mut Rollout<'_>, plan: &mut Plan) {
    let old_total: i32 = rollout.old.iter().map(|m| m.size).sum();
    let Some(new) = &rollout.new else { return };
    if old_total == 0 {
        return;
    }
    let least_available = rollout.replicas - rollout.unavailable;
    // Pods of the new revision that are not available yet hold back as many of the old.
    let new_unavailable = (new.size - new.available()).max(0);
    let mut spare = rollout.total_size() - least_available - new_unavailable;
    if spare <= 0 {
        return;
    }
    // Pods that do not serve anyway go first: taking them costs nothing.
    let mut sizes: Vec<i32> = rollout.old.iter().map(|m| m.size).collect();
    for (size, member) in sizes.iter_mut().zip(&rollout.old) {
        let broken = (*size - member.available()).clamp(0, spare);
        *size -= broken;
        spare -= broken;
    }
    let available: i32 = rollout.members().map(|m| m.available()).sum();
    let mut spare = available - least_available;
    for size in &mut sizes {
        let taken = (*size).clamp(0, spare.max(0));
        *size -= taken;
        spare -= taken;
    }
    for (at, size) in sizes.into_iter().enumerate() {
        if rollout.old[at].size != size {
            resize(rollout, Which::Old(at), size, plan);
        }
    }
}
