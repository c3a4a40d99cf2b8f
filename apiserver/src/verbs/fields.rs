//! Managed fields: the one place where writes are recorded in `metadata.managedFields`.

use api::{Object, Registry, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use machinery::apply::{self, Entry, Set, Versions, Writer};
use machinery::schema::Schema;
use serde_json::Value;

use super::write::Write;

/// The versions in which a resource's objects are served.
pub(super) struct Served<'a> {
    registry: &'a Registry,
    resource: &'static dyn Resource,
}

impl<'a> Served<'a> {
    pub(super) fn new(registry: &'a Registry, resource: &'static dyn Resource) -> Self {
        Self { registry, resource }
    }
}

impl Versions for Served<'_> {
    fn convert(&self, object: &Value, api_version: &str) -> Option<(&Schema, Value)> {
        let stored = self.resource.stored_kind();
        let mut served = self.registry.all().iter().copied();
        let other = served.find(|other| other.stored_kind() == stored && other.kind().api_version() == api_version)?;
        let object = self.resource.decode(object.clone()).ok()?;
        Some((other.schema(), other.encode(&*object)))
    }
}

impl Write<'_> {
    /// The writer, as managed fields name it.
    pub(super) fn writer<'w>(&'w self, api_version: &'w str) -> Writer<'w> {
        Writer {
            manager: self.options.field_manager.as_deref().unwrap_or(&self.caller.agent),
            api_version,
            subresource: self.target.subresource.as_deref().unwrap_or_default(),
            now: self.now,
        }
    }

    /// Records what the writer changed from `live` to `new`, which has been defaulted.
    pub(super) fn record(&self, reset: &'static [&'static str], live: Option<&dyn Object>, new: &mut dyn Object) {
        let resource = self.resource();
        // Writes through a subresource do not change the entries by hand.
        let sent = new.meta_mut().managed_fields.take().filter(|_| self.target.subresource.is_none());
        let managed = apply::starting_entries(entries(live), sent.as_deref());
        let api_version = resource.kind().api_version();
        let (reset, versions) = (Set::of_fields(reset), Served::new(self.server.registry(), resource));
        let target = apply::Target { schema: resource.schema(), reset: &reset, versions: &versions };
        let (before, after) = (live.map(|live| resource.encode(live)), resource.encode(new));
        let managed = apply::update(&target, before.as_ref(), &after, managed, self.writer(&api_version));
        set(new, managed);
    }
}

/// Records who sent an object that is answered and never stored. `object` has been defaulted.
pub(crate) fn record_unstored(schema: &Schema, writer: Writer<'_>, object: &mut dyn Object) {
    let sent = object.meta_mut().managed_fields.take();
    let managed = apply::starting_entries(Vec::new(), sent.as_deref());
    let target = apply::Target { schema, reset: &Set::of_fields(&[]), versions: &apply::OneVersion };
    let managed = apply::update(&target, None, &object.to_value(), managed, writer);
    set(object, managed);
}

/// The entries of an object. Those that do not read are as good as absent.
pub(super) fn entries(object: Option<&dyn Object>) -> Vec<Entry> {
    let given = object.and_then(|object| object.meta().managed_fields.as_deref()).unwrap_or_default();
    given.iter().filter_map(|entry| Entry::try_from(entry).ok()).collect()
}

pub(super) fn set(object: &mut dyn Object, entries: Vec<Entry>) {
    let entries: Vec<ManagedFieldsEntry> = entries.into_iter().map(ManagedFieldsEntry::from).collect();
    object.meta_mut().managed_fields = (!entries.is_empty()).then_some(entries);
}
