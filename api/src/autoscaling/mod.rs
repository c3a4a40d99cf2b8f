//! Kinds of the group `autoscaling`. A HorizontalPodAutoscaler is stored as `v2`; `v1` is a narrower view of it.

mod annotations;
pub mod horizontal_pod_autoscaler;
pub mod horizontal_pod_autoscaler_v1;
mod metrics;
