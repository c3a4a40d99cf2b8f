//! PriorityClass: a name for how much a pod matters; pods of a higher class may push lower ones aside.

use jiff::Timestamp;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{choice, immutable, text};

/// The classes that every cluster has, and their values.
pub const SYSTEM_CLASSES: [(&str, i32); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
/// Above this there are system classes only.
pub const HIGHEST_USER_PRIORITY: i32 = 1_000_000_000;

pub struct PriorityClasses;

impl Kind for PriorityClasses {
    type Object = PriorityClass;

    const NAMES: Names = Names {
        group: "scheduling.k8s.io",
        version: "v1",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short: &["pc"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "priorityclasses";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Value", "The priority of the pods."),
        Column::boolean("Global-Default", "Whether pods without a class are of this one."),
        Column::AGE,
        Column::text("PreemptionPolicy", "Whether the pods push lower ones aside."),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(class: &mut PriorityClass) {
        class.value.get_or_insert_default();
        class.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".to_owned());
    }

    fn prepare_create(_cx: &Context<'_>, class: &mut PriorityClass) {
        class.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, class: &PriorityClass) -> Errors {
        validate(class)
    }

    fn update() -> &'static dyn UpdateStrategy<PriorityClass> {
        &Update
    }

    fn row(class: &PriorityClass, now: Timestamp) -> Vec<Value> {
        vec![
            columns::name(&class.metadata),
            json!(class.value.unwrap_or_default()),
            json!(class.global_default.unwrap_or_default()),
            columns::age(&class.metadata, now),
            json!(text(&class.preemption_policy)),
        ]
    }
}

fn validate(class: &PriorityClass) -> Errors {
    let name = text(&class.metadata.name);
    let value = class.value.unwrap_or_default();
    let mut errors = Errors::new();
    if name.starts_with("system-") {
        let known = SYSTEM_CLASSES.contains(&(name, value)) && class.global_default != Some(true);
        if !known {
            let at = Path::new("metadata").child("name");
            errors.push(Error::forbidden(&at, "names that begin with system- are Kubernetes' own"));
        }
    } else if value > HIGHEST_USER_PRIORITY {
        errors.push(Error::forbidden(&Path::new("value"), format!("may be {HIGHEST_USER_PRIORITY} at most")));
    }
    if let Some(policy) = &class.preemption_policy {
        errors.extend(choice(&Path::new("preemptionPolicy"), policy, &["Never", "PreemptLowerPriority"]));
    }
    errors
}

struct Update;

impl UpdateStrategy<PriorityClass> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut PriorityClass, _old: &PriorityClass) {}

    fn validate(&self, _cx: &Context<'_>, new: &PriorityClass, old: &PriorityClass) -> Errors {
        let mut errors = Errors::new();
        if new.value != old.value {
            errors.push(Error::forbidden(&Path::new("value"), "cannot change"));
        }
        errors.extend(immutable(&Path::new("preemptionPolicy"), &new.preemption_policy, &old.preemption_policy));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}
