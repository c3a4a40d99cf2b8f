//! [`Served`]: what is served at one moment: the built-in resources, custom ones with their logs, and the documents that tell
//! of them. It never changes; when a definition does, another takes its place in one swap, so that what is found, what
//! discovery announces and what OpenAPI describes always agree, and readers take no lock.

use std::sync::{Arc, OnceLock};

use api::{Registry, Resource, ResourceRef};
use hashbrown::HashMap;

use crate::discovery::Discovery;
use crate::log::Log;
use crate::openapi::OpenApi;

/// What is served at one moment.
pub struct Served {
    registry: Registry,
    /// Of custom resources, by where they are stored.
    logs: HashMap<Box<str>, Arc<Log>>,
    discovery: OnceLock<Discovery>,
    openapi: OpenApi,
}

impl Served {
    pub fn new(registry: Registry, logs: impl IntoIterator<Item = Arc<Log>>) -> Self {
        let logs = logs.into_iter().map(|log| (log.resource().stored_under().into(), log)).collect();
        Self { registry, logs, discovery: OnceLock::new(), openapi: OpenApi::default() }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<ResourceRef> {
        self.registry.find(group, version, plural)
    }

    /// The log that holds a custom resource's objects.
    pub(crate) fn log(&self, resource: &dyn Resource) -> Option<&Arc<Log>> {
        self.logs.get(resource.stored_under())
    }

    /// Which groups, versions and resources there are. Made for the first who asks.
    pub fn discovery(&self) -> &Discovery {
        self.discovery.get_or_init(|| Discovery::new(&self.registry))
    }

    pub fn openapi(&self) -> &OpenApi {
        &self.openapi
    }
}
