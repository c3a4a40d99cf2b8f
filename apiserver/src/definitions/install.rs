//! [`Installed`]: the definitions that are served, with their resources and logs. A definition whose spec changes gets a new
//! log, since what the old one shows was read by the old schema.

use std::collections::HashMap;
use std::sync::Arc;

use api::apiextensions::custom_resource_definition::{condition, is_true};
use api::custom::{self, CustomResource};
use api::{Registry, Resource, ResourceRef};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames as Names, CustomResourceDefinitionSpec as Spec,
};
use machinery::Status;

use super::status;
use crate::log::Log;
use crate::served::Served;
use crate::server::ApiServer;

/// By the names of their definitions.
#[derive(Default)]
pub(crate) struct Installed(HashMap<String, One>);

#[derive(Clone)]
struct One {
    uid: String,
    spec: Spec,
    names: Option<Names>,
    terminating: bool,
    /// The storage version first.
    resources: Vec<Arc<CustomResource>>,
    log: Arc<Log>,
}

/// What is to be served now, and the logs that are not needed for it any more.
pub(super) struct Change {
    pub(super) now: Served,
    pub(super) retired: Vec<Arc<Log>>,
}

impl Installed {
    /// What is to be served by these definitions; None if that is what is served.
    pub(super) async fn follow(&mut self, server: &ApiServer, all: &[CustomResourceDefinition]) -> Result<Option<Change>, Status> {
        let built_in = Registry::built_in();
        let wanted: Vec<&CustomResourceDefinition> =
            all.iter().filter(|definition| status::is_served(definition) && !is_built_in(&built_in, definition)).collect();
        let mut next: HashMap<String, One> = HashMap::with_capacity(wanted.len());
        let mut fresh: Vec<(&CustomResourceDefinition, Vec<Arc<CustomResource>>)> = Vec::new();
        for definition in wanted {
            match self.0.get(name(definition)).filter(|known| known.is_of(definition)) {
                Some(known) => _ = next.insert(name(definition).to_owned(), known.clone()),
                None => match custom::resources(definition) {
                    Ok(resources) => fresh.push((definition, resources)),
                    Err(error) => tracing::warn!(definition = name(definition), %error, "the definition cannot be served"),
                },
            }
        }
        let stored = fresh.iter().filter_map(|(_, resources)| Some(ResourceRef::Custom(resources.first()?.clone()))).collect();
        let logs = server.feed.open_late(stored).await?;
        for ((definition, resources), log) in fresh.into_iter().zip(logs) {
            next.insert(name(definition).to_owned(), One::new(definition, resources, log));
        }
        for definition in all {
            if let Some(one) = next.get_mut(name(definition)) {
                one.terminating = is_true(definition, condition::TERMINATING);
            }
        }
        let same = |(name, one): (&String, &One)| {
            self.0.get(name).is_some_and(|known| Arc::ptr_eq(&known.log, &one.log) && known.terminating == one.terminating)
        };
        if next.len() == self.0.len() && next.iter().all(same) {
            return Ok(None);
        }
        let kept = |log: &Arc<Log>| next.values().any(|one| Arc::ptr_eq(&one.log, log));
        let retired = self.0.values().map(|one| one.log.clone()).filter(|log| !kept(log)).collect();
        self.0 = next;
        Ok(Some(Change { now: self.served(), retired }))
    }

    fn served(&self) -> Served {
        let mut resources: Vec<Arc<dyn Resource>> = Vec::new();
        for one in self.0.values() {
            for resource in one.resources.iter().filter(|resource| resource.is_served()) {
                resources.push(if one.terminating { Arc::new(resource.terminating()) } else { resource.clone() });
            }
        }
        Served::new(Registry::with(resources), self.0.values().map(|one| one.log.clone()))
    }

    /// The log of a definition's objects, and their resource in the storage version.
    pub(super) fn find(&self, name: &str, uid: &str) -> Option<(Arc<Log>, ResourceRef)> {
        let one = self.0.get(name).filter(|one| one.uid == uid)?;
        Some((one.log.clone(), ResourceRef::Custom(one.resources.first()?.clone())))
    }
}

impl One {
    fn new(definition: &CustomResourceDefinition, resources: Vec<Arc<CustomResource>>, log: Arc<Log>) -> Self {
        Self {
            uid: definition.metadata.uid.clone().unwrap_or_default(),
            spec: definition.spec.clone(),
            names: accepted(definition).cloned(),
            terminating: false,
            resources,
            log,
        }
    }

    fn is_of(&self, definition: &CustomResourceDefinition) -> bool {
        Some(&self.uid) == definition.metadata.uid.as_ref() && self.spec == definition.spec && self.names.as_ref() == accepted(definition)
    }
}

fn name(definition: &CustomResourceDefinition) -> &str {
    definition.metadata.name.as_deref().unwrap_or_default()
}

fn accepted(definition: &CustomResourceDefinition) -> Option<&Names> {
    definition.status.as_ref()?.accepted_names.as_ref()
}

/// Built-in resources cannot be defined anew.
fn is_built_in(built_in: &Registry, definition: &CustomResourceDefinition) -> bool {
    let (group, plural) = (&definition.spec.group, &definition.spec.names.plural);
    built_in.all().iter().any(|resource| resource.names().group == group && resource.names().plural == plural)
}
