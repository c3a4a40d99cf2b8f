//! CustomResourceDefinition: a resource that this server serves because somebody described it. What the
//! description may say is `validation/`'s business; what it means for objects, `machinery::structural`'s.

mod defaults;
mod validation;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition as Condition, CustomResourceDefinitionStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::field::Errors;
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::GROUP;
use crate::columns;
use crate::kind::{Column, Kind, Names, Propagation, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy};
use crate::zero;

/// Keeps a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The types of a definition's conditions.
pub mod condition {
    pub const ESTABLISHED: &str = "Established";
    pub const NAMES_ACCEPTED: &str = "NamesAccepted";
    pub const TERMINATING: &str = "Terminating";
    pub const NON_STRUCTURAL: &str = "NonStructuralSchema";
    pub const APPROVAL: &str = "KubernetesAPIApprovalPolicyConformant";
}

pub struct CustomResourceDefinitions;

impl Kind for CustomResourceDefinitions {
    type Object = CustomResourceDefinition;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short: &["crd", "crds"],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "apiextensions.k8s.io/customresourcedefinitions";
    const STATUS_HAS_TABLE: bool = false;
    const DEFAULT_PROPAGATION: Option<Propagation> = None;
    const FINALIZER_DOMAINS: bool = false;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::date("Created At", "When the definition was created.")];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(definition: &mut CustomResourceDefinition) {
        defaults::fill(definition);
    }

    fn prepare_create(_cx: &Context<'_>, definition: &mut CustomResourceDefinition) {
        definition.metadata.generation = Some(1);
        definition.status = None;
        defaults::keep_status(definition);
        note_stored_version(definition);
    }

    fn validate_create(_cx: &Context<'_>, definition: &CustomResourceDefinition) -> Errors {
        validation::check_new(definition)
    }

    fn warnings_create(definition: &CustomResourceDefinition) -> Vec<String> {
        format_warnings(definition, None)
    }

    fn update() -> &'static dyn UpdateStrategy<CustomResourceDefinition> {
        &Update
    }

    fn subresources() -> Vec<Subresource<CustomResourceDefinition>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(definition: &CustomResourceDefinition, _now: Timestamp) -> Vec<Value> {
        let created = definition.metadata.creation_timestamp.as_ref();
        vec![columns::name(&definition.metadata), json!(created.map(|Time(at)| format!("{at:.0}")))]
    }

    /// The definition says that it is going, and stays until its objects have gone.
    fn begin_deletion(definition: &mut CustomResourceDefinition, now: Time) {
        if definition.metadata.deletion_timestamp.is_some() {
            return;
        }
        definition.metadata.deletion_timestamp = Some(now.clone());
        let finalizers = definition.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|name| name == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
        let pending = Condition {
            type_: condition::TERMINATING.to_owned(),
            status: "True".to_owned(),
            reason: Some("InstanceDeletionPending".to_owned()),
            message: Some("the definition is to be deleted; its objects will be deleted first".to_owned()),
            last_transition_time: Some(now),
            ..Condition::default()
        };
        set_condition(zero::keep(&mut definition.status), pending);
    }
}

/// Whether the definition has a condition of this type that is true.
pub fn is_true(definition: &CustomResourceDefinition, kind: &str) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Sets a condition, in the place of one of the same type. The time of the last transition stays unless the
/// condition's status has changed.
pub fn set_condition(status: &mut CustomResourceDefinitionStatus, mut condition: Condition) {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|known| known.type_ == condition.type_) {
        None => conditions.push(condition),
        Some(known) => {
            if known.status == condition.status {
                condition.last_transition_time = known.last_transition_time.take();
            }
            *known = condition;
        }
    }
}

/// Objects may be stored in the storage version from now on, and until somebody has rewritten them all.
fn note_stored_version(definition: &mut CustomResourceDefinition) {
    let Some(storage) = definition.spec.versions.iter().find(|version| version.storage).map(|version| version.name.clone()) else { return };
    let stored = defaults::keep_status(definition).stored_versions.get_or_insert_default();
    if !stored.contains(&storage) {
        stored.push(storage);
    }
}

/// New formats in schemas that nobody knows, and that are therefore not checked.
fn format_warnings(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Vec<String> {
    let known = old.map(validation::unknown_formats).unwrap_or_default();
    let unknown = validation::unknown_formats(new).into_iter().filter(|format| !known.contains(format));
    unknown.map(|format| format!("unrecognized format {format:?}")).collect()
}

struct Update;

impl UpdateStrategy<CustomResourceDefinition> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut CustomResourceDefinition, old: &CustomResourceDefinition) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            new.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
        note_stored_version(new);
    }

    fn validate(&self, _cx: &Context<'_>, new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Errors {
        validation::check_update(new, old)
    }

    fn warnings(&self, new: &CustomResourceDefinition, old: &CustomResourceDefinition) -> Vec<String> {
        format_warnings(new, Some(old))
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// Conditions, accepted names and stored versions. Metadata can be written here too: that is how the finalizer is
/// taken away.
struct Status;

impl UpdateStrategy<CustomResourceDefinition> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut CustomResourceDefinition, old: &CustomResourceDefinition) {
        new.spec.clone_from(&old.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &CustomResourceDefinition, _old: &CustomResourceDefinition) -> Errors {
        validation::check_status(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}
