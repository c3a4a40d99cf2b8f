//! [`Subject`]: a pod, or the template of pods, as the checks look at it.

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ContainerPort, Lifecycle, PodSecurityContext, PodSpec, PodTemplate, PodTemplateSpec, Probe, ReplicationController, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(super) const POD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";

pub(super) struct Subject<'a> {
    pub(super) meta: &'a ObjectMeta,
    pub(super) spec: &'a PodSpec,
}

/// A container of any sort.
pub(super) struct Each<'a> {
    pub(super) name: &'a str,
    pub(super) security: Option<&'a SecurityContext>,
    pub(super) ports: &'a [ContainerPort],
    pub(super) probes: [Option<&'a Probe>; 3],
    pub(super) lifecycle: Option<&'a Lifecycle>,
}

impl<'a> Subject<'a> {
    pub(super) fn security(&self) -> Option<&'a PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    /// All containers: initial, lasting and ephemeral ones.
    pub(super) fn containers(&self) -> impl Iterator<Item = Each<'a>> {
        let spec = self.spec;
        let plain = spec.init_containers.iter().flatten().chain(&spec.containers).map(|c| Each {
            name: &c.name,
            security: c.security_context.as_ref(),
            ports: c.ports.as_deref().unwrap_or_default(),
            probes: [c.liveness_probe.as_ref(), c.readiness_probe.as_ref(), c.startup_probe.as_ref()],
            lifecycle: c.lifecycle.as_ref(),
        });
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| Each {
            name: &c.name,
            security: c.security_context.as_ref(),
            ports: c.ports.as_deref().unwrap_or_default(),
            probes: [c.liveness_probe.as_ref(), c.readiness_probe.as_ref(), c.startup_probe.as_ref()],
            lifecycle: c.lifecycle.as_ref(),
        });
        plain.chain(ephemeral)
    }

    /// The containers for which something holds, as a list of their names; None if there are none.
    pub(super) fn those(&self, test: impl Fn(&Each<'a>) -> bool) -> Option<String> {
        named(self.containers().filter(|each| test(each)).map(|each| each.name).collect())
    }

    pub(super) fn is_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Whether the pod's users are not the node's.
    pub(super) fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.meta.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// `container "a"` or `containers "a", "b"`.
fn named(names: Vec<&str>) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    match quoted.len() {
        0 => None,
        1 => Some(format!("container {}", quoted[0])),
        _ => Some(format!("containers {}", quoted.join(", "))),
    }
}

/// The pods that an object makes.
pub(super) fn template(object: &dyn Object) -> Option<(&ObjectMeta, &PodSpec)> {
    let template: &PodTemplateSpec = if let Some(one) = downcast_ref::<Deployment>(object) {
        &one.spec.as_ref()?.template
    } else if let Some(one) = downcast_ref::<ReplicaSet>(object) {
        one.spec.as_ref()?.template.as_ref()?
    } else if let Some(one) = downcast_ref::<StatefulSet>(object) {
        &one.spec.as_ref()?.template
    } else if let Some(one) = downcast_ref::<DaemonSet>(object) {
        &one.spec.as_ref()?.template
    } else if let Some(one) = downcast_ref::<Job>(object) {
        &one.spec.as_ref()?.template
    } else if let Some(one) = downcast_ref::<CronJob>(object) {
        &one.spec.job_template.spec.as_ref()?.template
    } else if let Some(one) = downcast_ref::<ReplicationController>(object) {
        one.spec.as_ref()?.template.as_ref()?
    } else {
        downcast_ref::<PodTemplate>(object)?.template.as_ref()?
    };
    static NO_METADATA: std::sync::LazyLock<ObjectMeta> = std::sync::LazyLock::new(ObjectMeta::default);
    Some((template.metadata.as_ref().unwrap_or(&NO_METADATA), template.spec.as_ref()?))
}
