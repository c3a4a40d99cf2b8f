//! Server-side apply: the live object, with an applier's configuration merged in and what it no longer names
//! removed, unless that would change what somebody else owns.

use serde_json::{Map, Value};

use super::compare::Changes;
use super::conflict::{Conflict, Error, owner};
use super::entry::{Entry, Fields, Operation, Writer};
use super::extract::fields_of;
use super::merge::{merge, prune};
use super::set::Set;
use super::update::{ownable, record, without_changed};
use super::{Target, View};
use crate::text::Text;

/// The owner of what there was in an untracked object when somebody first applied to it.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager that client-side apply hands over to.
const KUBECTL: &str = "kubectl";

/// The configuration that client-side apply left in the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The size of all annotations beyond which the last-applied one is left empty.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The outcome of an apply.
#[derive(Debug)]
pub struct Applied {
    /// The merged object, before defaulting; `None` where the configuration changes nothing.
    pub object: Option<Value>,
    pub managed: Vec<Entry>,
}

/// Applies `config` to `live` (`None` where the object is to be made). `managed` are the entries of the live object.
///
/// # Errors
///
/// [`Error::Conflicts`] where others own fields that would change, unless `force` takes them.
pub fn apply(
    target: &Target<'_>,
    live: Option<&Value>,
    config: &Value,
    managed: Vec<Entry>,
    writer: Writer<'_>,
    force: bool,
) -> Result<Applied, Error> {
    if config.pointer("/metadata/managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(Error::ManagedFieldsApplied);
    }
    let fields = fields_of(target.schema, config)?.without(target.reset);
    let live_text = live.map(Value::to_string);
    let live_text = live_text.as_deref().map(Text::new);
    let managed = match live_text {
        Some(live) if managed.is_empty() => record(target, None, live, managed, Writer { manager: BEFORE_FIRST_APPLY, ..writer }),
        _ => managed,
    };
    let merged = merged(target, live, config, &fields, &managed, writer)?;
    let merged_text = merged.to_string();
    let merged_text = Text::new(&merged_text);
    let changes = target.changes(live_text, merged_text);
    let views = target.views(&managed, live_text, merged_text, writer.api_version);
    let seen =
        Seen { here: &changes, api_version: writer.api_version, elsewhere: views.iter().map(|view| (view, view.changes())).collect() };
    if !force {
        let mut conflicts = conflicts(&managed, &seen, writer)?;
        if let (Some(live), KUBECTL) = (live, writer.manager) {
            conflicts = beyond_last_applied(target, live, conflicts);
        }
        if !conflicts.is_empty() {
            return Err(Error::Conflicts(conflicts.into_iter().flat_map(described).collect()));
        }
    }
    // What the strategy resets, and the order of a set, are changes all the same: validation is to see them.
    let is_changed = live_text.is_none_or(|live| !live.is(merged_text));
    let managed = shared_out(managed, &seen, is_changed, &ownable(fields), writer);
    let object = match last_applied(&merged, config, writer) {
        Some(annotation) => Some(with_annotation(merged, annotation)),
        None => is_changed.then_some(merged),
    };
    Ok(Applied { object, managed })
}

/// What a write changed, in the versions of all who own something.
struct Seen<'s> {
    here: &'s Changes<'s>,
    api_version: &'s str,
    elsewhere: Vec<(&'s View<'s>, Changes<'s>)>,
}

impl Seen<'_> {
    /// The changes in an entry's version; `None` where it is not served any more.
    fn by(&self, entry: &Entry) -> Option<&Changes<'_>> {
        if entry.api_version == self.api_version {
            return Some(self.here);
        }
        self.elsewhere.iter().find(|(view, _)| view.api_version == entry.api_version).map(|(_, changes)| changes)
    }
}

/// The live object with the configuration laid over it, and without what only this applier wanted and wants no more.
fn merged(
    target: &Target<'_>,
    live: Option<&Value>,
    config: &Value,
    fields: &Set<'_>,
    managed: &[Entry],
    writer: Writer<'_>,
) -> Result<Value, Error> {
    let live = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let mut merged = merge(target.schema, live, config);
    if let Some(last) = managed.iter().find(|entry| entry.is_of(writer, Operation::Apply)) {
        // Sets of other versions are taken as they are: what they name is mostly named alike here.
        let others = managed.iter().filter(|entry| !entry.is_of(writer, Operation::Apply));
        let wanted = others.map(|entry| entry.fields.set()).try_fold(fields.clone(), |wanted, set| Ok::<_, Error>(wanted.union(set?)))?;
        prune(target.schema, &mut merged, &last.fields.set()?, &wanted);
    }
    Ok(merged)
}

/// What others own of what would change.
fn conflicts<'e>(managed: &'e [Entry], seen: &Seen<'_>, writer: Writer<'_>) -> Result<Vec<(&'e Entry, Set<'e>)>, Error> {
    let mut conflicts = Vec::new();
    for entry in managed.iter().filter(|entry| !entry.is_of(writer, Operation::Apply)) {
        let Some(changes) = seen.by(entry) else { continue };
        let common = entry.fields.set()?.intersection(&changes.written);
        if !common.is_empty() {
            conflicts.push((entry, common));
        }
    }
    Ok(conflicts)
}

fn described((entry, fields): (&Entry, Set<'_>)) -> impl Iterator<Item = Conflict> {
    let owner = owner(entry);
    fields.leaf_paths().into_iter().map(move |path| Conflict { owner: owner.clone(), path })
}

/// The conflicts that are none for kubectl: fields that still have the value which client-side apply gave them.
fn beyond_last_applied<'e>(target: &Target<'_>, live: &Value, conflicts: Vec<(&'e Entry, Set<'e>)>) -> Vec<(&'e Entry, Set<'e>)> {
    let last = annotation(live).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(last) = last else { return conflicts };
    let Ok(applied) = fields_of(target.schema, &last) else { return conflicts };
    let (live, last_text) = (live.to_string(), last.to_string());
    let unchanged = applied.difference(&target.changes(Some(Text::new(&live)), Text::new(&last_text)).written);
    let conflicts = conflicts.into_iter().map(|(entry, fields)| (entry, fields.difference(&unchanged)));
    conflicts.filter(|(_, fields)| !fields.is_empty()).collect()
}

/// The entries after the apply.
fn shared_out(managed: Vec<Entry>, seen: &Seen<'_>, is_changed: bool, fields: &Set<'_>, writer: Writer<'_>) -> Vec<Entry> {
    let mut own = Fields::of(fields).map(|fields| Entry::new(writer, Operation::Apply, fields));
    if let Some(own) = own.as_mut().filter(|_| !is_changed) {
        // The object is what it was, so that the time stays, whatever the configuration names; who has only joined the
        // owners has none, as in Kubernetes.
        own.time = managed.iter().find(|entry| entry.is_of(writer, Operation::Apply)).and_then(|entry| entry.time.clone());
    }
    let mut entries = Vec::with_capacity(managed.len() + 1);
    for entry in managed {
        if !entry.is_of(writer, Operation::Apply) {
            entries.extend(seen.by(&entry).and_then(|changes| without_changed(entry, changes)));
        }
    }
    entries.extend(own);
    entries.sort_by(Entry::order);
    entries
}

fn annotation(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str().filter(|text| !text.is_empty())
}

/// What the annotation of client-side apply has to say after kubectl applied on the server: the configuration, so
/// that client-side apply can take over again. `None` where it says so or is not there.
fn last_applied(merged: &Value, config: &Value, writer: Writer<'_>) -> Option<String> {
    let present = annotation(merged).filter(|_| writer.manager == KUBECTL)?;
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let annotations = merged.pointer("/metadata/annotations").and_then(Value::as_object);
    let others = annotations.into_iter().flatten().filter(|(name, _)| *name != LAST_APPLIED);
    let others: usize = others.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    let mut text = format!("{config}\n");
    if LAST_APPLIED.len() + text.len() + others > MAX_ANNOTATIONS_BYTES {
        text.clear();
    }
    (text != present).then_some(text)
}

fn with_annotation(mut object: Value, text: String) -> Value {
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(LAST_APPLIED.to_owned(), Value::String(text));
    }
    object
}
