//! RuntimeClass: a container runtime that pods can ask for, what it costs and which nodes have it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::api::node::v1::RuntimeClass;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{names, objectmeta};
use serde_json::{Value, json};

use crate::columns;
use crate::core::node_labels;
use crate::core::pod::{validate_limits, validate_tolerations};
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::{complaints, immutable, required};

pub struct RuntimeClasses;

impl Kind for RuntimeClasses {
    type Object = RuntimeClass;

    const NAMES: Names = Names {
        group: "node.k8s.io",
        version: "v1",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "runtimeclasses";
    const FINALIZER_DOMAINS: bool = false;
    const CREATE_ON_UPDATE: bool = true;
    const UNCONDITIONAL_UPDATE: bool = false;
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Handler", "What the nodes' runtimes call it."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn validate_create(_cx: &Context<'_>, class: &RuntimeClass) -> Errors {
        validate(class)
    }

    fn warnings_create(class: &RuntimeClass) -> Vec<String> {
        warnings(class)
    }

    fn update() -> &'static dyn UpdateStrategy<RuntimeClass> {
        &Update
    }

    fn row(class: &RuntimeClass, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&class.metadata), json!(class.handler), columns::age(&class.metadata, now)]
    }
}

fn validate(class: &RuntimeClass) -> Errors {
    let handler = Path::new("handler");
    let mut errors = required(&handler, &class.handler);
    if errors.is_empty() {
        errors.extend(complaints(&handler, &class.handler, names::dns1123_label(&class.handler, false)));
    }
    if let Some(fixed) = class.overhead.as_ref().and_then(|o| o.pod_fixed.as_ref()) {
        errors.extend(validate_limits(&Path::new("overhead"), fixed));
    }
    if let Some(scheduling) = &class.scheduling {
        let path = Path::new("scheduling");
        errors.extend(objectmeta::validate_labels(scheduling.node_selector.as_ref(), &path.child("nodeSelector")));
        let tolerations = scheduling.tolerations.as_deref().unwrap_or_default();
        let at = path.child("tolerations");
        errors.extend(validate_tolerations(&at, tolerations));
        let same =
            |a: &Toleration, b: &Toleration| (&a.key, &a.operator, &a.value, &a.effect) == (&b.key, &b.operator, &b.value, &b.effect);
        for (i, toleration) in tolerations.iter().enumerate() {
            if tolerations[..i].iter().any(|before| same(before, toleration)) {
                errors.push(Error::duplicate(&at.index(i), toleration));
            }
        }
    }
    errors
}

fn warnings(class: &RuntimeClass) -> Vec<String> {
    let labels = class.scheduling.as_ref().and_then(|scheduling| scheduling.node_selector.as_ref());
    node_labels::warn_of_map(&Path::new("scheduling").child("nodeSelector"), labels)
}

struct Update;

impl UpdateStrategy<RuntimeClass> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut RuntimeClass, _old: &RuntimeClass) {}

    fn validate(&self, _cx: &Context<'_>, new: &RuntimeClass, _old: &RuntimeClass) -> Errors {
        validate(new)
    }

    fn validate_change(&self, new: &RuntimeClass, old: &RuntimeClass) -> Errors {
        immutable(&Path::new("handler"), &new.handler, &old.handler)
    }

    fn warnings(&self, new: &RuntimeClass, _old: &RuntimeClass) -> Vec<String> {
        warnings(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}
