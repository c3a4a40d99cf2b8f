//! Job: runs pods until enough of them succeed. Unless told otherwise, it makes its own selector, so that no two
//! Jobs share pods.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{job_spec, job_status};
use crate::apps::{bump_generation, selector, template};
use crate::columns::{self, CONTAINERS, IMAGES, SELECTOR};
use crate::core::pod::drop_gated_in_template;
use crate::kind::{Column, Kind, Names, Propagation, Scope, SelectableField, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The same labels as they were before labels of Kubernetes' own had a domain.
const LEGACY_CONTROLLER_UID: &str = "controller-uid";
const LEGACY_JOB_NAME: &str = "job-name";

pub struct Jobs;

impl Kind for Jobs {
    type Object = Job;

    const NAMES: Names =
        Names { group: "batch", version: "v1", kind: "Job", plural: "jobs", singular: "job", short: &[], categories: &["all"] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "jobs";
    const DEFAULT_PROPAGATION: Option<Propagation> = Some(Propagation::Orphan);
    const DELETE_WARNING: Option<&'static str> = Some(
        "the pods of a Job stay when it is deleted, unless propagationPolicy=Background takes them along; \
         propagationPolicy=Orphan says that they are meant to",
    );
    const SELECTABLE: &'static [&'static str] = &["status.successful"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "What the Job does, or how it ended."),
        Column::text("Completions", "Pods that succeeded, out of those wanted."),
        Column::text("Duration", "How long the Job took, or has been running."),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(job: &mut Job) {
        let spec = zero::keep(&mut job.spec);
        job_spec::default(spec);
        // The labels that a Job takes from its template include the generated ones, which are added later on.
        if !makes_selector(spec) || label(spec, CONTROLLER_UID).is_some() {
            inherit_labels(job);
        }
        job_status::normalize(zero::keep(&mut job.status));
    }

    fn drop_unkept(job: &mut Job) {
        job.spec.iter_mut().for_each(|spec| drop_gated_in_template(&mut spec.template));
    }

    /// Who writes the template's labels owns those that the Job takes from it, before the generated ones are there.
    fn as_written(job: &Job) -> Option<Job> {
        let lacks_labels = job.metadata.labels.as_ref().is_none_or(|labels| labels.is_empty());
        let template = job.spec.as_ref().and_then(|spec| template::labels(&spec.template));
        (lacks_labels && template.is_some_and(|labels| !labels.is_empty())).then(|| {
            let mut job = job.clone();
            inherit_labels(&mut job);
            job
        })
    }

    fn prepare_create(_cx: &Context<'_>, job: &mut Job) {
        if job.spec.as_ref().is_some_and(makes_selector) {
            let is_labelled = job.spec.as_ref().and_then(|spec| template::labels(&spec.template)).is_some_and(|labels| !labels.is_empty());
            make_selector(job);
            if is_labelled {
                inherit_labels(job);
            }
        }
        job.status = Some(JobStatus::default());
        job.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, job: &Job) -> Errors {
        check(job, true)
    }

    /// The labels that a template has of its Job alone are the Job's too, but not wrong twice.
    fn complete(job: &mut Job) {
        inherit_labels(job);
    }

    fn warnings_create(job: &Job) -> Vec<String> {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let mut warnings = Vec::new();
        let wrong = names::dns1123_label(name, false);
        if !wrong.is_empty() {
            warnings.push(format!("metadata.name: pods and their host names are called after it; a DNS label is recommended: {wrong:?}"));
        }
        warnings.extend(job.spec.as_ref().map(|spec| job_spec::warnings(&Path::new("spec"), spec)).unwrap_or_default());
        warnings
    }

    fn update() -> &'static dyn UpdateStrategy<Job> {
        &Update
    }

    fn subresources() -> Vec<Subresource<Job>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn selectable_fields(job: &Job) -> Vec<SelectableField> {
        let succeeded = job.status.as_ref().and_then(|s| s.succeeded).unwrap_or(0);
        vec![("status.successful", Cow::Owned(succeeded.to_string()))]
    }

    fn row(job: &Job, now: Timestamp) -> Vec<Value> {
        let (no_spec, no_status) = (JobSpec::default(), JobStatus::default());
        let spec = job.spec.as_ref().unwrap_or(&no_spec);
        let status = job.status.as_ref().unwrap_or(&no_status);
        let [containers, images] = columns::containers_and_images(Some(&spec.template));
        vec![
            columns::name(&job.metadata),
            json!(job_status::summary(job)),
            json!(completions(spec, status)),
            json!(duration(status, now)),
            columns::age(&job.metadata, now),
            containers,
            images,
            json!(selector::cell(spec.selector.as_ref())),
        ]
    }
}

fn completions(spec: &JobSpec, status: &JobStatus) -> String {
    let succeeded = status.succeeded.unwrap_or(0);
    match (spec.completions, spec.parallelism.unwrap_or(0)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(status: &JobStatus, now: Timestamp) -> String {
    let Some(start) = &status.start_time else { return String::new() };
    let end = status.completion_time.as_ref().map_or(now, |time| time.0);
    machinery::table::human_duration(end.as_second() - start.0.as_second())
}

fn makes_selector(spec: &JobSpec) -> bool {
    spec.manual_selector != Some(true)
}

fn label<'a>(spec: &'a JobSpec, key: &str) -> Option<&'a str> {
    template::labels(&spec.template)?.get(key).map(String::as_str)
}

fn inherit_labels(job: &mut Job) {
    if job.metadata.labels.as_ref().is_none_or(|labels| labels.is_empty()) {
        job.metadata.labels = job.spec.as_ref().and_then(|s| template::labels(&s.template)).cloned();
    }
}

/// Labels the template with the Job's name and uid, and selects by the uid. Labels of these keys that are there
/// already stay, and fail validation where they are wrong.
fn make_selector(job: &mut Job) {
    let name = job.metadata.name.clone().unwrap_or_default();
    let uid = job.metadata.uid.clone().unwrap_or_default();
    let spec = zero::keep(&mut job.spec);
    let labels = zero::keep(&mut zero::keep(&mut spec.template.metadata).labels);
    for (key, value) in [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)] {
        labels.entry(key.to_owned()).or_insert_with(|| value.clone());
    }
    let selected = zero::keep(&mut zero::keep(&mut spec.selector).match_labels);
    selected.entry(CONTROLLER_UID.to_owned()).or_insert(uid);
}

struct Update;

impl UpdateStrategy<Job> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Job, old: &Job) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &Job, old: &Job) -> Errors {
        let none = JobSpec::default();
        let old_spec = old.spec.as_ref().unwrap_or(&none);
        // Jobs from before the labels with a domain stay valid.
        let with_domain = label(old_spec, CONTROLLER_UID).is_some() && label(old_spec, JOB_NAME).is_some();
        check(new, with_domain)
    }

    fn validate_change(&self, new: &Job, old: &Job) -> Errors {
        job_spec::check_update(new.spec.as_ref().unwrap_or(&JobSpec::default()), old)
    }

    fn warnings(&self, new: &Job, old: &Job) -> Vec<String> {
        if new.metadata.generation == old.metadata.generation {
            return Vec::new();
        }
        new.spec.as_ref().map(|spec| job_spec::warnings(&Path::new("spec"), spec)).unwrap_or_default()
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

struct Status;

impl UpdateStrategy<Job> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut Job, old: &Job) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &Job, old: &Job) -> Errors {
        job_status::check_update(new, old)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

fn check(job: &Job, with_domain: bool) -> Errors {
    let none = JobSpec::default();
    let spec = job.spec.as_ref().unwrap_or(&none);
    let mut errors = check_made_selector(job, spec, with_domain);
    errors.extend(job_spec::check(&Path::new("spec"), spec));
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    if let Some(completions) = spec.completions.filter(|c| indexed && *c > 0) {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let last_host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&last_host, false).is_empty() {
            let path = Path::new("metadata").child("name");
            errors.push(Error::invalid(&path, name, format!("{last_host:?} would not be a good host name for a pod")));
        }
    }
    errors
}

/// A selector that the Job made selects by what the template is labelled with.
fn check_made_selector(job: &Job, spec: &JobSpec, with_domain: bool) -> Errors {
    let Some(made) = spec.selector.as_ref().filter(|_| makes_selector(spec)) else { return Errors::new() };
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    if uid.is_empty() {
        errors.push(Error::required(&Path::new("metadata").child("uid"), ""));
    }
    let labels = Path::new("spec").child("template").child("metadata").child("labels");
    let all = [(LEGACY_CONTROLLER_UID, uid), (LEGACY_JOB_NAME, name), (CONTROLLER_UID, uid), (JOB_NAME, name)];
    let expected = if with_domain { &all[..] } else { &all[..2] };
    for (key, value) in expected {
        match label(spec, key) {
            None => errors.push(Error::required(&labels.key(key), format!("must be '{value}'"))),
            Some(found) if found != *value => {
                errors.push(Error::invalid(&labels.key(key), found, format!("must be '{value}'")));
            }
            Some(_) => {}
        }
    }
    let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let path = Path::new("spec").child("selector");
    if validate::label_selector(&path, made).is_empty() && !selector::matches(made, Some(&expected)) {
        errors.push(Error::invalid(&path, made, "is not the one that the Job makes"));
    }
    errors
}
