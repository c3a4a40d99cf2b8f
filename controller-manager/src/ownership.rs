//! Who controls what: adoption of matching objects that nobody controls, release of those that match no more, and
//! the owner references of new objects.

use std::sync::Arc;

use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use crate::plan::{Guard, Plan, Write, named};
use crate::world::{Labels, Row, Table};

/// The reference that marks `owner` as the controller of an object.
pub fn controller_reference<T: Row>(owner: &T) -> OwnerReference {
    OwnerReference {
        api_version: T::Source::API_VERSION.to_owned(),
        kind: T::Source::KIND.to_owned(),
        name: owner.header().name().to_owned(),
        uid: owner.header().uid.to_string(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The rows that `owner` controls among those that `candidate` admits. Orphans that `selects` picks are adopted, and
/// counted at once; owned rows that it no longer picks are released. An owner that is being deleted does neither.
pub fn claim<O: Row, T: Row>(
    table: &Table<T>,
    owner: &O,
    selects: &dyn Fn(&Labels) -> bool,
    candidate: &dyn Fn(&T) -> bool,
    plan: &mut Plan,
) -> Vec<Arc<T>> {
    let head = owner.header();
    let mut claimed = Vec::new();
    for row in table.controlled_by(&head.uid).filter(|row| candidate(row)) {
        if selects(&row.header().labels) {
            claimed.push(row.clone());
        } else if !head.is_terminating() {
            plan.write(release(&**row, &head.uid));
        }
    }
    if head.is_terminating() {
        return claimed;
    }
    let orphans = table.uncontrolled(head.namespace());
    for row in orphans.filter(|row| !row.header().is_terminating() && candidate(row) && selects(&row.header().labels)) {
        plan.write(adopt(owner, &**row));
        claimed.push(row.clone());
    }
    claimed
}

/// Makes `owner` the controller of `row`. The list of owners is replaced, and with it the version is checked.
pub fn adopt<O: Row, T: Row>(owner: &O, row: &T) -> Write {
    let mut owners = row.header().owners.to_vec();
    owners.retain(|known| known.uid != *owner.header().uid);
    owners.push(controller_reference(owner));
    set_owners(row, &owners).guarded(Guard::Alive(named(owner)))
}

/// Takes the owner of this uid from the row's owners.
pub fn release<T: Row>(row: &T, owner_uid: &str) -> Write {
    let mut owners = row.header().owners.to_vec();
    owners.retain(|known| known.uid != owner_uid);
    set_owners(row, &owners)
}

fn set_owners<T: Row>(row: &T, owners: &[OwnerReference]) -> Write {
    let owners = if owners.is_empty() { json!(null) } else { json!(owners) };
    let version = row.header().version.to_string();
    Write::patch(row, json!({"metadata": {"ownerReferences": owners, "resourceVersion": version}}))
}
