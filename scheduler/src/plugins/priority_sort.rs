//! PrioritySort: pods of higher priority first; among equals, whoever came first.

use std::cmp::Reverse;

use crate::framework::{Plugin, QueueSort};
use crate::pod::Pod;

#[derive(Clone, Copy, Debug, Default)]
pub struct PrioritySort;

impl Plugin for PrioritySort {
    const NAME: &'static str = "PrioritySort";
}

impl QueueSort for PrioritySort {
    type Key = (Reverse<i32>, u64);

    fn key(&self, pod: &Pod, arrival: u64) -> Self::Key {
        (Reverse(pod.shape.priority), arrival)
    }
}
