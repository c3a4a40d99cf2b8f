//! [`Plan`]: what a controller wants done: writes with preconditions, events to record, and when to look again. A
//! plan is data; [`crate::executor`] carries it out.

use std::time::Duration;

use api::Object;
use api::kind::{Propagation, Typed};
use k8s_openapi::Resource;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use k8s_openapi::api::core::v1::ObjectReference;
use machinery::{GroupVersionResource, NamespacedName, ResourceVersion};
use serde_json::{Value, json};

use crate::world::{Row, Whole};

/// How many objects one plan creates or deletes at most. The rest follows in the next, so that neither memory nor
/// the server sees a burst without bounds.
pub const BURST: usize = 500;

#[derive(Default)]
pub struct Plan {
    /// Carried out in order; the writes of one step do not depend on each other. A step whose writes failed ends
    /// the plan.
    pub steps: Vec<Vec<Write>>,
    /// Recorded whether or not there is anything to write.
    pub notes: Vec<Note>,
    /// Look again after this long, if nothing happens earlier.
    pub again: Option<Duration>,
}

/// One write. It is refused by the server, not forced, where the object is no longer what the plan was made from.
pub struct Write {
    pub verb: Verb,
    /// Recorded when the write succeeded.
    pub done: Option<Note>,
    /// Recorded, with the error at its end, when it failed.
    pub failed: Option<Note>,
    /// Asked of the server just before the write, where a stale world could do harm that no precondition stops.
    pub guards: Vec<Guard>,
}

/// What must be so for a write to be made; otherwise it counts as refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// No object of this name has this uid.
    Absent(Named),
    /// The object is there, with this uid, and is not being deleted.
    Alive(Named),
    /// No object has this name.
    Missing(GroupVersionResource, NamespacedName),
    /// Somebody, for whom the write is made, may have it.
    Permitted(Box<SubjectAccessReviewSpec>),
    /// The object is there as it was at this version.
    Unchanged(Named, ResourceVersion),
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub resource: GroupVersionResource,
    pub key: NamespacedName,
    pub uid: String,
}

/// What a patch is to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 7386's.
    Merge,
    /// Merges lists.
    Strategic,
    /// A configuration that is applied, also to fields of others.
    Apply { manager: &'static str },
}

pub enum Verb {
    Create {
        resource: GroupVersionResource,
        object: Box<dyn Object>,
    },
    /// Replaces an object, or what a subresource shows of it. The object carries the version that was seen.
    Update {
        resource: GroupVersionResource,
        subresource: Option<&'static str>,
        object: Box<dyn Object>,
    },
    /// It carries the uid, and the version where it replaces a list.
    Patch {
        target: Named,
        subresource: Option<&'static str>,
        patch: Value,
        form: Form,
    },
    Delete {
        target: Named,
        version: Option<ResourceVersion>,
        propagation: Option<Propagation>,
        grace_seconds: Option<i64>,
    },
    /// Deletes all objects of a resource in a namespace.
    DeleteAll {
        resource: GroupVersionResource,
        namespace: String,
    },
}

/// An event to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub about: ObjectReference,
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

/// The resource that objects of type `K` are served as.
pub fn resource_of<K: Typed>() -> GroupVersionResource {
    GroupVersionResource::new(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT)
}

/// The object that a row is of, for writes.
pub fn named<T: Row>(row: &T) -> Named {
    let header = row.header();
    Named { resource: resource_of::<T::Source>(), key: header.key.clone(), uid: header.uid.to_string() }
}

/// The object that a row is of, for events.
pub fn reference<T: Row>(row: &T) -> ObjectReference {
    let header = row.header();
    ObjectReference {
        api_version: Some(T::Source::API_VERSION.to_owned()),
        kind: Some(T::Source::KIND.to_owned()),
        namespace: Some(header.namespace().to_owned()).filter(|n| !n.is_empty()),
        name: Some(header.name().to_owned()),
        uid: Some(header.uid.to_string()),
        resource_version: Some(header.version.to_string()),
        ..ObjectReference::default()
    }
}

impl Note {
    pub fn normal<T: Row>(about: &T, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: reference(about), warning: false, reason, message: message.into() }
    }

    pub fn warning<T: Row>(about: &T, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: reference(about), warning: true, reason, message: message.into() }
    }
}

impl Write {
    fn of(verb: Verb) -> Self {
        Self { verb, done: None, failed: None, guards: Vec::new() }
    }

    pub fn create<K: Typed>(object: K) -> Self {
        Self::of(Verb::Create { resource: resource_of::<K>(), object: Box::new(object) })
    }

    /// Replaces the object; it must carry the version that was seen.
    pub fn update<K: Typed>(object: K) -> Self {
        Self::of(Verb::Update { resource: resource_of::<K>(), subresource: None, object: Box::new(object) })
    }

    /// Replaces the row's object by what `change` makes of it, if it is still as it was seen.
    pub fn change<K: Typed>(row: &Whole<K>, change: impl FnOnce(&mut K)) -> Self {
        let mut object = row.to_object();
        change(&mut object);
        Self::update(object)
    }

    pub fn update_status<K: Typed>(object: K) -> Self {
        Self::update_view(object, "status")
    }

    /// Replaces the status of `row` by what `change` makes of it, if that makes a difference.
    pub fn change_status<K: Typed + PartialEq>(row: &Whole<K>, change: impl FnOnce(&mut K)) -> Option<Self> {
        let mut object = row.to_object();
        change(&mut object);
        (object != **row).then(|| Self::update_status(object))
    }

    /// Replaces what a subresource shows of the object.
    pub fn update_view<K: Typed>(object: K, subresource: &'static str) -> Self {
        Self::of(Verb::Update { resource: resource_of::<K>(), subresource: Some(subresource), object: Box::new(object) })
    }

    /// Changes the row's object by a merge patch, if it is still that object.
    pub fn patch<T: Row>(row: &T, patch: Value) -> Self {
        Self::patch_named(named(row), patch)
    }

    pub fn patch_named(target: Named, mut patch: Value) -> Self {
        patch["metadata"]["uid"] = json!(target.uid);
        Self::of(Verb::Patch { target, subresource: None, patch, form: Form::Merge })
    }

    /// Changes the status of the row's object by a strategic merge patch: conditions are merged by their type. Who else
    /// writes that status was first must not be overruled: the version is checked.
    pub fn patch_status<T: Row>(row: &T, status: Value) -> Self {
        let target = named(row);
        let version = row.header().version.to_string();
        let patch = json!({"metadata": {"uid": target.uid, "resourceVersion": version}, "status": status});
        Self::of(Verb::Patch { target, subresource: Some("status"), patch, form: Form::Strategic })
    }

    /// Applies content to the object of which the row was made, if it has not changed since.
    pub fn apply<K: Typed + Clone>(row: &Whole<K>, manager: &'static str, content: Value) -> Self {
        Self::apply_view(row, None, manager, content)
    }

    /// Applies a status to the object of which the row was made, if it has not changed since.
    pub fn apply_status<K: Typed + Clone>(row: &Whole<K>, manager: &'static str, status: Value) -> Self {
        Self::apply_view(row, Some("status"), manager, json!({"status": status}))
    }

    fn apply_view<K: Typed + Clone>(row: &Whole<K>, subresource: Option<&'static str>, manager: &'static str, mut patch: Value) -> Self {
        let header = row.header();
        patch["apiVersion"] = json!(K::API_VERSION);
        patch["kind"] = json!(K::KIND);
        patch["metadata"] = json!({"name": header.name(), "resourceVersion": header.version.to_string()});
        Self::of(Verb::Patch { target: named(row), subresource, patch, form: Form::Apply { manager } })
    }

    /// Deletes the row's object, if it is still that object.
    pub fn delete<T: Row>(row: &T) -> Self {
        Self::delete_named(named(row))
    }

    pub fn delete_named(target: Named) -> Self {
        Self::of(Verb::Delete { target, version: None, propagation: None, grace_seconds: None })
    }

    pub fn delete_all(resource: GroupVersionResource, namespace: &str) -> Self {
        Self::of(Verb::DeleteAll { resource, namespace: namespace.to_owned() })
    }

    pub fn guarded(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Without the grace period that the object would have.
    pub fn at_once(mut self) -> Self {
        if let Verb::Delete { grace_seconds, .. } = &mut self.verb {
            *grace_seconds = Some(0);
        }
        self
    }

    pub fn done(mut self, note: Note) -> Self {
        self.done = Some(note);
        self
    }

    pub fn failed(mut self, note: Note) -> Self {
        self.failed = Some(note);
        self
    }
}

impl Plan {
    /// Adds a write that does not depend on the plan's other writes.
    pub fn write(&mut self, write: Write) {
        match self.steps.first_mut() {
            Some(step) => step.push(write),
            None => self.steps.push(vec![write]),
        }
    }

    /// Adds writes that come after all writes so far.
    pub fn then(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.steps.push(writes);
        }
    }

    pub fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Asks to look again after `seconds`, or earlier if that was asked before.
    pub fn look_again_in(&mut self, seconds: i64) {
        let after = Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(Duration::from_millis(100));
        self.again = Some(self.again.map_or(after, |known| known.min(after)));
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.notes.is_empty()
    }

    /// Writes the status of `row`, as `change` leaves it, if that makes a difference.
    pub fn update_status<K: Typed + PartialEq>(&mut self, row: &Whole<K>, change: impl FnOnce(&mut K)) {
        if let Some(write) = Write::change_status(row, change) {
            self.write(write);
        }
    }
}
