//! Recreate: empties the old ReplicaSets, waits until their last pod is gone, then makes the new one at full size.

use k8s_openapi::api::apps::v1::Deployment;

use super::Rollout;
use super::revisions::{self, IfMissing};
use super::scaling::{Which, resize};
use crate::plan::Plan;

pub(super) fn roll(rollout: &mut Rollout<'_>, deployment: &mut Deployment, plan: &mut Plan) {
    let mut shrunk = false;
    for at in 0..rollout.old.len() {
        shrunk |= rollout.old[at].size > 0 && resize(rollout, Which::Old(at), 0, plan);
    }
    let waiting = shrunk || old_pods_run(rollout);
    let missing = if waiting { IfMissing::Leave } else { IfMissing::Create };
    revisions::sync(rollout, deployment, missing, plan);
    if !waiting && rollout.new.as_ref().is_some_and(|new| new.size != rollout.replicas) {
        resize(rollout, Which::New, rollout.replicas, plan);
    }
}

fn old_pods_run(rollout: &Rollout<'_>) -> bool {
    let pods = rollout.old.iter().flat_map(|m| rollout.world.pods.controlled_by(&m.set.header().uid));
    pods.into_iter().any(|pod| !pod.phase.is_finished())
}
