//! The life of a pod as a state machine. [`step`] is a function from a pod, what its runtime observes, what is
//! remembered of it and the time, to actions for the runtime and the time of the next look. It does no I/O and
//! reads no clock. [`status`](status::status) says what users see.

pub mod admission;
pub mod restart;
pub mod restore;
pub mod status;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use crate::pod::{Kind, Pod};
use crate::runtime::{Action, Exit, Observation, State};
use admission::Rejection;
use restart::Backoff;

/// How long `ErrImagePull` is shown before the back-off is.
const PULL_ERROR_SHOWN: SignedDuration = SignedDuration::from_secs(2);

/// What is remembered of a pod from step to step.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the kubelet first saw the pod.
    pub started_at: Option<Timestamp>,
    pub admitted: bool,
    pub rejection: Option<Rejection>,
    /// Why the pod's containers are being stopped, or have been.
    pub ending: Option<Ending>,
    /// All containers have ended for good; the status says how.
    pub over: bool,
    pub containers: Vec<ContainerProgress>,
    /// The last addresses, which outlive the sandbox in the status.
    pub addresses: Vec<String>,
    pub transitions: status::Transitions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Deleted,
    DeadlineExceeded,
    /// Its containers ended and are not to be restarted.
    Completed,
    /// Somebody else declared it ended.
    Declared,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerProgress {
    pub restarts: u32,
    /// The attempt before the present one.
    pub last: Option<LastExit>,
    crash: Backoff,
    pull: Backoff,
    /// The end of the grace after which the runtime was asked to kill the container.
    stop_by: Option<Timestamp>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastExit {
    pub id: String,
    pub exit: Exit,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    pub actions: Vec<Action>,
    /// When to look again though nothing else happens.
    pub wake: Option<Timestamp>,
    /// The pod was deleted, and nothing of it runs any more: its object can go.
    pub gone: bool,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It will run, or run again.
    Waiting,
    Running {
        started: bool,
    },
    /// It ended and will not be restarted.
    Done {
        success: bool,
    },
}

/// What a pod does next.
pub fn step(pod: &Pod, seen: &Observation, progress: &mut Progress, now: Timestamp) -> Step {
    progress.containers.reserve_exact(pod.containers.len().saturating_sub(progress.containers.len()));
    progress.containers.resize_with(pod.containers.len(), ContainerProgress::default);
    if let Some(sandbox) = &seen.sandbox {
        progress.addresses.clone_from(&sandbox.addresses);
    }
    let mut machine = Machine { pod, seen, progress, now, step: Step { wake: seen.next_change, ..Step::default() } };
    machine.run();
    machine.step
}

struct Machine<'a> {
    pod: &'a Pod,
    seen: &'a Observation,
    progress: &'a mut Progress,
    now: Timestamp,
    step: Step,
}

impl Machine<'_> {
    fn run(&mut self) {
        if self.pod.deletion.is_some() {
            self.progress.ending.get_or_insert(Ending::Deleted);
        } else if self.pod.is_terminal() && self.progress.ending.is_none() {
            self.progress.ending = Some(Ending::Declared);
        }
        if self.progress.ending.is_none() && self.deadline_has_passed() {
            self.progress.ending = Some(Ending::DeadlineExceeded);
        }
        if self.progress.rejection.is_some() || self.progress.ending.is_some() {
            return self.end();
        }
        if self.seen.sandbox.is_none() {
            self.step.actions.push(Action::CreateSandbox);
            return;
        }
        if self.drive() {
            self.progress.ending = Some(Ending::Completed);
            self.end();
        }
    }

    fn deadline_has_passed(&mut self) -> bool {
        let (Some(seconds), Some(start)) = (self.pod.active_deadline_seconds, self.progress.started_at) else { return false };
        let deadline = start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        if deadline > self.now {
            self.wake_at(deadline);
        }
        deadline <= self.now
    }

    /// Starts and restarts what should run. Returns whether the pod has run to its end.
    fn drive(&mut self) -> bool {
        for container in (0..self.pod.containers.len()).filter(|c| self.pod.containers[*c].kind != Kind::Main) {
            match (self.drive_container(container), self.pod.containers[container].kind) {
                (Stage::Done { success: true }, _) | (Stage::Running { started: true }, Kind::Sidecar) => {}
                (Stage::Done { success: false }, Kind::Init) => return true,
                // A sidecar that crashed while the pod runs holds up nobody.
                (_, Kind::Sidecar) if self.mains_have_started() => {}
                // The next ones have their turn after this one.
                _ => return false,
            }
        }
        let mut all_done = true;
        for container in (0..self.pod.containers.len()).filter(|c| self.pod.containers[*c].kind == Kind::Main) {
            all_done &= matches!(self.drive_container(container), Stage::Done { .. });
        }
        all_done
    }

    fn drive_container(&mut self, container: usize) -> Stage {
        let Some(observed) = self.seen.container(container) else {
            // An init container that ended in an earlier life of the process is not run again.
            if self.init_is_over(container) {
                return Stage::Done { success: true };
            }
            let attempt = self.progress.containers[container].restarts;
            self.step.actions.push(Action::Start { container, attempt });
            return Stage::Waiting;
        };
        match &observed.state {
            State::Creating => Stage::Waiting,
            State::NoImage { at, .. } => {
                self.pull_again(container, observed.attempt, *at);
                Stage::Waiting
            }
            State::Running { probes, .. } => {
                if !probes.live {
                    self.stop(container, SignedDuration::from_secs(30));
                }
                Stage::Running { started: probes.started }
            }
            State::Exited(exit) => self.after_exit(container, &observed.id, exit),
        }
    }

    /// Whether a later container has started already, so that this init container must have succeeded.
    fn init_is_over(&self, container: usize) -> bool {
        let is_init = self.pod.containers[container].kind == Kind::Init;
        is_init && (container + 1..self.pod.containers.len()).any(|later| self.seen.container(later).is_some())
    }

    fn mains_have_started(&self) -> bool {
        let mut containers = self.pod.containers.iter().enumerate();
        containers.any(|(index, container)| container.kind == Kind::Main && self.seen.container(index).is_some())
    }

    fn pull_again(&mut self, container: usize, attempt: u32, failed_at: Timestamp) {
        let shown_until = failed_at.saturating_add(PULL_ERROR_SHOWN).unwrap_or(Timestamp::MAX);
        if shown_until > self.now {
            self.wake_at(shown_until);
        }
        let due = self.progress.containers[container].pull.due_after(failed_at);
        if due > self.now {
            return self.wake_at(due);
        }
        self.progress.containers[container].pull.advance();
        self.step.actions.push(Action::Start { container, attempt });
    }

    fn after_exit(&mut self, container: usize, id: &str, exit: &Exit) -> Stage {
        if !restart::wanted(self.pod, &self.pod.containers[container], exit.code) {
            return Stage::Done { success: exit.code == 0 };
        }
        let progress = &mut self.progress.containers[container];
        progress.crash.note_run(exit);
        let due = progress.crash.due_after_crash(exit.at);
        if due > self.now {
            self.wake_at(due);
            return Stage::Waiting;
        }
        progress.crash.advance();
        progress.restarts += 1;
        progress.last = Some(LastExit { id: id.to_owned(), exit: exit.clone() });
        progress.stop_by = None;
        let attempt = progress.restarts;
        self.step.actions.push(Action::Start { container, attempt });
        Stage::Waiting
    }

    /// Stops what runs: the containers first, then the sidecars, the last one first.
    fn end(&mut self) {
        let running: Vec<usize> = (0..self.pod.containers.len()).filter(|c| self.is_up(*c)).collect();
        let kind = |container: &usize| self.pod.containers[*container].kind;
        let (sidecars, others): (Vec<usize>, Vec<usize>) = running.into_iter().partition(|c| kind(c) == Kind::Sidecar);
        let to_stop = if others.is_empty() { sidecars.last().copied().into_iter().collect() } else { others };
        if to_stop.is_empty() {
            self.progress.over = true;
            if self.seen.sandbox.is_some() {
                self.step.actions.push(Action::RemoveSandbox);
            } else {
                self.step.gone = self.pod.deletion.is_some();
            }
            return;
        }
        let grace = self.grace();
        for container in to_stop {
            self.stop(container, grace);
        }
    }

    fn is_up(&self, container: usize) -> bool {
        let state = self.seen.container(container).map(|observed| &observed.state);
        matches!(state, Some(State::Creating | State::Running { .. }))
    }

    fn grace(&self) -> SignedDuration {
        match self.pod.deletion {
            Some(deletion) => deletion.deadline.duration_since(self.now).max(SignedDuration::ZERO),
            None => SignedDuration::from_secs(self.pod.grace_seconds()),
        }
    }

    fn stop(&mut self, container: usize, grace: SignedDuration) {
        let by = self.now.saturating_add(grace).unwrap_or(Timestamp::MAX);
        let progress = &mut self.progress.containers[container];
        // Asked before, and with no longer grace: a second deletion can only shorten it.
        if progress.stop_by.is_some_and(|asked| asked <= by) {
            return;
        }
        progress.stop_by = Some(by);
        self.step.actions.push(Action::Stop { container, grace });
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.step.wake = Some(self.step.wake.map_or(at, |wake| wake.min(at)));
    }
}
