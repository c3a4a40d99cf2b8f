//! ServiceAccount: every pod runs as a service account, which has to exist, and finds its token, the cluster's root
//! certificate and its namespace mounted.

use api::Object;
use api::object::{downcast_mut, downcast_ref};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, ObjectFieldSelector, Pod, PodSpec, ProjectedVolumeSource,
    ServiceAccount as Account, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use machinery::Status;
use machinery::objectmeta::generate_name;

use super::{Operation, Plugin, Request, secret_references};

const DEFAULT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour, and a little for the way, by which kubelets know tokens that they may extend.
const TOKEN_SECONDS: i64 = 3607;
/// 0644: readable by all, writable by the owner.
const MODE: i32 = 420;

pub(super) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is("", "pods", None) {
            return Ok(());
        }
        let Some(Pod { metadata, spec: Some(spec), .. }) = downcast_mut::<Pod>(object) else { return Ok(()) };
        let is_mirror = metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR));
        let outcome = if is_mirror { check_mirror(spec) } else { attach(request, spec) };
        outcome
            .map_err(|why| Status::forbidden(&request.target.resource.group_resource(), metadata.name.as_deref().unwrap_or_default(), why))
    }

    fn validate(&self, request: &Request<'_>, object: Option<&dyn Object>, _warnings: &mut Vec<String>) -> Result<(), Status> {
        if request.operation != Operation::Update || !request.is("", "pods", Some("ephemeralcontainers")) {
            return Ok(());
        }
        let Some(spec) = object.and_then(downcast_ref::<Pod>).and_then(|pod| pod.spec.as_ref()) else { return Ok(()) };
        let (namespace, name) = (request.target.namespace.as_str(), spec.service_account_name.as_deref().unwrap_or_default());
        let Some(account) = request.world.object::<Account>("", "serviceaccounts", namespace, name) else { return Ok(()) };
        // Kubernetes gives this error no class.
        secret_references::first_foreign_of_debuggers(&account, spec).map_err(Status::unclassified)
    }

    fn awaits(&self, request: &Request<'_>, object: &dyn Object) -> Option<super::Awaited> {
        // A new namespace gets its default account a moment later, from a controller.
        let spec = downcast_ref::<Pod>(object)?.spec.as_ref()?;
        let wants_default = matches!(spec.service_account_name.as_deref(), None | Some("" | DEFAULT));
        let namespace = request.target.namespace.clone();
        wants_default.then(|| super::Awaited { group: "", plural: "serviceaccounts", namespace, name: DEFAULT.into() })
    }
}

/// A mirror pod shows what a kubelet runs by itself; it can use nothing that the API would have to give it.
fn check_mirror(spec: &PodSpec) -> Result<(), String> {
    if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Err("a mirror pod may not reference service accounts".into());
    }
    if secret_references::reads_secrets(spec) {
        return Err("a mirror pod may not reference secrets".into());
    }
    let mut sources = spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref()).flat_map(|p| p.sources.iter().flatten());
    if sources.any(|source| source.service_account_token.is_some()) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections".into());
    }
    Ok(())
}

fn attach(request: &Request<'_>, spec: &mut PodSpec) -> Result<(), String> {
    let name = spec.service_account_name.get_or_insert_default();
    if name.is_empty() {
        DEFAULT.clone_into(name);
    }
    let namespace = request.target.namespace.as_str();
    let account = request.world.object::<Account>("", "serviceaccounts", namespace, name);
    let account =
        account.ok_or_else(|| format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"))?;
    if spec.automount_service_account_token.or(account.automount_service_account_token) != Some(false) {
        mount_token(spec);
    }
    if spec.image_pull_secrets.as_ref().is_none_or(|secrets| secrets.is_empty()) {
        spec.image_pull_secrets = account.image_pull_secrets.clone().filter(|secrets| !secrets.is_empty());
    }
    secret_references::first_foreign(&account, spec)
}

fn mount_token(spec: &mut PodSpec) {
    let present = spec.volumes.iter().flatten().find(|volume| volume.name.starts_with(VOLUME_PREFIX)).map(|volume| volume.name.clone());
    let name = present.clone().unwrap_or_else(|| generate_name(VOLUME_PREFIX, &mut rand::rng()));
    let mut needed = false;
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let mounts = container.volume_mounts.get_or_insert_default();
        if !mounts.iter().any(|mount| mount.mount_path == MOUNT_PATH) {
            mounts.push(VolumeMount { name: name.clone(), read_only: Some(true), mount_path: MOUNT_PATH.into(), ..VolumeMount::default() });
            needed = true;
        }
    }
    if needed && present.is_none() {
        spec.volumes.get_or_insert_default().push(token_volume(name));
    }
}

fn token_volume(name: String) -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            path: "token".into(),
            expiration_seconds: Some(TOKEN_SECONDS),
            audience: None,
        }),
        ..VolumeProjection::default()
    };
    let certificate = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".into(),
            items: Some(vec![KeyToPath { key: "ca.crt".into(), path: "ca.crt".into(), mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "namespace".into(),
                field_ref: Some(ObjectFieldSelector { api_version: Some("v1".into()), field_path: "metadata.namespace".into() }),
                ..DownwardAPIVolumeFile::default()
            }]),
        }),
        ..VolumeProjection::default()
    };
    let sources = vec![token, certificate, namespace];
    Volume { name, projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: Some(MODE) }), ..Volume::default() }
}
