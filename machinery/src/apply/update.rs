//! Field tracking of creates, updates and patches: the writer comes to own what it changed, and everybody else loses
//! what was changed or removed.

use std::sync::LazyLock;

use super::Target;
use super::compare::Changes;
use super::entry::{Entry, Fields, Operation, Writer};
use super::made::{ButFor, encode_made};
use super::set::Set;
use crate::tape::Tape;
use crate::text::Text;

/// The most entries of updates that an object keeps. Beyond, the oldest of each version are put together.
const MAX_UPDATE_ENTRIES: usize = 10;

/// The manager under whose name the oldest updates are put together.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// What nobody owns: the server writes these, or they name the object.
static NEVER_OWNED: LazyLock<Set<'static>> = LazyLock::new(|| {
    let metadata = [
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ];
    Set::of_fields(&["apiVersion", "kind", "metadata"]).union(Set::of_fields(&metadata))
});

/// What `set` owns of what can be owned.
pub(super) fn ownable<'a>(set: Set<'a>) -> Set<'a> {
    set.difference(&NEVER_OWNED)
}

/// The changes that count for owners.
fn counted(changes: Changes<'_>) -> Changes<'_> {
    Changes { written: ownable(changes.written), removed: ownable(changes.removed), nameless: changes.nameless }
}

/// The entries after `new` took the place of `live` (`None` at a create). Both are the object as it is stored in
/// the version that the writer speaks, after defaulting; `managed` is what [`super::starting_entries`] gave.
///
/// An object whose entries somebody cleared is not tracked until somebody applies to it.
pub fn update(target: &Target<'_>, live: Option<Text<'_>>, new: Text<'_>, managed: Vec<Entry>, writer: Writer<'_>) -> Vec<Entry> {
    if managed.is_empty() && live.is_some() {
        return managed;
    }
    record(target, live, new, managed, writer)
}

/// As [`update`], of a write that changed nothing but the field `name` of the object, from `live` to `new`. All of the entries
/// must speak the writer's version.
pub fn update_within<'a>(
    target: &Target<'a>,
    name: &'a str,
    (live, new): (Text<'a>, Text<'a>),
    managed: Vec<Entry>,
    writer: Writer<'_>,
) -> Vec<Entry> {
    if managed.is_empty() {
        return managed;
    }
    let changes = counted(Changes::within(target.schema, name, live, new).without(target.reset));
    if changes.nameless { Vec::new() } else { settle(managed, changes, &[], writer) }
}

/// As [`update`], whether or not the object is tracked.
pub(super) fn record(target: &Target<'_>, live: Option<Text<'_>>, new: Text<'_>, managed: Vec<Entry>, writer: Writer<'_>) -> Vec<Entry> {
    if live.is_none() && managed.is_empty() {
        return made(target, new, writer).into_iter().collect();
    }
    let changes = counted(target.changes(live, new));
    if changes.nameless {
        // Who owns what cannot be said any more, of anything in the object.
        return Vec::new();
    }
    if changes.is_empty() {
        return managed.into_iter().filter(|entry| is_served(target, entry, new, writer)).collect();
    }
    let views = target.views(&managed, live, new, writer.api_version);
    let seen: Vec<_> = views.iter().map(|view| (view.api_version.as_str(), view.changes())).collect();
    settle(managed, changes, &seen, writer)
}

/// The entries after these changes, which are `seen` so in other versions; entries of further versions are dropped.
fn settle(managed: Vec<Entry>, changes: Changes<'_>, seen: &[(&str, Changes<'_>)], writer: Writer<'_>) -> Vec<Entry> {
    if changes.is_empty() {
        return managed;
    }
    let mut entries = Vec::with_capacity(managed.len() + 1);
    let mut own = None;
    for entry in managed {
        if entry.is_of(writer, Operation::Update) {
            own = Some(entry);
        } else if entry.api_version == writer.api_version {
            entries.extend(without_changed(entry, &changes));
        } else if let Some((_, changes)) = seen.iter().find(|(version, _)| *version == entry.api_version) {
            entries.extend(without_changed(entry, changes));
        }
    }
    entries.extend(grown(own, changes, writer));
    entries.sort_by(Entry::order);
    cap(&mut entries);
    entries
}

/// The maker's entry for an object in which nobody owns anything.
fn made(target: &Target<'_>, new: Text<'_>, writer: Writer<'_>) -> Option<Entry> {
    // All of it is walked, so that it is better read once.
    let tape = Tape::read(new.as_str())?;
    let fields = encode_made(target.schema, tape.root(), ButFor { never: &NEVER_OWNED, reset: target.reset })?;
    Some(Entry::new(writer, Operation::Update, Fields::encoded(fields)))
}

/// Whether there is a version to read what an entry owns by. Entries of others are dropped with the next write.
fn is_served(target: &Target<'_>, entry: &Entry, object: Text<'_>, writer: Writer<'_>) -> bool {
    entry.api_version == writer.api_version || target.versions.convert(object, &entry.api_version).is_some()
}

/// The writer's entry after the write.
fn grown(own: Option<Entry>, changes: Changes<'_>, writer: Writer<'_>) -> Option<Entry> {
    let written = changes.written;
    let Some(own) = own else {
        return Fields::of(&written).map(|fields| Entry::new(writer, Operation::Update, fields));
    };
    // Removing alone does not bring the entry up to date.
    let time = if written.is_empty() { own.time.clone() } else { Some(writer.time()) };
    let known = own.fields.count_common(&written).is_ok_and(|common| common == written.len());
    if known && own.fields.count_common(&changes.removed).is_ok_and(|common| common == 0) {
        return Some(Entry { time, ..own });
    }
    // A set that cannot be read counts for nothing.
    let fields = own.fields.edited(&changes.removed, &written).unwrap_or_else(|_| Fields::of(&written));
    fields.map(|fields| Entry { fields, time, ..own })
}

/// Somebody else's entry after the write: what was changed is no longer theirs.
pub(super) fn without_changed(entry: Entry, changes: &Changes<'_>) -> Option<Entry> {
    let written = entry.fields.count_common(&changes.written).ok()?;
    let removed = entry.fields.count_common(&changes.removed).ok()?;
    if written + removed == 0 {
        return Some(entry);
    }
    let lost = changes.written.clone().union(changes.removed.clone());
    let fields = entry.fields.edited(&lost, &Set::new()).ok()?;
    fields.map(|fields| Entry { fields, ..entry })
}

/// Puts the oldest updates of each version together while there are too many. `entries` are sorted.
fn cap(entries: &mut Vec<Entry>) {
    let updates = |entries: &[Entry]| entries.iter().filter(|entry| entry.operation == Operation::Update).count();
    let mut next = entries.len() - updates(entries);
    while updates(entries) > MAX_UPDATE_ENTRIES && next < entries.len() {
        let version = entries[next].api_version.clone();
        let first = entries[..next].iter().position(|entry| entry.operation == Operation::Update && entry.api_version == version);
        let Some(first) = first else {
            next += 1;
            continue;
        };
        let newer = entries.remove(next);
        let bucket = &mut entries[first];
        let both = match (bucket.fields.set(), newer.fields.set()) {
            (Ok(old), Ok(new)) => Fields::of(&old.union(new)),
            _ => None,
        };
        bucket.fields = both.unwrap_or_else(|| newer.fields.clone());
        bucket.manager = ANCIENT_CHANGES.into();
        bucket.subresource = String::new();
        bucket.time = newer.time;
    }
    entries.sort_by(Entry::order);
}
