//! The APIServices of custom groups: there is one for each version that a definition serves, and none that no definition does.

use std::collections::BTreeSet;

use api::apiextensions::custom_resource_definition::{condition, is_true};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use machinery::Status;
use serde_json::json;

use crate::api_services::{AUTOMANAGED, OWN_GROUP};
use crate::bootstrap::caller;
use crate::server::ApiServer;
use crate::verbs::{Body, DeleteOptions, Target, WriteOptions};

const PLURAL: &str = "apiservices";
/// What the label says on APIServices that come and go with definitions.
const BY_DEFINITION: &str = "true";
/// Custom groups come after all others, and their versions are told apart by their names.
const GROUP_PRIORITY: i32 = 1000;
const VERSION_PRIORITY: i32 = 100;

impl ApiServer {
    /// Makes the APIServices of custom groups what they should be.
    pub(super) async fn register_groups(&self, all: &[CustomResourceDefinition]) -> Result<(), Status> {
        let established = all.iter().filter(|definition| is_true(definition, condition::ESTABLISHED));
        let wanted: BTreeSet<(String, &str, &str)> = established
            .flat_map(|definition| definition.spec.versions.iter().map(move |version| (definition, version)))
            .filter(|(_, version)| version.served)
            .map(|(definition, version)| {
                (format!("{}.{}", version.name, definition.spec.group), version.name.as_str(), definition.spec.group.as_str())
            })
            .collect();
        let present = self.world().objects::<APIService>(OWN_GROUP, PLURAL, "");
        let name = |service: &APIService| service.metadata.name.clone().unwrap_or_default();
        let Some(resource) = self.served().find(OWN_GROUP, "v1", PLURAL) else { return Ok(()) };
        let target = |name: String| Target { resource: resource.clone(), subresource: None, namespace: String::new(), name };
        for (service, version, group) in wanted.iter().filter(|(wanted, ..)| present.iter().all(|one| name(one) != *wanted)) {
            let object = json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": service, "labels": {AUTOMANAGED: BY_DEFINITION}},
                "spec": {"group": group, "version": version, "groupPriorityMinimum": GROUP_PRIORITY, "versionPriority": VERSION_PRIORITY},
            });
            let body = Body::Json(object.to_string().into());
            match self.create(&caller(), &target(String::new()), body, &WriteOptions::default()).await {
                Err(status) if !status.is_already_exists() => return Err(status),
                _ => {}
            }
        }
        let is_ours = |service: &&APIService| {
            service.metadata.labels.as_ref().and_then(|labels| labels.get(AUTOMANAGED)).is_some_and(|value| value == BY_DEFINITION)
        };
        for service in present.iter().filter(is_ours).map(name).filter(|name| wanted.iter().all(|(wanted, ..)| wanted != name)) {
            match self.delete(&caller(), &target(service), &DeleteOptions::default()).await {
                Err(status) if !status.is_not_found() => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }
}
