//! Custom resources, as the graph of owners follows them: by their definitions, as these come, change and go.

use std::collections::HashMap;
use std::sync::Arc;

use api::apiextensions::custom_resource_definition::{condition, is_true};
use client::{Informer, Selection, Transport};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use machinery::GroupVersionResource;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, Synced};
use crate::world::ResourceInfo;

/// What a definition says of a resource that can be used; None where it cannot.
type Defined = Option<Arc<ResourceInfo>>;

fn defined(definition: &CustomResourceDefinition) -> Defined {
    let spec = &definition.spec;
    let names = definition.status.as_ref()?.accepted_names.as_ref()?;
    let served = || spec.versions.iter().filter(|version| version.served);
    let version = served().find(|version| version.storage).or_else(|| served().next())?;
    is_true(definition, condition::ESTABLISHED).then(|| {
        Arc::new(ResourceInfo {
            resource: GroupVersionResource::new(spec.group.clone(), version.name.clone(), names.plural.clone()),
            kind: names.kind.clone(),
            namespaced: spec.scope == "Namespaced",
            collection: true,
        })
    })
}

/// Follows the definitions, and each custom resource as long as there is one, until `shutdown`. What is returned ends when the
/// present definitions are in.
pub(crate) fn follow(feed: &Arc<Feed>, transport: &Arc<dyn Transport>, shutdown: &CancellationToken) -> Synced {
    let mut informer =
        Informer::<CustomResourceDefinition, Defined>::new(transport.clone(), Selection::all(), |definition| defined(&definition));
    let (feed, transport, end) = (feed.clone(), transport.clone(), shutdown.clone());
    let followed: Mutex<HashMap<String, (Arc<ResourceInfo>, CancellationToken)>> = Mutex::default();
    informer.on_change(move |change| {
        let new = change.new.clone().flatten();
        let mut followed = followed.lock();
        let name = change.key.name.to_string();
        if followed.get(&name).map(|(info, _)| info) == new.as_ref() {
            return;
        }
        if let Some((info, token)) = followed.remove(&name) {
            token.cancel();
            feed.end_custom(&info.resource.group, &info.resource.resource);
        }
        if let Some(info) = new {
            let token = end.child_token();
            feed.begin_custom(&transport, (*info).clone(), token.clone());
            followed.insert(name, (info, token));
        }
    });
    let store = informer.store();
    tokio::spawn(informer.run(shutdown.clone()));
    Box::pin(async move { store.synced().await })
}
