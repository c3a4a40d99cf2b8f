//! [`Api`]: the verbs for one kind, with its own type. It is a thin coat over [`Transport`], and as cheap to make
//! and to clone as a pointer; whoever handles many kinds alike uses the transport itself.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

use api::Registry;
use api::kind::Typed;
use bytes::Bytes;
use machinery::{GroupVersionResource, NamespacedName, ResourceVersion, Status};
use serde::Serialize;

use crate::transport::{Body, DeleteOptions, ListRequest, Patch, Payload, Result, Target, Transport, WatchRequest, WriteOptions};

/// Objects of one kind, through a transport.
pub struct Api<K> {
    transport: Arc<dyn Transport>,
    options: WriteOptions,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        Self { transport: self.transport.clone(), options: self.options.clone(), kind: PhantomData }
    }
}

/// Which objects of a kind. The default is all of them, in all namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty for all namespaces and for cluster scope.
    pub namespace: String,
    /// In the selector's string form; empty selects everything.
    pub labels: String,
    /// As `labels`.
    pub fields: String,
}

impl Selection {
    pub fn all() -> Self {
        Self::default()
    }

    pub fn namespace(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), ..Self::default() }
    }

    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.labels = selector.into();
        self
    }

    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.fields = selector.into();
        self
    }
}

static RESOURCES: LazyLock<Registry> = LazyLock::new(Registry::built_in);

/// The resource that objects of type `K` are served as.
pub fn resource_of<K: Typed>() -> GroupVersionResource {
    GroupVersionResource::new(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT)
}

/// The typed object of a payload: shared with the sender where it has one, decoded otherwise.
pub fn decode<K: Typed>(payload: Payload) -> Result<Arc<K>> {
    if let Some(typed) = payload.typed.and_then(|typed| typed.downcast::<K>().ok()) {
        return Ok(typed);
    }
    let Some(json) = payload.json else {
        return Err(Status::internal(format!("the server sent a {} of another type and without its encoding", K::KIND)));
    };
    let malformed = |error: String| Status::internal(format!("the server sent a {} that does not decode: {error}", K::KIND));
    // Not by the type itself, since code that decodes it would come to be in each program part that asks for one.
    let known = RESOURCES.find(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT);
    let resource = known.ok_or_else(|| malformed("the kind is not known".to_owned()))?;
    let object: Box<dyn Any> = resource.decode_stored(&json).map_err(malformed)?;
    let typed = object.downcast::<K>().map_err(|_| malformed("it is stored in another version".to_owned()))?;
    Ok(typed.into())
}

impl<K: Typed> Api<K> {
    /// `field_manager` names the writer in managedFields.
    pub fn new(transport: Arc<dyn Transport>, field_manager: impl Into<String>) -> Self {
        Self { transport, options: WriteOptions { dry_run: false, field_manager: field_manager.into() }, kind: PhantomData }
    }

    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub fn target(&self, key: &NamespacedName, subresource: Option<&'static str>) -> Target {
        Target { resource: resource_of::<K>(), subresource, namespace: key.namespace.to_string(), name: key.name.to_string() }
    }

    pub async fn get(&self, key: &NamespacedName) -> Result<Arc<K>> {
        decode(self.transport.get(self.target(key, None), None).await?)
    }

    /// The object, or None where there is none of that name.
    pub async fn get_optional(&self, key: &NamespacedName) -> Result<Option<Arc<K>>> {
        match self.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// All selected objects in their newest state, and the version of the list.
    pub async fn list(&self, selection: &Selection) -> Result<(ResourceVersion, Vec<Arc<K>>)> {
        let list = self.transport.list(list_request::<K>(selection)).await?;
        let items = list.items.into_iter().map(decode).collect::<Result<_>>()?;
        Ok((list.version, items))
    }

    /// Creates the object in the namespace that its metadata names.
    pub async fn create(&self, object: K) -> Result<Arc<K>> {
        let mut target = self.target(&NamespacedName::of(object.metadata()), None);
        target.name.clear();
        decode(self.transport.create(target, Body::Typed(Box::new(object)), self.options.clone()).await?)
    }

    /// Replaces the object; a resourceVersion in its metadata must be the stored one's.
    pub async fn update(&self, object: K) -> Result<Arc<K>> {
        self.update_view(object, None).await
    }

    pub async fn update_status(&self, object: K) -> Result<Arc<K>> {
        self.update_view(object, Some("status")).await
    }

    /// Replaces the object under the view of a subresource.
    pub async fn update_view(&self, object: K, subresource: Option<&'static str>) -> Result<Arc<K>> {
        let target = self.target(&NamespacedName::of(object.metadata()), subresource);
        decode(self.transport.update(target, Body::Typed(Box::new(object)), self.options.clone()).await?)
    }

    /// Replaces the status of many objects in one call; one result for each, in order.
    pub async fn update_statuses(&self, objects: Vec<K>) -> Result<Vec<Result<ResourceVersion>>> {
        let bodies = objects.into_iter().map(|object| Body::Typed(Box::new(object))).collect();
        self.transport.update_statuses(resource_of::<K>(), bodies).await
    }

    pub async fn patch(&self, key: &NamespacedName, patch: Patch) -> Result<Arc<K>> {
        self.patch_view(key, None, patch).await
    }

    /// Changes the object by a patch under the view of a subresource.
    pub async fn patch_view(&self, key: &NamespacedName, subresource: Option<&'static str>, patch: Patch) -> Result<Arc<K>> {
        decode(self.transport.patch(self.target(key, subresource), patch, self.options.clone()).await?)
    }

    /// Declares the fields that this writer owns; `config` is a partial object with `apiVersion` and `kind`.
    pub async fn apply(&self, key: &NamespacedName, config: &impl Serialize, force: bool) -> Result<Arc<K>> {
        let config = serde_json::to_vec(config).map_err(|error| Status::internal(error.to_string()))?;
        self.patch(key, Patch::Apply { config: Bytes::from(config), force }).await
    }

    pub async fn delete(&self, key: &NamespacedName, options: DeleteOptions) -> Result<()> {
        self.transport.delete(self.target(key, None), options).await
    }
}

pub(crate) fn list_request<K: Typed>(selection: &Selection) -> ListRequest {
    ListRequest {
        resource: resource_of::<K>(),
        namespace: selection.namespace.clone(),
        label_selector: selection.labels.clone(),
        field_selector: selection.fields.clone(),
        resource_version: None,
        limit: 0,
        continue_token: String::new(),
    }
}

pub(crate) fn watch_request<K: Typed>(selection: &Selection, after: Option<ResourceVersion>) -> WatchRequest {
    WatchRequest {
        resource: resource_of::<K>(),
        namespace: selection.namespace.clone(),
        label_selector: selection.labels.clone(),
        field_selector: selection.fields.clone(),
        after,
    }
}
