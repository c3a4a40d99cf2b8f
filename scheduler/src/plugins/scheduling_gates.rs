//! SchedulingGates: a pod with gates is not tried until all of them are removed.

use crate::framework::{Plugin, PreEnqueue, Rejection};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    const NAME: &'static str = "SchedulingGates";
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &Pod) -> Result<(), Rejection> {
        let gates = &pod.shape.gates;
        if gates.is_empty() { Ok(()) } else { Err(Rejection::fixed(format!("waiting for scheduling gates: [{}]", gates.join(" ")))) }
    }
}
