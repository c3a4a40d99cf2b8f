//! Job: runs pods until enough of them have succeeded.
//!
//! Each pod is counted once, whatever happens in between: it carries a finalizer, its uid goes into the Job's status,
//! then the finalizer is taken away, and only then does the counter rise and the uid leave the status.

pub(super) mod conditions;
mod counting;
mod failure_policy;
mod indexes;
mod pods;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::controller::{Controller, Key, Wake};
use crate::controllers::replicas::{pod_change_matters, wake_for_pod};
use crate::ownership::claim;
use crate::plan::{BURST, Note, Plan, Write};
use crate::selection;
use crate::world::{Change, Delta, Kind, Labels, Phase, PodRow, Whole, World};
use counting::Tally;
use verdict::Verdict;

/// Keeps a pod until it has been counted.
const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// The value of `spec.managedBy` that means this controller.
const MANAGER: &str = "kubernetes.io/job-controller";
/// Before a name in a key: the key is of a pod whose Job is gone.
const ORPHAN: &str = "/";

pub struct JobController;

impl Controller for JobController {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Job, Kind::Pod]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::Job(delta) => {
                wake.key(&delta.newest().header().key);
                if let Delta::Removed(job) = delta {
                    let orphaned = world.pods.uncontrolled(job.header().namespace());
                    let left = world.pods.controlled_by(&job.header().uid).chain(orphaned);
                    left.for_each(|pod| wake_orphan(world, pod, wake));
                }
            }
            Change::Pod(delta) => {
                if pod_change_matters(delta) || finalizers_changed(delta) {
                    wake_for_pod(delta, &world.jobs, "Job", &|job, labels| selects(job, labels), wake);
                }
                if let Some(pod) = delta.after() {
                    wake_orphan(world, pod, wake);
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if let Some(pod) = key.name.strip_prefix(ORPHAN) {
            if let Some(pod) = world.pods.find(&key.namespace, pod).filter(|pod| is_orphan(world, pod)) {
                plan.write(remove_finalizer(pod));
            }
            return plan;
        }
        let Some(job) = world.jobs.get(key) else { return plan };
        let Some(spec) = &job.spec else { return plan };
        if spec.managed_by.as_deref().is_some_and(|manager| manager != MANAGER) {
            return plan;
        }
        let pods = claim(&world.pods, &**job, &|labels| selects(job, labels), &|_| true, &mut plan);
        let work = Work { world, job, spec, pods, now };
        if work.is_finished() {
            work.retire(&mut plan);
        } else {
            work.go_on(&mut plan);
        }
        plan
    }
}

fn selects(job: &Whole<Job>, labels: &Labels) -> bool {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| !selection::is_empty(selector) && selection::selects(selector, labels))
}

fn finalizers_changed(delta: &Delta<'_, PodRow>) -> bool {
    matches!(delta, Delta::Changed { old, new } if old.finalizers != new.finalizers)
}

/// Whether the pod waits to be counted by a Job that is gone.
fn is_orphan(world: &World, pod: &PodRow) -> bool {
    let owner = pod.controller().filter(|owner| owner.kind == "Job");
    let job = owner.and_then(|owner| world.jobs.find(pod.namespace(), &owner.name).filter(|job| *job.header().uid == *owner.uid));
    let adopts = |job: &Whole<Job>| !job.header().is_terminating() && selects(job, &pod.labels);
    let adoptable = || pod.controller().is_none() && world.jobs.namespace(pod.namespace()).any(|job| adopts(job));
    pod.has_finalizer(FINALIZER) && job.is_none() && !adoptable()
}

fn wake_orphan(world: &World, pod: &PodRow, wake: &mut Wake) {
    if is_orphan(world, pod) {
        wake.key(&Key::new(pod.key.namespace.clone(), format!("{ORPHAN}{}", pod.name())));
    }
}

fn remove_finalizer(pod: &PodRow) -> Write {
    let left: Vec<_> = pod.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    let left = if left.is_empty() { json!(null) } else { json!(left) };
    Write::patch(pod, json!({"metadata": {"finalizers": left, "resourceVersion": pod.version.to_string()}}))
}

/// Active pods that are to go without being counted, in the order of the writes.
#[derive(Default)]
struct Farewell<'a> {
    pods: Vec<&'a Arc<PodRow>>,
    releases: Vec<Write>,
    deletions: Vec<Write>,
}

/// A Job and its pods.
struct Work<'a> {
    world: &'a World,
    job: &'a Whole<Job>,
    spec: &'a JobSpec,
    pods: Vec<Arc<PodRow>>,
    now: Timestamp,
}

impl Work<'_> {
    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn completions(&self) -> i32 {
        self.spec.completions.unwrap_or(i32::MAX)
    }

    fn parallelism(&self) -> i32 {
        self.spec.parallelism.unwrap_or(1)
    }

    /// Whether a pod is replaced only when it has ended, and not already when its deletion begins.
    fn replaces_ended_only(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn is_finished(&self) -> bool {
        ["Complete", "Failed"].iter().any(|name| conditions::holds(&self.status(), name))
    }

    fn active(&self) -> impl Iterator<Item = &Arc<PodRow>> {
        self.pods.iter().filter(|pod| pod.is_active())
    }

    fn terminating(&self) -> impl Iterator<Item = &Arc<PodRow>> {
        self.pods.iter().filter(|pod| pod.is_terminating() && !pod.phase.is_finished())
    }

    /// The Job's end: nothing is to run any more.
    fn retire(&self, plan: &mut Plan) {
        for pod in &self.pods {
            if pod.has_finalizer(FINALIZER) {
                plan.write(remove_finalizer(pod));
            }
        }
    }

    fn go_on(&self, plan: &mut Plan) {
        let mut status = self.status();
        self.follow_suspension(&mut status, plan);
        let tally = Tally::of(self, &status);
        let verdict = verdict::judge(self, &status, &tally);
        let mut farewell = Farewell::default();
        let mut dismissed = Vec::new();
        match &verdict {
            Some(_) => dismissed.extend(self.active().take(BURST).map(|pod| self.delete(pod))),
            None if self.job.header().is_terminating() => {}
            None if self.is_suspended() => self.active().take(BURST).for_each(|pod| self.discard(pod, &mut farewell)),
            None => pods::manage(self, &tally, &mut farewell, plan),
        }
        tally.fill(self, &mut status);
        let active = (self.active().count() - farewell.pods.len()) as i32;
        status.active = Some(active).filter(|active| *active > 0);
        let is_ready = |pod: &&Arc<PodRow>| pod.is_ready();
        status.ready = Some((self.active().filter(is_ready).count() - farewell.pods.iter().copied().filter(is_ready).count()) as i32);
        status.terminating = Some((self.terminating().count() + farewell.pods.len()) as i32);
        if let Some(verdict) = verdict {
            self.conclude(verdict, &mut status, plan);
        }
        if let (Some(deadline), Some(started)) = (self.spec.active_deadline_seconds, &status.start_time) {
            plan.look_again_in((started.0.as_second() + deadline - self.now.as_second()).max(1));
        }
        // The order matters: what is not counted goes before the status says that it is gone; what is to be counted is
        // in the status before its finalizer goes, and the verdict before the pods that it ends.
        let shown = Write::change_status(self.job, |job| job.status = Some(status));
        if farewell.pods.is_empty() {
            // New pods may be refused; that does not keep back the status.
            shown.into_iter().for_each(|write| plan.write(write));
        } else {
            plan.then(farewell.releases);
            plan.then(farewell.deletions);
            plan.then(shown.into_iter().collect());
        }
        plan.then(tally.releases());
        plan.then(dismissed);
    }

    /// Sets the conditions that the verdict leads to; the last of them only when no pod runs or waits to be counted.
    fn conclude(&self, verdict: Verdict, status: &mut JobStatus, plan: &mut Plan) {
        let (target, last) = if verdict.success { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
        conditions::set(status, self.now, target, &verdict.reason, &verdict.message);
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let uncounted = uncounted.is_some_and(|u| u.succeeded.is_some() || u.failed.is_some());
        let held = self.pods.iter().any(|pod| pod.has_finalizer(FINALIZER));
        if self.active().next().is_some() || self.terminating().next().is_some() || uncounted || held {
            return;
        }
        conditions::set(status, self.now, last, &verdict.reason, &verdict.message);
        if verdict.success {
            status.completion_time = Some(Time(self.now));
            plan.note(Note::normal(self.job, "Completed", "The job is complete"));
        } else {
            plan.note(Note { reason: verdict.event, ..Note::warning(self.job, "", verdict.message) });
        }
    }

    fn follow_suspension(&self, status: &mut JobStatus, plan: &mut Plan) {
        let shown = conditions::holds(status, "Suspended");
        if self.is_suspended() {
            if !shown {
                conditions::set(status, self.now, "Suspended", "JobSuspended", "The job is suspended");
                plan.note(Note::normal(self.job, "Suspended", "The job is suspended"));
            }
            status.start_time = None;
            return;
        }
        if shown {
            conditions::unset(status, self.now, "Suspended", "JobResumed", "The job goes on");
            plan.note(Note::normal(self.job, "Resumed", "The job goes on"));
            status.start_time = Some(Time(self.now));
        }
        status.start_time.get_or_insert(Time(self.now));
    }

    fn delete(&self, pod: &PodRow) -> Write {
        let note = Note::normal(self.job, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        let failed = Note::warning(self.job, "FailedDelete", format!("Could not delete pod {}", pod.name()));
        Write::delete(pod).done(note).failed(failed)
    }

    /// Deletes a pod that is not to be counted: without the finalizer its end says nothing.
    fn discard<'a>(&self, pod: &'a Arc<PodRow>, farewell: &mut Farewell<'a>) {
        farewell.releases.extend(pod.has_finalizer(FINALIZER).then(|| remove_finalizer(pod)));
        farewell.deletions.push(self.delete(pod));
        farewell.pods.push(pod);
    }

    fn index_set(&self, text: Option<&str>) -> BTreeSet<i32> {
        indexes::parse(text.unwrap_or_default(), self.completions())
    }

    /// Whether a pod counts as failed: it ended so, or was deleted before it could end, where that is enough.
    fn has_failed(&self, pod: &PodRow) -> bool {
        match pod.phase {
            Phase::Failed => true,
            Phase::Succeeded => false,
            _ => pod.is_terminating() && !self.replaces_ended_only(),
        }
    }
}

#[cfg(test)]
mod tests;
