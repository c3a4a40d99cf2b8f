//! Field management: who owns which fields of an object, and server-side apply, which merges what an applier wants
//! into what there is without trampling on others. Specified by upstream's structured-merge-diff and its
//! `metadata.managedFields`.
//!
//! Every write passes here: [`update`] after a create, an update or a patch has its final object, [`apply`] to make
//! the final object of an apply. Both work on JSON beside a [`Schema`]; neither looks at
//! `metadata.managedFields` in the objects, entries go in and out on their own.

mod codec;
mod compare;
mod conflict;
mod entry;
mod extract;
mod list;
mod made;
mod merge;
mod server_side;
mod set;
mod update;
mod word;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use compare::Changes;
pub use conflict::{Conflict, Error};
pub use entry::{Entry, Fields, Malformed, Operation, Writer, keep_own_time, keep_times, read_entries, starting_entries, write_entries};
pub use extract::{Mismatch, fields_of};
pub use merge::merge;
pub use server_side::{Applied, apply};
pub use set::{Element, Set, Step};
pub use update::{update, update_within};

use crate::schema::Schema;
use crate::text::Text;

/// What is written to: a type in one version, by one strategy.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub schema: &'a Schema,
    /// Fields that the strategy resets (the status, in writes to the object itself): nobody comes to own them here.
    pub reset: &'a Set<'a>,
    pub versions: &'a dyn Versions,
}

/// The versions in which objects of a kind can be seen, as managers may have written in another version than the
/// one at hand.
pub trait Versions {
    /// The object in another version, with that version's schema; `None` where it is not served (any more).
    fn convert(&self, object: Text<'_>, api_version: &str) -> Option<(&Schema, String)>;
}

/// The versions of a kind that is served in one only.
#[derive(Clone, Copy, Debug)]
pub struct OneVersion;

impl Versions for OneVersion {
    fn convert(&self, _: Text<'_>, _: &str) -> Option<(&Schema, String)> {
        None
    }
}

impl<'a> Target<'a> {
    fn changes<'v>(&self, live: Option<Text<'v>>, new: Text<'v>) -> Changes<'v>
    where
        'a: 'v,
    {
        Changes::between(self.schema, live, new).without(self.reset)
    }

    /// The write from `live` to `new` in the other versions that `entries` speak and that are served.
    fn views(&self, entries: &[Entry], live: Option<Text<'_>>, new: Text<'_>, api_version: &str) -> Vec<View<'a>> {
        let mut views: Vec<View<'a>> = Vec::new();
        for other in entries.iter().map(|entry| &entry.api_version).filter(|other| *other != api_version) {
            if views.iter().all(|view| view.api_version != *other) {
                views.extend(self.view(live, new, other));
            }
        }
        views
    }

    fn view(&self, live: Option<Text<'_>>, new: Text<'_>, api_version: &str) -> Option<View<'a>> {
        let (schema, new) = self.versions.convert(new, api_version)?;
        let live = match live {
            Some(live) => Some(self.versions.convert(live, api_version)?.1),
            None => None,
        };
        Some(View { api_version: api_version.to_owned(), target: Target { schema, ..*self }, live, new })
    }
}

/// A write as seen in another version.
struct View<'a> {
    api_version: String,
    target: Target<'a>,
    live: Option<String>,
    new: String,
}

impl View<'_> {
    fn changes(&self) -> Changes<'_> {
        self.target.changes(self.live.as_deref().map(Text::new), Text::new(&self.new))
    }
}
