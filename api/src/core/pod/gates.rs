//! Fields of pods whose feature gates are closed by default in Kubernetes 1.36: they are dropped from what writers send.

use k8s_openapi::api::core::v1::{Container, Lifecycle, PodSpec, PodTemplateSpec};

/// The same in a template of pods.
pub fn drop_gated_in_template(template: &mut PodTemplateSpec) {
    template.spec.iter_mut().for_each(drop_gated_fields);
}

pub fn drop_gated_fields(spec: &mut PodSpec) {
    spec.scheduling_group = None;
    let sources = spec.volumes.iter_mut().flatten().filter_map(|v| v.projected.as_mut()).flat_map(|p| p.sources.iter_mut().flatten());
    for source in sources {
        source.cluster_trust_bundle = None;
        source.pod_certificate = None;
    }
    let containers = spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten());
    containers.for_each(|container: &mut Container| drop_stop_signal(&mut container.lifecycle));
    spec.ephemeral_containers.iter_mut().flatten().for_each(|container| drop_stop_signal(&mut container.lifecycle));
}

/// A lifecycle that said nothing else goes with the signal.
fn drop_stop_signal(lifecycle: &mut Option<Lifecycle>) {
    if let Some(inner) = lifecycle
        && inner.stop_signal.take().is_some()
        && *inner == Lifecycle::default()
    {
        *lifecycle = None;
    }
}
