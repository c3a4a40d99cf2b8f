//! Whether and when a container that ended is started again.

use jiff::{SignedDuration, Timestamp};

use crate::pod::{Container, Kind, Pod, RestartPolicy};
use crate::runtime::Exit;

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// A container that ran so long has recovered: its next crash counts as the first.
const RECOVERED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Whether a container that ended with `code` is to be started again. A container's own rules come first, then
/// its own policy, then the pod's.
pub fn wanted(pod: &Pod, container: &Container, code: i32) -> bool {
    if container.kind == Kind::Sidecar {
        return true;
    }
    if container.restart_rules.iter().any(|rule| rule.applies(code)) {
        return true;
    }
    match (container.restart_policy.unwrap_or(pod.restart_policy), container.kind) {
        (RestartPolicy::Never, _) => false,
        (RestartPolicy::Always, Kind::Main) => true,
        (RestartPolicy::Always | RestartPolicy::OnFailure, _) => code != 0,
    }
}

/// Waiting times that double from 10 s to 5 min.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    /// How often it was waited for, or (after crashes) started again.
    steps: u32,
}

impl Backoff {
    /// Starts afresh after a run that was long enough.
    pub(super) fn note_run(&mut self, exit: &Exit) {
        if exit.at.duration_since(exit.since) >= RECOVERED_AFTER {
            self.steps = 0;
        }
    }

    /// When to try again after a failure.
    pub(super) fn due_after(&self, failed_at: Timestamp) -> Timestamp {
        failed_at.saturating_add(self.delay()).unwrap_or(Timestamp::MAX)
    }

    /// When to start again after a crash: at once after the first.
    pub(super) fn due_after_crash(&self, crashed_at: Timestamp) -> Timestamp {
        match self.steps.checked_sub(1) {
            None => crashed_at,
            Some(steps) => Self { steps }.due_after(crashed_at),
        }
    }

    pub(super) fn advance(&mut self) {
        self.steps = self.steps.saturating_add(1);
    }

    /// The present waiting time.
    pub(super) fn delay(&self) -> SignedDuration {
        FIRST.saturating_mul(1 << self.steps.min(5)).min(LONGEST)
    }

    /// The waiting time after a crash.
    pub(super) fn crash_delay(&self) -> SignedDuration {
        Self { steps: self.steps.saturating_sub(1) }.delay()
    }

    /// After so many restarts, as far as is known.
    pub(super) fn after(restarts: u32) -> Self {
        Self { steps: restarts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_crash_restarts_at_once_and_later_ones_wait_longer_and_longer() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(backoff.due_after_crash(Timestamp::UNIX_EPOCH).as_second());
            backoff.advance();
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        let exit =
            Exit { since: Timestamp::UNIX_EPOCH, at: Timestamp::from_second(600).unwrap_or_default(), code: 1, reason: "Error".into() };
        backoff.note_run(&exit);
        assert_eq!(backoff.due_after_crash(exit.at), exit.at);
    }
}
