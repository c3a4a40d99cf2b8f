//! What pods read of secrets: nothing in mirror pods, and in the pods of accounts that ask for it only those secrets that the
//! account lists.

use api::core::pod::secret_names;
use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, PodSpec, ServiceAccount};

/// On accounts that hold their pods to their own secrets.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Whether the pod reads any secret at all.
pub(super) fn reads_secrets(spec: &PodSpec) -> bool {
    !secret_names(spec).is_empty()
}

fn is_enforced(account: &ServiceAccount) -> bool {
    let value = account.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ENFORCE));
    matches!(value.map(String::as_str), Some("1" | "t" | "T" | "true" | "True" | "TRUE"))
}

fn has(account: &ServiceAccount, secret: &str) -> bool {
    account.secrets.iter().flatten().any(|reference| reference.name.as_deref() == Some(secret))
}

/// The first secret of a new pod that its account does not list, in words.
pub(super) fn first_foreign(account: &ServiceAccount, spec: &PodSpec) -> Result<(), String> {
    if !is_enforced(account) {
        return Ok(());
    }
    for name in spec.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref()) {
        if !has(account, name) {
            return Err(format!("a volume reads the secret {name:?}, which the service account does not list"));
        }
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        first_foreign_variable(account, &container.name, container.env.as_deref(), container.env_from.as_deref())?;
    }
    for secret in spec.image_pull_secrets.iter().flatten() {
        if !account.image_pull_secrets.iter().flatten().any(|known| known.name == secret.name) {
            return Err(format!("imagePullSecrets has {:?}, which the service account does not list", secret.name));
        }
    }
    Ok(())
}

/// As [`first_foreign`], of the ephemeral containers that a pod is given.
pub(super) fn first_foreign_of_debuggers(account: &ServiceAccount, spec: &PodSpec) -> Result<(), String> {
    if is_enforced(account) {
        for container in spec.ephemeral_containers.iter().flatten() {
            first_foreign_variable(account, &container.name, container.env.as_deref(), container.env_from.as_deref())?;
        }
    }
    Ok(())
}

fn first_foreign_variable(
    account: &ServiceAccount,
    container: &str,
    env: Option<&[EnvVar]>,
    env_from: Option<&[EnvFromSource]>,
) -> Result<(), String> {
    let single = env.unwrap_or_default().iter().filter_map(|variable| Some(&variable.value_from.as_ref()?.secret_key_ref.as_ref()?.name));
    let whole = env_from.unwrap_or_default().iter().filter_map(|source| Some(&source.secret_ref.as_ref()?.name));
    match single.chain(whole).find(|name| !has(account, name)) {
        Some(name) => Err(format!("container {container:?} reads the secret {name:?}, which the service account does not list")),
        None => Ok(()),
    }
}
