//! When a CronJob was last due, and when it will be next.

use api::batch::schedule::Schedule;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

/// More missed runs than this look like a clock that went wrong.
const MOST_MISSED: usize = 100;

pub(super) struct Timing {
    /// The latest point that has come, if it has not been dealt with.
    pub due: Option<Timestamp>,
    pub next: Option<Timestamp>,
    /// So many points have passed that somebody should look at it.
    pub too_many_missed: bool,
}

pub(super) fn timing(cron: &CronJob, schedule: &Schedule, zone: &TimeZone, now: Timestamp) -> Timing {
    let next = schedule.next_after(now, zone);
    let since = since(cron, now);
    let (due, too_many_missed) = match since {
        Some(since) => latest(schedule, zone, since, now),
        None => (None, false),
    };
    Timing { due, next, too_many_missed }
}

/// Points after this one have not been dealt with. Those that are past their deadline are not looked at.
fn since(cron: &CronJob, now: Timestamp) -> Option<Timestamp> {
    let last = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let known = last.or(cron.metadata.creation_timestamp.as_ref())?.0;
    let deadline = deadline(cron).and_then(|seconds| now.checked_sub(seconds).ok());
    Some(deadline.map_or(known, |deadline| deadline.max(known)))
}

pub(super) fn deadline(cron: &CronJob) -> Option<SignedDuration> {
    cron.spec.starting_deadline_seconds.map(SignedDuration::from_secs)
}

/// The latest point in `(since, now]`. Where there are many, all but the last stretch is jumped over: two points give the
/// usual distance between points.
fn latest(schedule: &Schedule, zone: &TimeZone, since: Timestamp, now: Timestamp) -> (Option<Timestamp>, bool) {
    let Some(first) = schedule.next_after(since, zone).filter(|first| *first <= now) else { return (None, false) };
    let Some(second) = schedule.next_after(first, zone).filter(|second| *second <= now) else { return (Some(first), false) };
    let distance = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / distance;
    let too_many = usize::try_from(missed).is_ok_and(|missed| missed > MOST_MISSED);
    let mut latest = second;
    if too_many {
        // Distances vary; a stretch of some of them before now holds a point surely, or else the walk begins at the second.
        let near = now.checked_sub(SignedDuration::from_secs(distance.saturating_mul(3))).ok();
        let near = near.and_then(|near| schedule.next_after(near, zone)).filter(|near| *near <= now);
        latest = near.unwrap_or(second);
    }
    while let Some(following) = schedule.next_after(latest, zone).filter(|following| *following <= now) {
        latest = following;
    }
    (Some(latest), too_many)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn due(schedule: &str, deadline: Option<i64>, created: &str, now: &str) -> (Option<String>, bool) {
        let cron: CronJob = serde_json::from_value(json!({
            "metadata": {"creationTimestamp": created},
            "spec": {"schedule": schedule, "startingDeadlineSeconds": deadline, "jobTemplate": {}},
        }))
        .unwrap();
        let found = timing(&cron, &Schedule::parse(schedule).unwrap(), &TimeZone::UTC, now.parse().unwrap());
        (found.due.map(|at| at.to_string()), found.too_many_missed)
    }

    #[test]
    fn the_latest_point_counts() {
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(due("0 * * * *", None, "2024-03-01T08:30:00Z", "2024-03-01T08:59:59Z"), (None, false));
        assert_eq!(due("0 * * * *", None, "2024-03-01T08:30:00Z", "2024-03-01T09:00:00Z"), (at("2024-03-01T09:00:00Z"), false));
        assert_eq!(due("0 * * * *", None, "2024-03-01T08:30:00Z", "2024-03-01T12:10:00Z"), (at("2024-03-01T12:00:00Z"), false));
        assert_eq!(due("0 * * * *", Some(60), "2024-03-01T08:30:00Z", "2024-03-01T12:10:00Z"), (None, false));
        assert_eq!(due("* * * * *", None, "2024-02-01T08:30:00Z", "2024-03-01T12:10:30Z"), (at("2024-03-01T12:10:00Z"), true));
        // The distances between points differ widely.
        assert_eq!(due("0,1 0 1 1 *", None, "2020-06-01T00:00:00Z", "2024-03-01T00:00:00Z"), (at("2024-01-01T00:01:00Z"), true));
    }
}
