//! ControllerRevision: an immutable snapshot of a template that a StatefulSet or DaemonSet can return to.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use machinery::GroupVersion;
use machinery::field::{Error, Errors, Path};
use serde_json::{Value, json};

use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate;

pub struct ControllerRevisions;

impl Kind for ControllerRevisions {
    type Object = ControllerRevision;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "controllerrevisions";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Controller", "Whose revision it is."),
        Column::text("Revision", "Its number in the order of revisions."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(revision: &mut ControllerRevision) {
        // Data has to be an object; anything else counts as none.
        if revision.data.as_ref().is_some_and(|data| !data.0.is_object()) {
            revision.data = None;
        }
    }

    fn validate_create(_cx: &Context<'_>, revision: &ControllerRevision) -> Errors {
        let mut errors = check(revision);
        if revision.data.is_none() {
            errors.push(Error::required(&Path::new("data"), ""));
        }
        errors
    }

    fn update() -> &'static dyn UpdateStrategy<ControllerRevision> {
        &Update
    }

    fn row(revision: &ControllerRevision, now: Timestamp) -> Vec<Value> {
        let controller = revision.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let controller = controller.map_or_else(
            || columns::NONE.to_owned(),
            |owner| {
                let group = GroupVersion::parse(&owner.api_version).group;
                let kind = owner.kind.to_lowercase();
                if group.is_empty() { format!("{kind}/{}", owner.name) } else { format!("{kind}.{group}/{}", owner.name) }
            },
        );
        vec![columns::name(&revision.metadata), json!(controller), json!(revision.revision), columns::age(&revision.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<ControllerRevision> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut ControllerRevision, _old: &ControllerRevision) {}

    fn validate(&self, _cx: &Context<'_>, new: &ControllerRevision, old: &ControllerRevision) -> Errors {
        let mut errors = check(new);
        errors.extend(validate::immutable(&Path::new("data"), &new.data, &old.data));
        errors
    }
}

fn check(revision: &ControllerRevision) -> Errors {
    validate::non_negative(&Path::new("revision"), revision.revision)
}
