//! CronJob: makes a Job at each point of a schedule.
//!
//! The Job of a point is called after the point, so that it is made once, whoever tries; the point is written down after
//! the Job was made, so that a crash in between loses none.

mod history;
mod timing;

use std::sync::Arc;

use api::batch::schedule::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::controller::{Controller, Key, Wake};
use crate::ownership::controller_reference;
use crate::plan::{Guard, Note, Plan, Write, named, reference};
use crate::world::{Change, Kind, Whole, World};
use timing::{Timing, deadline, timing};

/// On a Job: the point of the schedule that it was made for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Clocks are set, and time zones change: a CronJob is looked at this often at least.
const LONGEST_WAIT_SECONDS: i64 = 3600;

pub struct CronJobController;

impl Controller for CronJobController {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::CronJob, Kind::Job]
    }

    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake) {
        match change {
            Change::CronJob(delta) => wake.key(&delta.newest().header().key),
            Change::Job(delta) => {
                for job in delta.states() {
                    let owner = job.header().controller().filter(|owner| owner.kind == "CronJob");
                    let owner = owner.and_then(|owner| world.cron_jobs.find(job.header().namespace(), &owner.name));
                    owner.into_iter().for_each(|cron| wake.key(&cron.header().key));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(cron) = world.cron_jobs.get(key) else { return plan };
        let jobs: Vec<&Arc<Whole<Job>>> = world.jobs.controlled_by(&cron.header().uid).collect();
        let mut work = Work { cron, jobs, status: cron.status.clone().unwrap_or_default(), now, plan };
        work.take_stock();
        history::trim(&mut work);
        if !cron.header().is_terminating() && cron.spec.suspend != Some(true) {
            work.start_what_is_due();
        }
        plan = work.plan;
        let status = work.status;
        if cron.status.clone().unwrap_or_default() != status {
            let mut object = cron.to_object();
            object.status = Some(status);
            plan.then(vec![Write::update_status(object)]);
        }
        plan
    }
}

struct Work<'w> {
    cron: &'w Whole<CronJob>,
    /// The Jobs that it controls, in order of name.
    jobs: Vec<&'w Arc<Whole<Job>>>,
    status: CronJobStatus,
    now: Timestamp,
    plan: Plan,
}

fn condition(job: &Job, name: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|one| one.type_ == name && one.status == "True")
}

fn is_finished(job: &Job) -> bool {
    condition(job, "Complete") || condition(job, "Failed")
}

/// Whether the schedule made the Job, and not somebody by hand.
fn is_scheduled(job: &Job) -> bool {
    job.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(SCHEDULED))
}

impl Work<'_> {
    /// Which Jobs run, and when one last succeeded.
    fn take_stock(&mut self) {
        let before = self.status.active.take().unwrap_or_default();
        let was_active = |job: &Whole<Job>| before.iter().any(|known| known.uid.as_deref() == Some(&job.header().uid));
        let mut active: Vec<ObjectReference> = Vec::new();
        for job in &self.jobs {
            let active_before = was_active(job);
            if is_finished(job) {
                if active_before {
                    let how = if condition(job, "Complete") { "Complete" } else { "Failed" };
                    let what = format!("Saw completed job: {}, condition: {how}", job.header().name());
                    self.plan.note(Note::normal(self.cron, "SawCompletedJob", what));
                }
                let completed = job.status.as_ref().and_then(|status| status.completion_time.clone());
                let completed = completed.filter(|_| condition(job, "Complete"));
                self.status.last_successful_time = self.status.last_successful_time.take().max(completed);
            } else if is_scheduled(job) {
                // A Job's version would make this list change with every change of a Job.
                active.push(ObjectReference { resource_version: None, ..reference(&***job) });
            }
        }
        for gone in before.iter().filter(|known| !self.jobs.iter().any(|job| known.uid.as_deref() == Some(&job.header().uid))) {
            let what = format!("Active job went missing: {}", gone.name.as_deref().unwrap_or_default());
            self.plan.note(Note::normal(self.cron, "MissingJob", what));
        }
        self.status.active = Some(active).filter(|active| !active.is_empty());
    }

    fn start_what_is_due(&mut self) {
        let cron = self.cron;
        let zone = match cron.spec.time_zone.as_deref().map(TimeZone::get) {
            None => TimeZone::UTC,
            Some(Ok(zone)) => zone,
            Some(Err(error)) => {
                let why = format!("invalid timeZone: {:?}: {error}", cron.spec.time_zone);
                return self.plan.note(Note::warning(cron, "UnknownTimeZone", why));
            }
        };
        let schedule = match Schedule::parse(&cron.spec.schedule) {
            Ok(schedule) => schedule,
            Err(error) => {
                let why = format!("unparseable schedule: {:?} : {error}", cron.spec.schedule);
                return self.plan.note(Note::warning(cron, "UnparseableSchedule", why));
            }
        };
        let Timing { due, next, too_many_missed } = timing(cron, &schedule, &zone, self.now);
        if let Some(next) = next {
            self.plan.look_again_in((next.as_second() - self.now.as_second()).clamp(1, LONGEST_WAIT_SECONDS));
        }
        if too_many_missed {
            let why = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.plan.note(Note::warning(cron, "TooManyMissedTimes", why));
        }
        if let Some(due) = due {
            self.start(due, &zone);
        }
    }

    fn start(&mut self, due: Timestamp, zone: &TimeZone) {
        let cron = self.cron;
        let name = format!("{}-{}", cron.header().name(), due.as_second().div_euclid(60));
        if self.jobs.iter().any(|job| job.header().name() == name) {
            // It was made, and then this process ended before it could write that down.
            self.status.last_schedule_time = Some(Time(due));
            return;
        }
        let too_late = deadline(cron).and_then(|deadline| due.checked_add(deadline).ok()).is_some_and(|last| last < self.now);
        if too_late {
            return self.plan.note(Note::warning(cron, "MissSchedule", format!("Missed scheduled time to start a job: {due}")));
        }
        let runs = self.jobs.iter().filter(|job| !is_finished(job) && is_scheduled(job));
        let running: Vec<&Arc<Whole<Job>>> = runs.copied().collect();
        match cron.spec.concurrency_policy.as_deref() {
            Some("Forbid") if !running.is_empty() => {
                let why = "Not starting job because prior execution is running and concurrency policy is Forbid";
                return self.plan.note(Note::normal(cron, "JobAlreadyActive", why));
            }
            Some("Replace") if !running.is_empty() => {
                let replaced = running.iter().filter(|job| !job.header().is_terminating());
                let writes: Vec<Write> = replaced.map(|job| history::delete(cron, job)).collect();
                self.plan.then(writes);
            }
            _ => {}
        }
        let done = Note::normal(cron, "SuccessfulCreate", format!("Created job {name}"));
        let failed = Note::warning(cron, "FailedCreate", "Error creating job");
        // A world that is out of date may not know that this point was dealt with, and its Job removed since.
        let unchanged = Guard::Unchanged(named(cron), cron.header().version);
        self.plan.then(vec![Write::create(self.job(&name, due, zone)).guarded(unchanged).done(done).failed(failed)]);
        // Written down by the next look, which sees the Job and gives it a place among the active ones.
    }

    fn job(&self, name: &str, due: Timestamp, zone: &TimeZone) -> Job {
        let template = self.cron.spec.job_template.clone();
        let metadata = template.metadata.unwrap_or_default();
        let mut annotations = metadata.annotations.unwrap_or_default();
        let local = due.to_zoned(zone.clone());
        let zulu = zone.to_offset(due) == jiff::tz::Offset::UTC;
        let shown = if zulu { due.to_string() } else { local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string() };
        annotations.insert(SCHEDULED.to_owned(), shown);
        Job {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: self.cron.metadata.namespace.clone(),
                labels: metadata.labels,
                annotations: Some(annotations),
                owner_references: Some(vec![controller_reference(self.cron)]),
                ..ObjectMeta::default()
            },
            spec: template.spec,
            status: None,
        }
    }
}

#[cfg(test)]
mod tests;
