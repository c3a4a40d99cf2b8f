//! Managed fields: the one place where writes are recorded in `metadata.managedFields`.

use api::object::{EmptyLists, TYPICAL_JSON_BYTES};
use api::{Object, Resource};
use arc_swap::Guard;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use machinery::apply::{self, Set, Versions, Writer};
use machinery::schema::Schema;
use machinery::text::Text;
use std::sync::Arc;

use super::write::Write;
use crate::log::{Entry, metadata_json};
use crate::served;
use crate::server::ApiServer;

/// The versions in which a resource's objects are served.
pub(super) struct Served<'a> {
    served: Guard<Arc<served::Served>>,
    resource: &'a dyn Resource,
}

impl<'a> Served<'a> {
    pub(super) fn new(server: &ApiServer, resource: &'a dyn Resource) -> Self {
        Self { served: server.served(), resource }
    }
}

impl Versions for Served<'_> {
    fn convert(&self, object: Text<'_>, api_version: &str) -> Option<(&Schema, String)> {
        let stored = self.resource.stored_kind();
        let mut served = self.served.registry().all().iter();
        // Kubernetes knows the versions of one group from each other; what was owned in another group's is forgotten.
        let is_related = |other: &dyn Resource| other.stored_kind() == stored && other.names().group == self.resource.names().group;
        let other = served.find(|other| is_related(&***other) && other.kind().api_version() == api_version)?;
        let object = self.resource.decode(object.to_value()).ok()?;
        Some((other.schema(), other.encode(&*object).to_string()))
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

    /// The entries after the write that made `new`, which has been defaulted, of `live`. Those that the writer sent are
    /// taken out of `new`.
    pub(super) fn record(
        &self,
        reset: &'static [&'static str],
        live: Option<(&Entry, &dyn Object)>,
        new: &mut dyn Object,
    ) -> Vec<apply::Entry> {
        let resource = self.resource();
        // Writes through a subresource do not change the entries by hand.
        let sent = new.meta_mut().managed_fields.take().filter(|_| self.target.subresource.is_none());
        let managed = apply::starting_entries(live.map(|(live, _)| live.managed()).unwrap_or_default(), sent.as_deref());
        let api_version = resource.kind().api_version();
        let (reset, versions) = (Set::of_fields(reset), Served::new(self.server, resource));
        let target = apply::Target { schema: resource.schema(), reset: &reset, versions: &versions };
        let is_known = managed.iter().all(|entry| entry.api_version == api_version);
        if let Some((live, _)) = live.filter(|(_, old)| is_known && new.differs_in_metadata_only(*old)) {
            let (before, after) = (live.metadata(), metadata_json(new.meta()));
            return apply::update_within(&target, "metadata", (text(&before), text(&after)), managed, self.writer(&api_version));
        }
        let mut after = Vec::with_capacity(live.map_or(TYPICAL_JSON_BYTES, |(live, _)| live.json.len()));
        // A writer owns the empty list that it wrote, whatever becomes of it.
        let written = resource.as_written(new);
        written.as_deref().unwrap_or(new).write_json_with(EmptyLists::Keep, &mut after);
        let (before, after) = (live.map(|(live, _)| resource.present(&live.json)), resource.present(&after));
        apply::update(&target, before.as_deref().map(text), text(&after), managed, self.writer(&api_version))
    }
}

/// Records who sent an object that is answered and never stored. `object` has been defaulted; it is to carry its managed
/// fields itself.
pub(crate) fn record_unstored(schema: &Schema, writer: Writer<'_>, object: &mut dyn Object) {
    let sent = object.meta_mut().managed_fields.take();
    let managed = apply::starting_entries(Vec::new(), sent.as_deref());
    let target = apply::Target { schema, reset: &Set::new(), versions: &apply::OneVersion };
    let mut json = Vec::with_capacity(TYPICAL_JSON_BYTES);
    object.write_json_with(EmptyLists::Keep, &mut json);
    let managed = apply::update(&target, None, text(&json), managed, writer);
    let managed: Vec<ManagedFieldsEntry> = managed.iter().map(ManagedFieldsEntry::from).collect();
    object.meta_mut().managed_fields = (!managed.is_empty()).then_some(managed);
}

/// JSON of this server's own, which is UTF-8.
fn text(json: &[u8]) -> Text<'_> {
    Text::new(std::str::from_utf8(json).unwrap_or("{}"))
}
