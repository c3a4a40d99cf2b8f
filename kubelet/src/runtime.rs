//! [`Runtime`]: what runs containers. The pod state machine looks at what a runtime [observes](Observation) and
//! answers with [actions](Action); it neither knows nor waits for how they are carried out.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::access::Access;
use crate::pod::{Pod, Uid};

/// Runs the containers of pods. Methods do not block: a runtime whose actions take time carries them out in the
/// background, and adds the pod to the agent's queue when there is something new to observe.
pub trait Runtime: Send + 'static {
    /// The cluster gave a node this range for its pods' addresses.
    fn set_pod_cidr(&mut self, node: &str, cidr: &str);

    /// Begins to do something. An action that was asked for before changes nothing.
    fn act(&mut self, pod: &Pod, action: Action, now: Timestamp);

    /// The pod as it is now.
    fn observe(&self, uid: &Uid, now: Timestamp) -> Observation;

    /// Takes over a pod that ran here before this process did. Its status tells what there was.
    fn restore(&mut self, pod: &Pod, now: Timestamp);

    /// Forgets a pod that is gone, and kills what is left of it.
    fn forget(&mut self, uid: &Uid);

    /// The way for users into its containers.
    fn access(&self) -> Arc<dyn Access>;
}

/// Containers are told apart by their place in [`Pod::containers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make what a pod's containers share, its network above all.
    CreateSandbox,
    /// Pull the image and start the container, after any earlier attempt has ended.
    Start { container: usize, attempt: u32 },
    /// Ask the container to end, and kill it after the grace.
    Stop { container: usize, grace: SignedDuration },
    /// Give back the network. All containers have ended.
    RemoveSandbox,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The pod's addresses, once it has a network.
    pub sandbox: Option<Sandbox>,
    /// One for each of [`Pod::containers`] that was ever started; shorter lists leave out the last.
    pub containers: Vec<Option<Observed>>,
    /// When this observation will change by itself, where the runtime knows that.
    pub next_change: Option<Timestamp>,
}

impl Observation {
    pub fn container(&self, container: usize) -> Option<&Observed> {
        self.containers.get(container)?.as_ref()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub addresses: Vec<String>,
}

/// One attempt at running a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// `<runtime>://<id>`; empty before the container exists.
    pub id: String,
    pub attempt: u32,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its image is being pulled, or the container made.
    Creating,
    /// The image cannot be had.
    NoImage {
        reason: &'static str,
        message: String,
        at: Timestamp,
    },
    Running {
        since: Timestamp,
        probes: Probes,
    },
    Exited(Exit),
}

/// What a container's probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes {
    pub started: bool,
    pub ready: bool,
    pub live: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub since: Timestamp,
    pub at: Timestamp,
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`…
    pub reason: String,
}
