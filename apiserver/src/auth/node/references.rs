//! What a pod, or a volume, refers to. Whatever the field, a reference to a secret looks the same, so that they are
//! found by their form and a new kind of volume needs no line here.

use serde_json::Value;

/// What is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
    ResourceClaim,
}

/// Calls `each` with what a pod refers to in its namespace, until it says yes.
pub(super) fn each_in_pod(pod: &Value, mut each: impl FnMut(Kind, &str) -> bool) -> bool {
    let spec = &pod["spec"];
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let ephemeral = list(&spec["volumes"]).filter(|volume| volume.get("ephemeral").is_some());
    let claims = list(&spec["resourceClaims"]).chain(list(&pod["status"]["resourceClaimStatuses"]));
    spec["serviceAccountName"].as_str().is_some_and(|account| each(Kind::ServiceAccount, account))
        || walk(spec, &mut |kind, found| found["name"].as_str().or(found.as_str()).is_some_and(|name| each(kind, name)))
        || ephemeral.filter_map(|volume| volume["name"].as_str()).any(|volume| each(Kind::Claim, &format!("{name}-{volume}")))
        || claims.filter_map(|claim| claim["resourceClaimName"].as_str()).any(|claim| each(Kind::ResourceClaim, claim))
}

/// Calls `each` with namespace and name of the secrets that a persistent volume refers to, until it says yes.
/// `namespace` is that of its claim, where old kinds of volumes look.
pub(super) fn each_secret_in_volume(volume: &Value, namespace: &str, mut each: impl FnMut(&str, &str) -> bool) -> bool {
    let azure = &volume["spec"]["azureFile"];
    let azure_namespace = azure["secretNamespace"].as_str().unwrap_or(namespace);
    azure["secretName"].as_str().is_some_and(|name| each(azure_namespace, name))
        || walk(&volume["spec"], &mut |kind, found| {
            let (own, name) = (found["namespace"].as_str().unwrap_or(namespace), found["name"].as_str());
            kind == Kind::Secret && name.is_some_and(|name| each(own, name))
        })
}

/// Calls `each` with the references below a value, until it says yes.
fn walk(value: &Value, each: &mut dyn FnMut(Kind, &Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| walk(item, each)),
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let found = match kind_of(key) {
                Some(kind) if key == "imagePullSecrets" => list(value).any(|item| each(kind, item)),
                Some(kind) => each(kind, value),
                None => false,
            };
            found || walk(value, each)
        }),
        _ => false,
    }
}

fn kind_of(key: &str) -> Option<Kind> {
    match key {
        "secretRef" | "secretKeyRef" | "secretName" | "secret" | "imagePullSecrets" => Some(Kind::Secret),
        "configMapRef" | "configMapKeyRef" | "configMap" => Some(Kind::ConfigMap),
        "claimName" => Some(Kind::Claim),
        // What a volume's controllers need is not for the nodes.
        _ if key.ends_with("SecretRef") && !key.starts_with("controller") => Some(Kind::Secret),
        _ => None,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_way_to_refer_is_found() {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"secretName": "no"}},
            "spec": {
                "serviceAccountName": "robot",
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{
                    "env": [{"valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}, {"valueFrom": {"configMapKeyRef": {"name": "env"}}}],
                    "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "all"}}],
                }],
                "volumes": [
                    {"name": "a", "secret": {"secretName": "mounted"}},
                    {"name": "b", "configMap": {"name": "mounted"}},
                    {"name": "c", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "projected"}}]}},
                    {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
                    {"name": "e", "ephemeral": {}},
                    {"name": "f", "csi": {"nodePublishSecretRef": {"name": "csi"}}},
                ],
                "resourceClaims": [{"name": "x", "resourceClaimName": "gpu"}],
            },
        });
        let mut found = Vec::new();
        each_in_pod(&pod, |kind, name| {
            found.push(format!("{kind:?} {name}"));
            false
        });
        found.sort();
        let expected = [
            "Claim claim",
            "Claim p-e",
            "ConfigMap all",
            "ConfigMap env",
            "ConfigMap mounted",
            "ConfigMap projected",
            "ResourceClaim gpu",
            "Secret all",
            "Secret csi",
            "Secret env",
            "Secret mounted",
            "Secret projected",
            "Secret pull",
            "ServiceAccount robot",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn volumes_refer_to_secrets_in_any_namespace() {
        let volume = json!({"spec": {"csi": {"nodeStageSecretRef": {"name": "s", "namespace": "drivers"}}}});
        assert!(each_secret_in_volume(&volume, "a", |namespace, name| (namespace, name) == ("drivers", "s")));
        let controllers = json!({"spec": {"csi": {"controllerPublishSecretRef": {"name": "s", "namespace": "drivers"}}}});
        assert!(!each_secret_in_volume(&controllers, "a", |_, _| true), "what controllers need is not for nodes");
        let azure = json!({"spec": {"azureFile": {"secretName": "s"}}});
        assert!(each_secret_in_volume(&azure, "a", |namespace, name| (namespace, name) == ("a", "s")));
    }
}
