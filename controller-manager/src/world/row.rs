//! [`Row`]: what the world keeps of one object. A row begins with a [`Header`], the metadata that controllers
//! decide by; texts and lists that many objects have in common are shared through the [`Interner`].

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use api::kind::Typed;
use api::quota::PodUsage;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use machinery::shared::{Pool, Recent};
use machinery::{NamespacedName, ResourceVersion};

pub type Labels = BTreeMap<String, String>;

/// An object's metadata, as far as controllers look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub key: NamespacedName,
    pub uid: Arc<str>,
    pub version: ResourceVersion,
    pub labels: Arc<Labels>,
    pub owners: Arc<[OwnerReference]>,
    pub finalizers: Arc<[String]>,
    pub created: Option<Timestamp>,
    /// When deletion started, with the grace period added, as `metadata.deletionTimestamp` has it.
    pub deleted: Option<Timestamp>,
}

impl Header {
    pub fn of(meta: &ObjectMeta, intern: &Interner) -> Self {
        Self {
            key: NamespacedName {
                namespace: intern.text(meta.namespace.as_deref().unwrap_or_default()),
                name: meta.name.as_deref().unwrap_or_default().into(),
            },
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            version: meta.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or_default(),
            labels: intern.labels(meta.labels.as_ref()),
            owners: intern.owners(meta.owner_references.as_deref().unwrap_or_default()),
            finalizers: meta.finalizers.as_deref().unwrap_or_default().into(),
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            deleted: meta.deletion_timestamp.as_ref().map(|t| t.0),
        }
    }

    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    pub fn is_terminating(&self) -> bool {
        self.deleted.is_some()
    }

    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|f| f == name)
    }

    /// The owner reference that is marked as the controller.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.controller == Some(true))
    }

    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| owner.uid == uid)
    }
}

/// What the world keeps of an object of type `Source`.
pub trait Row: Send + Sync + Sized + 'static {
    type Source: Typed;

    fn project(source: &Self::Source, intern: &Interner) -> Self;
    fn header(&self) -> &Header;

    /// The node that the object is bound to, for kinds that are.
    fn node(&self) -> Option<&Arc<str>> {
        None
    }
}

/// Any row's metadata, its kind forgotten.
pub trait AnyRow: Send + Sync {
    fn header(&self) -> &Header;
}

impl<T: Row> AnyRow for T {
    fn header(&self) -> &Header {
        Row::header(self)
    }
}

/// Metadata alone, for kinds that no controller looks into.
pub struct Only<K> {
    header: Header,
    kind: PhantomData<fn() -> K>,
}

impl<K: Typed> Row for Only<K> {
    type Source = K;

    fn project(source: &K, intern: &Interner) -> Self {
        Self { header: Header::of(source.metadata(), intern), kind: PhantomData }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}

/// The whole object, for kinds of which there are few. Its managed fields are left out: an update without them
/// keeps those that are stored.
pub struct Whole<K> {
    header: Header,
    object: K,
}

impl<K: Typed> Whole<K> {
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// A copy to be changed and written back; it carries the resource version that was seen.
    pub fn to_object(&self) -> K {
        self.object.clone()
    }
}

impl<K> Deref for Whole<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

impl<K: Typed> Row for Whole<K> {
    type Source = K;

    fn project(source: &K, intern: &Interner) -> Self {
        let mut object = source.clone();
        object.metadata_mut().managed_fields = None;
        Self { header: Header::of(object.metadata(), intern), object }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}

/// Shares equal values between the objects of the world.
#[derive(Default)]
pub struct Interner {
    texts: Pool<str>,
    labels: Pool<Labels>,
    owners: Recent<[OwnerReference]>,
    tolerations: Recent<[Toleration]>,
    usages: Recent<PodUsage>,
}

impl Interner {
    pub fn text(&self, text: &str) -> Arc<str> {
        self.texts.share(text, |text| text.into())
    }

    pub fn labels(&self, labels: Option<&Labels>) -> Arc<Labels> {
        static EMPTY: Labels = Labels::new();
        self.labels.share(labels.unwrap_or(&EMPTY), |labels| Arc::new(labels.clone()))
    }

    pub fn owners(&self, owners: &[OwnerReference]) -> Arc<[OwnerReference]> {
        self.owners.share_slice(owners)
    }

    pub fn tolerations(&self, tolerations: &[Toleration]) -> Arc<[Toleration]> {
        self.tolerations.share_slice(tolerations)
    }

    pub fn usage(&self, usage: PodUsage) -> Arc<PodUsage> {
        self.usages.share_if(|known| *known == usage, || Arc::new(usage.clone()))
    }
}
