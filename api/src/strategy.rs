//! What a write may change: strategies are pure functions from the old object and the new one to the stored one.
//! [`UpdateStrategy`] serves the main resource's updates and the subresources that are further views of the same
//! stored object (`status`, `resize`, `ephemeralcontainers`, `finalize`…).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::Errors;
use machinery::objectmeta::Repeated;

/// Who writes, and when. Everything that a strategy may know besides the objects.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    pub now: Timestamp,
    pub user: &'a UserInfo,
}

/// An authenticated caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// An update of the stored object under one view of it.
pub trait UpdateStrategy<O>: Send + Sync + 'static {
    /// Puts back what this view may not change (from `old`) and sets what the system derives (generation…).
    /// Metadata that no writer may change has been restored before.
    fn prepare(&self, cx: &Context<'_>, new: &mut O, old: &O);

    /// Everything wrong with the change. Both objects are defaulted and prepared; metadata is validated elsewhere.
    fn validate(&self, cx: &Context<'_>, new: &O, old: &O) -> Errors;

    /// What of that is wrong with the change rather than with the new state, where metadata is looked at in between.
    fn validate_change(&self, _new: &O, _old: &O) -> Errors {
        Errors::new()
    }

    /// Warnings that the client is shown.
    fn warnings(&self, _new: &O, _old: &O) -> Vec<String> {
        Vec::new()
    }

    /// What of the metadata this view checks once more, as far as clients can tell by the causes.
    fn repeated_metadata(&self) -> Repeated {
        Repeated::default()
    }

    /// Field paths (`status`, `metadata.labels`) that a writer under this view does not come to own, since
    /// `prepare` puts them back.
    fn reset_fields(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Puts back the metadata that writers of a status leave alone, where a kind holds them to that.
pub(crate) fn keep_metadata(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.labels.clone_from(&old.labels);
    new.annotations.clone_from(&old.annotations);
    new.finalizers.clone_from(&old.finalizers);
    new.owner_references.clone_from(&old.owner_references);
}
