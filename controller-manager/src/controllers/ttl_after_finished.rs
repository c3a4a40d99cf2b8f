//! Deletes Jobs that have ended, when their time to live is over, whoever carried them out.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobStatus;

use super::job::conditions;
use crate::controller::{Controller, Key, Wake};
use crate::plan::{Guard, Plan, Verb, Write, named};
use crate::world::{Change, Kind, World};

pub struct TimeToLiveController;

impl Controller for TimeToLiveController {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Job]
    }

    fn wakes(&self, _world: &World, change: &Change<'_>, wake: &mut Wake) {
        if let Change::Job(delta) = change
            && delta.after().is_some_and(|job| job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_some()))
        {
            wake.key(&delta.newest().header().key);
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(job) = world.jobs.get(key).filter(|job| !job.header().is_terminating()) else { return plan };
        let Some(ttl) = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished) else { return plan };
        let none = JobStatus::default();
        let Some(ended) = conditions::finish_time(job.status.as_ref().unwrap_or(&none)) else { return plan };
        let left = ended.as_second() + i64::from(ttl) - now.as_second();
        if left > 0 {
            plan.look_again_in(left);
            return plan;
        }
        // Somebody may have given the Job more time meanwhile.
        let mut write = Write::delete(&**job).guarded(Guard::Unchanged(named(&**job), job.header().version));
        if let Verb::Delete { propagation, .. } = &mut write.verb {
            *propagation = Some(api::kind::Propagation::Foreground);
        }
        plan.write(write);
        plan
    }
}
