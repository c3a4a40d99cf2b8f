//! CronJob: makes a Job at each point of a schedule.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, JobTemplateSpec};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::job_spec;
use super::schedule::Schedule;
use crate::apps::{bump_generation, selector, template};
use crate::columns::{self, CONTAINERS, IMAGES, SELECTOR};
use crate::core::pod::drop_gated_in_template;
use crate::counts::non_negative;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

/// A Job's name is a label of 63 bytes; the controller makes it of the CronJob's and a suffix of 11.
const MOST_NAME_BYTES: usize = 52;

pub struct CronJobs;

impl Kind for CronJobs {
    type Object = CronJob;

    const NAMES: Names = Names {
        group: "batch",
        version: "v1",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short: &["cj"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "cronjobs";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Schedule", "When Jobs are made."),
        Column::text("Timezone", "Where the schedule's hours are counted."),
        Column::boolean("Suspend", "Whether the schedule is halted."),
        Column::integer("Active", "Jobs that run now."),
        Column::text("Last Schedule", "Time since the last Job was due."),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(cron: &mut CronJob) {
        let spec = &mut cron.spec;
        zero::fill(&mut spec.concurrency_policy, "Allow");
        spec.suspend.get_or_insert(false);
        spec.successful_jobs_history_limit.get_or_insert(3);
        spec.failed_jobs_history_limit.get_or_insert(1);
        zero::keep(&mut spec.job_template.metadata);
        template::default(&mut zero::keep(&mut spec.job_template.spec).template);
        zero::omit(&mut zero::keep(&mut cron.status).active);
    }

    fn drop_unkept(cron: &mut CronJob) {
        cron.spec.job_template.spec.iter_mut().for_each(|spec| drop_gated_in_template(&mut spec.template));
    }

    fn prepare_create(_cx: &Context<'_>, cron: &mut CronJob) {
        cron.status = Some(CronJobStatus::default());
        cron.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, cron: &CronJob) -> Errors {
        let mut errors = check(&cron.spec, None);
        let name = cron.metadata.name.as_deref().unwrap_or_default();
        if name.len() > MOST_NAME_BYTES {
            let why = format!("must be no more than {MOST_NAME_BYTES} bytes");
            errors.push(Error::invalid(&Path::new("metadata").child("name"), name, why));
        }
        errors
    }

    fn warnings_create(cron: &CronJob) -> Vec<String> {
        let name = cron.metadata.name.as_deref().unwrap_or_default();
        let mut warnings = Vec::new();
        let wrong = names::dns1123_label(name, false);
        if !wrong.is_empty() {
            warnings.push(format!("metadata.name: pods and their host names are called after it; a DNS label is recommended: {wrong:?}"));
        }
        warnings.extend(job_warnings(cron));
        warnings
    }

    fn update() -> &'static dyn UpdateStrategy<CronJob> {
        &Update
    }

    fn subresources() -> Vec<Subresource<CronJob>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(cron: &CronJob, now: Timestamp) -> Vec<Value> {
        let spec = &cron.spec;
        let status = cron.status.as_ref();
        let job = spec.job_template.spec.as_ref();
        let [containers, images] = columns::containers_and_images(job.map(|j| &j.template));
        vec![
            columns::name(&cron.metadata),
            json!(spec.schedule),
            json!(spec.time_zone.as_deref().unwrap_or(columns::NONE)),
            json!(match spec.suspend {
                None => "<unset>",
                Some(true) => "True",
                Some(false) => "False",
            }),
            json!(status.and_then(|s| s.active.as_ref()).map_or(0, Vec::len)),
            json!(columns::since(status.and_then(|s| s.last_schedule_time.as_ref()), now)),
            columns::age(&cron.metadata, now),
            containers,
            images,
            json!(selector::cell(job.and_then(|j| j.selector.as_ref()))),
        ]
    }
}

fn job_warnings(cron: &CronJob) -> Vec<String> {
    let path = Path::new("spec").child("jobTemplate").child("spec");
    cron.spec.job_template.spec.as_ref().map(|spec| job_spec::warnings(&path, spec)).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<CronJob> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut CronJob, old: &CronJob) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &CronJob, old: &CronJob) -> Errors {
        check(&new.spec, Some(&old.spec))
    }

    fn warnings(&self, new: &CronJob, old: &CronJob) -> Vec<String> {
        let mut warnings = if template::is_new(&new.metadata, &old.metadata) { job_warnings(new) } else { Vec::new() };
        if new.spec.schedule.contains("TZ") {
            warnings.push("spec.schedule: TZ and CRON_TZ are not supported in it; use timeZone".to_owned());
        }
        warnings
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<CronJob> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut CronJob, old: &CronJob) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, _new: &CronJob, _old: &CronJob) -> Errors {
        Errors::new()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn check(spec: &CronJobSpec, old: Option<&CronJobSpec>) -> Errors {
    let path = Path::new("spec");
    let mut errors = check_schedule(&path.child("schedule"), spec, old);
    errors.extend(non_negative(&path.child("startingDeadlineSeconds"), spec.starting_deadline_seconds));
    if old.is_none_or(|old| old.time_zone != spec.time_zone) {
        errors.extend(check_time_zone(&path.child("timeZone"), spec.time_zone.as_deref()));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    errors.extend(validate::one_of(&path.child("concurrencyPolicy"), spec.concurrency_policy.as_deref(), &policies));
    errors.extend(check_job_template(&path.child("jobTemplate").child("spec"), &spec.job_template));
    errors.extend(non_negative(&path.child("successfulJobsHistoryLimit"), spec.successful_jobs_history_limit));
    errors.extend(non_negative(&path.child("failedJobsHistoryLimit"), spec.failed_jobs_history_limit));
    errors
}

fn check_schedule(path: &Path, spec: &CronJobSpec, old: Option<&CronJobSpec>) -> Errors {
    let text = spec.schedule.as_str();
    if text.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    // `TZ=` before the fields was once tolerated, and stays so where it is.
    let tolerated = old.is_some_and(|old| old.schedule.contains("TZ"));
    let zoned = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
    let (zone, fields) = zoned.map_or((None, text), |rest| rest.split_once(' ').map_or((Some(rest), ""), |(z, f)| (Some(z), f)));
    if zone.is_some_and(|zone| TimeZone::get(zone).is_err()) {
        errors.push(Error::invalid(path, text, "unknown time zone"));
    } else if let Err(why) = Schedule::parse(fields) {
        errors.push(Error::invalid(path, text, why.to_string()));
    }
    if text.contains("TZ") && (!tolerated || spec.time_zone.is_some()) {
        errors.push(Error::invalid(path, text, "cannot have TZ or CRON_TZ; use the field timeZone"));
    }
    errors
}

fn check_time_zone(path: &Path, name: Option<&str>) -> Errors {
    let Some(name) = name else { return Errors::new() };
    if name.is_empty() {
        return vec![Error::invalid(path, name, "must not be empty")];
    }
    // Names are paths of a database of files, which this keeps within.
    let component = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
        part != "." && part != ".." && !part.starts_with('-') && (1..=14).contains(&part.len()) && part.bytes().all(allowed)
    };
    if !name.split('/').all(component) {
        return vec![Error::invalid(path, name, "unknown time zone")];
    }
    let mut errors = Errors::new();
    if name.eq_ignore_ascii_case("Local") {
        errors.push(Error::invalid(path, name, "must name a time zone of the IANA database"));
    }
    // The database's look-up ignores case; names do not.
    let known = name == "Local" || TimeZone::get(name).is_ok_and(|zone| zone.iana_name() == Some(name));
    if !known {
        errors.push(Error::invalid(path, name, "unknown time zone"));
    }
    errors
}

fn check_job_template(path: &Path, job: &JobTemplateSpec) -> Errors {
    let Some(spec) = &job.spec else { return vec![Error::required(path, "")] };
    let mut errors = job_spec::check_template(path, spec);
    if let Some(selector) = &spec.selector {
        errors.push(Error::invalid(&path.child("selector"), selector, "each Job makes its own"));
    }
    if spec.manual_selector == Some(true) {
        errors.push(Error::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
    errors
}
