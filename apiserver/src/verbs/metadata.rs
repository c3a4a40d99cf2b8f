//! Object metadata: what the system fills in, and what an update keeps although it leaves it out. What is wrong with
//! metadata, [`machinery::objectmeta`] says.

use api::Resource;
use api::kind::Scope;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use machinery::objectmeta::Rules;

/// The present time as `metadata` keeps it: to the second.
pub(crate) fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Sets what a new object gets from the system, and clears what its writer may not set.
pub(crate) fn fill_new(meta: &mut ObjectMeta, now: Timestamp) {
    meta.uid = Some(uuid::Uuid::new_v4().to_string());
    meta.creation_timestamp = Some(seconds(now));
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link = None;
    meta.resource_version = None;
    drop_empty(meta);
}

/// When owners are looked at that stand there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnersSeen {
    AsSent,
    AfterAdmission,
}

/// Drops owners that stand there twice, all the same; the warning for who sent them.
pub(crate) fn drop_repeated_owners(meta: &mut ObjectMeta, seen: OwnersSeen) -> Option<String> {
    let owners = meta.owner_references.as_mut().filter(|owners| owners.len() > 1)?;
    let mut repeated: Vec<String> = Vec::new();
    let mut kept: Vec<OwnerReference> = Vec::with_capacity(owners.len());
    for owner in std::mem::take(owners) {
        if !kept.contains(&owner) {
            kept.push(owner);
        } else if !repeated.contains(&owner.uid) {
            repeated.push(owner.uid);
        }
    }
    *owners = kept;
    let when = if seen == OwnersSeen::AfterAdmission { " after mutating admission" } else { "" };
    (!repeated.is_empty())
        .then(|| format!("metadata.ownerReferences names owners twice{when}, which are kept once: uid {}", repeated.join(", ")))
}

/// Puts back what an update leaves out or may not change without being told so.
pub(crate) fn carry_over(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.creation_timestamp = old.creation_timestamp.clone();
    new.generation = old.generation;
    if new.uid.as_deref().unwrap_or_default().is_empty() {
        new.uid.clone_from(&old.uid);
    }
    if new.deletion_timestamp.is_none() {
        new.deletion_timestamp = old.deletion_timestamp.clone();
    }
    if new.deletion_grace_period_seconds.is_none() {
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
    drop_empty(new);
}

/// Empty maps and lists are as good as absent, and are written that way.
fn drop_empty(meta: &mut ObjectMeta) {
    meta.labels.take_if(|m| m.is_empty());
    meta.annotations.take_if(|m| m.is_empty());
    meta.finalizers.take_if(|l| l.is_empty());
    meta.owner_references.take_if(|l| l.is_empty());
    meta.generate_name.take_if(|s| s.is_empty());
}

/// The rules by which a resource's metadata is validated.
pub(crate) fn rules<'r>(resource: &dyn Resource, name: &'r dyn Fn(&str, bool) -> Vec<String>) -> Rules<'r> {
    Rules { namespaced: resource.scope() == Scope::Namespaced, finalizer_domains: resource.finalizer_domains(), name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_what_it_leaves_out() {
        let old = ObjectMeta { uid: Some("1".into()), generation: Some(3), ..ObjectMeta::default() };
        let mut new = ObjectMeta { labels: Some([].into()), ..ObjectMeta::default() };
        carry_over(&mut new, &old);
        assert_eq!(new, old);
        let mut other = ObjectMeta { uid: Some("2".into()), ..ObjectMeta::default() };
        carry_over(&mut other, &old);
        assert_eq!(other.uid.as_deref(), Some("2"), "a foreign uid is for validation to find");
    }
}
