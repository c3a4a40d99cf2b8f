//! The objects that every cluster starts with. They are made where they are missing, at each start.

use api::strategy::UserInfo;
use machinery::Status;
use serde_json::{Value, json};

use crate::server::ApiServer;
use crate::verbs::{Body, Caller, FieldValidation, Target, WriteOptions};

/// The API server itself, as the maker of these objects.
pub(crate) fn caller() -> Caller {
    let user = UserInfo {
        name: "system:apiserver".into(),
        groups: vec!["system:authenticated".into(), "system:masters".into()],
        ..UserInfo::default()
    };
    Caller { user, agent: "kube-apiserver".into() }
}

impl ApiServer {
    /// Makes what is missing.
    pub(crate) async fn bootstrap(&self) -> Result<(), Status> {
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.ensure("", "namespaces", "", name, namespace).await?;
        }
        for (name, value, description) in SYSTEM_PRIORITIES {
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
                "description": description,
            });
            self.ensure("scheduling.k8s.io", "priorityclasses", "", name, class).await?;
        }
        Ok(())
    }

    /// Creates an object unless there is one of its name, or its resource is not served.
    async fn ensure(&self, group: &str, plural: &str, namespace: &str, name: &str, object: Value) -> Result<(), Status> {
        let Some(resource) = self.registry().find(group, "v1", plural) else { return Ok(()) };
        if self.log(resource)?.get(&crate::log::path(namespace, name)).is_some() {
            return Ok(());
        }
        let target = Target { resource, subresource: None, namespace: namespace.into(), name: String::new() };
        let options = WriteOptions { field_validation: FieldValidation::Strict, ..WriteOptions::default() };
        match self.create(&caller(), &target, Body::Json(object.to_string().into()), &options).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(()),
        }
    }
}

/// The priorities that the system keeps for itself.
const SYSTEM_PRIORITIES: [(&str, i32, &str); 2] = [
    ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
