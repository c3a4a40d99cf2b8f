//! Keeping as many pods of a Job running as it asks for, with a pause after failures that doubles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::counting::Tally;
use super::failure_policy::{self, Action};
use super::{FINALIZER, Farewell, Work};
use crate::controllers::replicas::pod_of;
use crate::naming::Names;
use crate::plan::{BURST, Note, Plan, Write};
use crate::world::{Phase, PodRow};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The pause after the first failure in a row, and the longest, in seconds.
const FIRST_PAUSE: i64 = 10;
const LONGEST_PAUSE: i64 = 600;

pub(super) fn manage<'a>(work: &'a Work<'_>, tally: &Tally, farewell: &mut Farewell<'a>, plan: &mut Plan) {
    let active: Vec<&Arc<PodRow>> = work.active().collect();
    let mut excess = if work.is_indexed() { needless(&active, work, tally) } else { Vec::new() };
    let left = (active.len() - excess.len()) as i32;
    let wanted = wanted(work, tally, left);
    if left > wanted {
        let keep: BTreeSet<&str> = excess.iter().map(|pod| &*pod.uid).collect();
        let mut others: Vec<_> = active.iter().filter(|pod| !keep.contains(&*pod.uid)).copied().collect();
        others.sort_by_key(|pod| expendability(pod));
        others.truncate((left - wanted) as usize);
        excess.extend(others);
    }
    if !excess.is_empty() {
        excess.into_iter().take(BURST).for_each(|pod| work.discard(pod, farewell));
        return;
    }
    let waiting = if work.replaces_ended_only() { work.terminating().count() as i32 } else { 0 };
    let missing = usize::try_from(wanted - left - waiting).unwrap_or(0).min(BURST);
    if missing > 0 {
        create(work, tally, missing, plan);
    }
}

/// How many pods are to be active, given how many are.
fn wanted(work: &Work<'_>, tally: &Tally, active: i32) -> i32 {
    match work.spec.completions {
        Some(_) if work.is_indexed() => {
            let open = work.completions() - tally.completed.len() as i32 - tally.failed_indexes.len() as i32;
            work.parallelism().min(open.max(0))
        }
        Some(completions) => work.parallelism().min((completions - tally.total_succeeded()).max(0)),
        // After the first success no more pods are started.
        None if tally.total_succeeded() > 0 => active.min(work.parallelism()),
        None => work.parallelism(),
    }
}

/// What makes a pod the first to go: lower is earlier. A pod that was released already comes first, so that a pass
/// that was cut short is finished and not begun anew.
fn expendability(pod: &PodRow) -> impl Ord + use<> {
    let held = pod.has_finalizer(FINALIZER);
    let ready = std::cmp::Reverse(pod.ready_since);
    let created = std::cmp::Reverse(pod.created);
    ((held, pod.node.is_some(), pod.phase, pod.is_ready()), ready, created, pod.key.name.clone())
}

/// Pods whose index is done, has failed, is out of range, or has an older pod.
fn needless<'a>(active: &[&'a Arc<PodRow>], work: &Work<'_>, tally: &Tally) -> Vec<&'a Arc<PodRow>> {
    let mut by_index: BTreeMap<i32, Vec<&'a Arc<PodRow>>> = BTreeMap::new();
    let mut needless = Vec::new();
    for pod in active {
        match pod.completion_index.filter(|index| (0..work.completions()).contains(index)) {
            Some(index) if !tally.completed.contains(&index) && !tally.failed_indexes.contains(&index) => {
                by_index.entry(index).or_default().push(pod);
            }
            _ => needless.push(*pod),
        }
    }
    for pods in by_index.values_mut() {
        pods.sort_by_key(|pod| std::cmp::Reverse(expendability(pod)));
        needless.extend(pods.drain(1..));
    }
    needless
}

fn create(work: &Work<'_>, tally: &Tally, missing: usize, plan: &mut Plan) {
    if work.spec.backoff_limit_per_index.is_none() {
        let pause = pause(work, work.pods.iter());
        if pause > 0 {
            return plan.look_again_in(pause);
        }
    }
    if !work.is_indexed() {
        let head = work.job.header();
        let prefix = format!("{}-", head.name());
        let mut names = Names::of_pods(work.world, head.namespace(), &prefix, &head.uid);
        for _ in 0..missing {
            let pod = pod(work, names.next_free(), &prefix);
            plan.write(creation(work, pod));
        }
        return;
    }
    for index in open_indexes(work, tally, missing) {
        let failed: Vec<_> = work.pods.iter().filter(|pod| pod.completion_index == Some(index)).collect();
        let pause = if work.spec.backoff_limit_per_index.is_some() { pause(work, failed.iter().copied()) } else { 0 };
        if pause > 0 {
            plan.look_again_in(pause);
        } else {
            plan.write(creation(work, indexed_pod(work, index, &failed)));
        }
    }
}

fn creation(work: &Work<'_>, pod: Pod) -> Write {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let done = Note::normal(work.job, "SuccessfulCreate", format!("Created pod: {name}"));
    let failed = Note::warning(work.job, "FailedCreate", "Could not create a pod");
    Write::create(pod).done(done).failed(failed)
}

/// The lowest indexes that need a pod.
fn open_indexes(work: &Work<'_>, tally: &Tally, count: usize) -> Vec<i32> {
    let waits = |pod: &&Arc<PodRow>| work.replaces_ended_only() && pod.is_terminating() && !pod.phase.is_finished();
    let taken: BTreeSet<i32> =
        work.pods.iter().filter(|pod| pod.is_active() || waits(pod)).filter_map(|pod| pod.completion_index).collect();
    let open = |index: &i32| !taken.contains(index) && !tally.completed.contains(index) && !tally.failed_indexes.contains(index);
    (0..work.completions()).filter(open).take(count).collect()
}

/// How long to wait yet, in seconds, after the failures since the last success.
fn pause<'a>(work: &Work<'_>, pods: impl Iterator<Item = &'a Arc<PodRow>> + Clone) -> i64 {
    let ended = |pod: &PodRow| {
        let finished = pod.outcome.as_ref().and_then(|outcome| outcome.finished);
        finished.or(pod.deleted).or(pod.created)
    };
    let of = |phase: Phase| pods.clone().filter(move |pod| pod.phase == phase).filter_map(|pod| ended(pod));
    let success = of(Phase::Succeeded).max();
    let failures: Vec<_> = of(Phase::Failed).filter(|at| success.is_none_or(|success| *at > success)).collect();
    let Some(last) = failures.iter().max() else { return 0 };
    let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(16);
    let pause = (FIRST_PAUSE << doublings).min(LONGEST_PAUSE);
    last.as_second() + pause - work.now.as_second()
}

fn pod(work: &Work<'_>, name: String, generate_name: &str) -> Pod {
    let mut pod = pod_of(&work.spec.template, work.job, name, generate_name);
    pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
    pod
}

fn indexed_pod(work: &Work<'_>, index: i32, former: &[&Arc<PodRow>]) -> Pod {
    let head = work.job.header();
    let prefix = format!("{}-{index}-", head.name());
    let seed = format!("{}/{index}", head.uid);
    let name = Names::of_pods(work.world, head.namespace(), &prefix, &seed).next_free();
    let mut pod = pod(work, name, &prefix);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if work.spec.backoff_limit_per_index.is_some() {
        annotations.insert(INDEX_FAILURES.to_owned(), failures(work, former).to_string());
    }
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    if let Some(spec) = &mut pod.spec {
        spec.hostname = Some(format!("{}-{index}", head.name()));
        let inits = spec.init_containers.iter_mut().flatten();
        for container in spec.containers.iter_mut().chain(inits) {
            let env = container.env.get_or_insert_default();
            if env.iter().all(|variable| variable.name != INDEX_VARIABLE) {
                env.push(index_variable());
            }
        }
    }
    pod
}

/// How often the index has failed, by what its last pod says.
fn failures(work: &Work<'_>, former: &[&Arc<PodRow>]) -> i32 {
    let policy = work.spec.pod_failure_policy.as_ref();
    let of = |pod: &Arc<PodRow>| {
        let ignored = matches!(failure_policy::judge(policy, pod), Some((Action::Ignore, _)));
        pod.index_failures.unwrap_or(0) + i32::from(!ignored)
    };
    former.iter().filter(|pod| work.has_failed(pod)).map(|pod| of(pod)).max().unwrap_or(0)
}

fn index_variable() -> EnvVar {
    let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
    EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}
