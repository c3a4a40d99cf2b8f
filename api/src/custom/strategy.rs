//! How custom objects change: the main resource, and the status where it is one of its own.

use std::collections::BTreeSet;

use machinery::field::Errors;
use machinery::objectmeta::Repeated;

use super::object::{custom, custom_mut};
use super::resource::Parts;
use crate::object::Object;
use crate::resource::ErasedUpdate;
use crate::strategy::Context;
use std::sync::Arc;

/// Updates of the object itself.
pub(super) struct Main(pub(super) Arc<Parts>);

impl ErasedUpdate for Main {
    fn prepare(&self, _cx: &Context<'_>, new: &mut dyn Object, old: &dyn Object) {
        let (new, old) = (custom_mut(new), custom(old));
        if self.0.has_status {
            new.set_field("status", old.field("status").cloned());
        }
        self.0.drop_unstored(new);
        if new.content() != old.content() {
            new.meta.generation = Some(old.meta.generation.unwrap_or(0) + 1);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &dyn Object, old: &dyn Object) -> Errors {
        self.0.validate(custom(new), Some(custom(old)))
    }

    fn warnings(&self, new: &dyn Object, old: &dyn Object) -> Vec<String> {
        finalizer_warnings(new, Some(old))
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        if self.0.has_status { &["status"] } else { &[] }
    }
}

/// Updates of the status alone.
pub(super) struct Status(pub(super) Arc<Parts>);

impl ErasedUpdate for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut dyn Object, old: &dyn Object) {
        let (new, old) = (custom_mut(new), custom(old));
        let status = new.field("status").cloned();
        *new = old.clone();
        new.set_field("status", status);
        self.0.drop_unstored(new);
    }

    fn validate(&self, _cx: &Context<'_>, new: &dyn Object, old: &dyn Object) -> Errors {
        self.0.validate_status(custom(new), custom(old))
    }

    fn warnings(&self, _new: &dyn Object, _old: &dyn Object) -> Vec<String> {
        Vec::new()
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

/// New finalizers without a domain may collide with somebody else's.
pub(super) fn finalizer_warnings(new: &dyn Object, old: Option<&dyn Object>) -> Vec<String> {
    const KNOWN: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let known: Vec<&String> = old.into_iter().flat_map(|old| old.meta().finalizers.iter().flatten()).collect();
    let added: BTreeSet<&String> = new.meta().finalizers.iter().flatten().filter(|name| !known.contains(name)).collect();
    let bare = added.into_iter().filter(|name| !name.contains('/') && !KNOWN.contains(&name.as_str()));
    bare.map(|name| format!("metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name, which nobody else uses by accident"))
        .collect()
}
