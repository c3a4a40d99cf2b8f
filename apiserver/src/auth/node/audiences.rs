//! For whom a node may ask tokens of a pod: for those that the pod's volumes name, by a projected token or by a CSI
//! driver that wants tokens, and for those that a role lets it ask for.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::CSIDriver;
use machinery::Status;

use crate::admission::{Request, World};
use crate::auth::Attributes;
use crate::auth::authorize::{Authorizer as _, ResourceAccess};

/// The driver that has taken over a kind of volume which Kubernetes once mounted itself. Pods and persistent volumes name such
/// kinds alike.
macro_rules! migrated {
    ($volume:expr) => {{
        let volume = $volume;
        let drivers = [
            (volume.aws_elastic_block_store.is_some(), "ebs.csi.aws.com"),
            (volume.azure_disk.is_some(), "disk.csi.azure.com"),
            (volume.azure_file.is_some(), "file.csi.azure.com"),
            (volume.cinder.is_some(), "cinder.csi.openstack.org"),
            (volume.gce_persistent_disk.is_some(), "pd.csi.storage.gke.io"),
            (volume.portworx_volume.is_some(), "pxd.portworx.com"),
            (volume.vsphere_volume.is_some(), "csi.vsphere.vmware.com"),
        ];
        drivers.into_iter().find(|(is_there, _)| *is_there).map(|(_, driver)| driver.to_owned())
    }};
}

/// Whether the node that calls may ask for a token of a pod for these audiences; none: for the server itself.
pub(super) fn check(request: &Request<'_>, pod: &Pod, audiences: &[String]) -> Result<(), String> {
    let audience = match audiences {
        [] => "",
        [one] => one.as_str(),
        _ => return Err("a node may ask for one audience at a time".to_owned()),
    };
    if names(request.world, pod, audience) {
        return Ok(());
    }
    // Whoever lets nodes do so names the audience as a resource, and the accounts by name.
    let access = ResourceAccess {
        verb: "request-serviceaccounts-token-audience",
        resource: audience,
        namespace: &request.target.namespace,
        name: &request.target.name,
        ..ResourceAccess::default()
    };
    if request.access.authorize(request.user, &Attributes::Resource(access)).is_allowed() {
        return Ok(());
    }
    Err(format!("audience {audience:?} is in no volume of the pod, and {} may not request tokens for it", request.user.name))
}

/// Whether a volume of the pod wants a token for an audience.
fn names(world: &World, pod: &Pod, audience: &str) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    volumes.into_iter().flatten().any(|volume| {
        let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
        let tokens = sources.into_iter().flatten().filter_map(|source| source.service_account_token.as_ref());
        let wanted = tokens.map(|token| token.audience.as_deref().unwrap_or_default());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let driver = if let Some(csi) = &volume.csi {
            Some(csi.driver.clone())
        } else if let Some(claim) = &volume.persistent_volume_claim {
            driver_of_claim(world, namespace, &claim.claim_name)
        } else if volume.ephemeral.as_ref().is_some_and(|ephemeral| ephemeral.volume_claim_template.is_some()) {
            let claim = format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name);
            driver_of_claim(world, namespace, &claim)
        } else {
            migrated!(volume)
        };
        wanted.into_iter().any(|wanted| wanted == audience) || driver.is_some_and(|driver| driver_wants(world, &driver, audience))
    })
}

fn driver_of_claim(world: &World, namespace: &str, claim: &str) -> Option<String> {
    let claim: PersistentVolumeClaim = world.object("", "persistentvolumeclaims", namespace, claim)?;
    let volume: PersistentVolume = world.object("", "persistentvolumes", "", claim.spec?.volume_name.as_deref()?)?;
    let spec = volume.spec?;
    match &spec.csi {
        Some(csi) => Some(csi.driver.clone()),
        None => migrated!(&spec),
    }
}

fn driver_wants(world: &World, driver: &str, audience: &str) -> bool {
    let driver: Option<CSIDriver> = world.object("storage.k8s.io", "csidrivers", "", driver);
    let requests = driver.and_then(|driver| driver.spec.token_requests);
    requests.into_iter().flatten().any(|request| request.audience == audience)
}

/// The pod that a token is asked to be bound to.
///
/// # Errors
/// 404: it is not there.
pub(super) fn pod(request: &Request<'_>, name: &str) -> Result<Pod, Status> {
    let found = request.world.object("", "pods", &request.target.namespace, name);
    // As upstream's cache of pods says it.
    found.ok_or_else(|| Status::not_found(&machinery::GroupResource::new("", "pod"), name))
}
