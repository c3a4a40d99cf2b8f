//! Whether a Job has come to its end, and to which.

use k8s_openapi::api::batch::v1::JobStatus;

use super::Work;
use super::counting::Tally;

/// The end of a Job, which its pods are still to follow.
pub(super) struct Verdict {
    pub success: bool,
    pub reason: String,
    pub message: String,
    /// The reason of the event.
    pub event: &'static str,
}

impl Verdict {
    fn failure(reason: &'static str, message: impl Into<String>) -> Option<Self> {
        Some(Self { success: false, reason: reason.to_owned(), message: message.into(), event: reason })
    }

    fn success(reason: &'static str, message: &str) -> Option<Self> {
        Some(Self { success: true, reason: reason.to_owned(), message: message.to_owned(), event: "Completed" })
    }
}

pub(super) fn judge(work: &Work<'_>, status: &JobStatus, tally: &Tally) -> Option<Verdict> {
    told(status).or_else(|| failure(work, status, tally)).or_else(|| success(work, tally))
}

/// A verdict, once given, stands.
fn told(status: &JobStatus) -> Option<Verdict> {
    let of = |name: &str, success: bool| {
        let condition = status.conditions.iter().flatten().find(|c| c.type_ == name && c.status == "True")?;
        let reason = condition.reason.clone().unwrap_or_default();
        Some(Verdict { success, event: event(&reason), reason, message: condition.message.clone().unwrap_or_default() })
    };
    of("FailureTarget", false).or_else(|| of("SuccessCriteriaMet", true))
}

fn event(reason: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "MaxFailedIndexesExceeded", "FailedIndexes"];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or("Failed")
}

fn failure(work: &Work<'_>, status: &JobStatus, tally: &Tally) -> Option<Verdict> {
    if let Some(message) = &tally.fails_job {
        return Verdict::failure("PodFailurePolicy", message.clone());
    }
    let limit = work.spec.backoff_limit.unwrap_or(6);
    if tally.total_failed() > limit || restarted_too_often(work, limit) {
        return Verdict::failure("BackoffLimitExceeded", "The job has failed more often than its backoff limit allows");
    }
    if let (Some(deadline), Some(started)) = (work.spec.active_deadline_seconds, &status.start_time)
        && started.0.as_second() + deadline <= work.now.as_second()
    {
        return Verdict::failure("DeadlineExceeded", "The job was active for longer than its deadline allows");
    }
    let failed = tally.failed_indexes.len() as i32;
    if work.spec.max_failed_indexes.is_some_and(|most| failed > most) {
        return Verdict::failure("MaxFailedIndexesExceeded", "More indexes have failed than the job allows");
    }
    None
}

/// Containers that are restarted in place count as failures too.
fn restarted_too_often(work: &Work<'_>, limit: i32) -> bool {
    let policy = work.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let restarts: i32 = work.active().map(|pod| pod.restarts).sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn success(work: &Work<'_>, tally: &Tally) -> Option<Verdict> {
    if work.is_indexed() {
        if let Some(rule) = fulfilled_rule(work, tally) {
            return Verdict::success("SuccessPolicy", &format!("The rule at index {rule} of the success policy is fulfilled"));
        }
        let completed = tally.completed.len() as i32;
        if completed < work.completions() && completed + tally.failed_indexes.len() as i32 >= work.completions() {
            return Verdict::failure("FailedIndexes", "The job has failed indexes");
        }
    }
    let reached = match work.spec.completions {
        Some(completions) => tally.total_succeeded() >= completions,
        // Without a number one success is enough, when all pods have ended.
        None => tally.total_succeeded() > 0 && work.active().next().is_none(),
    };
    if reached { Verdict::success("CompletionsReached", "As many pods have succeeded as the job asks for") } else { None }
}

fn fulfilled_rule(work: &Work<'_>, tally: &Tally) -> Option<usize> {
    let rules = &work.spec.success_policy.as_ref()?.rules;
    rules.iter().position(|rule| {
        let among = rule.succeeded_indexes.as_deref().map(|text| work.index_set(Some(text)));
        let done = match &among {
            Some(among) => tally.completed.intersection(among).count(),
            None => tally.completed.len(),
        };
        match (rule.succeeded_count, &among) {
            (Some(count), _) => done as i32 >= count,
            (None, Some(among)) => !among.is_empty() && done == among.len(),
            (None, None) => false,
        }
    })
}
