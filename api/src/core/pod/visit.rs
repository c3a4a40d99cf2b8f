//! Containers of every sort in one walk, for what looks at all of a pod's.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, EphemeralContainer, PodSpec, ResourceRequirements, SecurityContext};
use machinery::field::Path;

/// A container of whatever sort, and where it stands in its list.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Init(usize, &'a Container),
    Regular(usize, &'a Container),
    Ephemeral(usize, &'a EphemeralContainer),
}

/// All containers of a spec, in the order in which Kubernetes visits them.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = Place<'_>> {
    let init = spec.init_containers.iter().flatten().enumerate().map(|(i, c)| Place::Init(i, c));
    let regular = spec.containers.iter().enumerate().map(|(i, c)| Place::Regular(i, c));
    let ephemeral = spec.ephemeral_containers.iter().flatten().enumerate().map(|(i, c)| Place::Ephemeral(i, c));
    init.chain(regular).chain(ephemeral)
}

impl<'a> Place<'a> {
    /// The container's path; `spec` is the spec's.
    pub(super) fn path(self, spec: &Path) -> Path {
        match self {
            Self::Init(i, _) => spec.child("initContainers").index(i),
            Self::Regular(i, _) => spec.child("containers").index(i),
            Self::Ephemeral(i, _) => spec.child("ephemeralContainers").index(i),
        }
    }

    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Init(_, c) | Self::Regular(_, c) => &c.name,
            Self::Ephemeral(_, c) => &c.name,
        }
    }

    pub(super) fn env(self) -> &'a [EnvVar] {
        match self {
            Self::Init(_, c) | Self::Regular(_, c) => c.env.as_deref(),
            Self::Ephemeral(_, c) => c.env.as_deref(),
        }
        .unwrap_or_default()
    }

    pub(super) fn ports(self) -> &'a [ContainerPort] {
        match self {
            Self::Init(_, c) | Self::Regular(_, c) => c.ports.as_deref(),
            Self::Ephemeral(_, c) => c.ports.as_deref(),
        }
        .unwrap_or_default()
    }

    pub(super) fn resources(self) -> Option<&'a ResourceRequirements> {
        match self {
            Self::Init(_, c) | Self::Regular(_, c) => c.resources.as_ref(),
            Self::Ephemeral(_, c) => c.resources.as_ref(),
        }
    }

    pub(super) fn has_devices(self) -> bool {
        match self {
            Self::Init(_, c) | Self::Regular(_, c) => c.volume_devices.as_ref(),
            Self::Ephemeral(_, c) => c.volume_devices.as_ref(),
        }
        .is_some_and(|devices| !devices.is_empty())
    }

    pub(super) fn security(self) -> Option<&'a SecurityContext> {
        match self {
            Self::Init(_, c) | Self::Regular(_, c) => c.security_context.as_ref(),
            Self::Ephemeral(_, c) => c.security_context.as_ref(),
        }
    }
}
