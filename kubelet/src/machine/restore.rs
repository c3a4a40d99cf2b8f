//! What can be known of a pod that ran here before this process did: its status tells.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, PodStatus};

use super::restart::Backoff;
use super::{ContainerProgress, LastExit, Progress};
use crate::pod::{OWN_CONDITIONS, Pod};
use crate::runtime::Exit;

/// The progress that the status shows; None where the pod had not begun.
pub fn progress(pod: &Pod) -> Option<Progress> {
    let status = pod.history.as_deref()?;
    let started_at = status.start_time.as_ref()?.0;
    let containers = pod.containers.iter().map(|container| {
        find(status, &container.name).map_or_else(ContainerProgress::default, |status| {
            let restarts = u32::try_from(status.restart_count).unwrap_or_default();
            let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).and_then(last_exit);
            ContainerProgress { restarts, last, crash: Backoff::after(restarts), ..ContainerProgress::default() }
        })
    });
    let mut transitions = super::status::Transitions::default();
    for (name, transition) in OWN_CONDITIONS.iter().zip(&mut transitions) {
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == *name);
        *transition = condition.and_then(|c| Some((c.status == "True", c.last_transition_time.as_ref()?.0)));
    }
    Some(Progress {
        started_at: Some(started_at),
        admitted: true,
        containers: containers.collect(),
        addresses: status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect(),
        transitions,
        ..Progress::default()
    })
}

/// The status of a container of any kind.
pub fn find<'a>(status: &'a PodStatus, container: &str) -> Option<&'a ContainerStatus> {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.into_iter().find(|status| status.name == container)
}

fn last_exit(terminated: &ContainerStateTerminated) -> Option<LastExit> {
    Some(LastExit { id: terminated.container_id.clone().unwrap_or_default(), exit: exit(terminated)? })
}

/// How an attempt ended, from its status.
pub fn exit(terminated: &ContainerStateTerminated) -> Option<Exit> {
    Some(Exit {
        since: terminated.started_at.as_ref()?.0,
        at: terminated.finished_at.as_ref()?.0,
        code: terminated.exit_code,
        reason: terminated.reason.clone().unwrap_or_default(),
    })
}
