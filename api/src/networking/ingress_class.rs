//! IngressClass: which controller implements an Ingress, and with what parameters.

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference, IngressClassSpec};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use serde_json::{Value, json};

use super::{GROUP, check_reference};
use crate::apps::bump_generation;
use crate::columns::{self, NONE};
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{validate, zero};

const MOST_CONTROLLER_BYTES: usize = 250;
/// Marks the class of Ingresses that name none.
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

pub struct IngressClasses;

impl Kind for IngressClasses {
    type Object = IngressClass;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "ingressclasses";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Controller", "Who implements the class."),
        Column::text("Parameters", "The object with its parameters."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(class: &mut IngressClass) {
        let spec = zero::keep(&mut class.spec);
        zero::omit(&mut spec.controller);
        if let Some(parameters) = &mut spec.parameters {
            parameters.scope.get_or_insert_with(|| "Cluster".to_owned());
        }
    }

    fn prepare_create(_cx: &Context<'_>, class: &mut IngressClass) {
        class.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, class: &IngressClass) -> Errors {
        check(class)
    }

    fn update() -> &'static dyn UpdateStrategy<IngressClass> {
        &Update
    }

    fn row(class: &IngressClass, now: Timestamp) -> Vec<Value> {
        let none = IngressClassSpec::default();
        let spec = class.spec.as_ref().unwrap_or(&none);
        let parameters = spec.parameters.as_ref().map_or_else(
            || NONE.to_owned(),
            |p| match &p.api_group {
                Some(group) => format!("{}.{group}/{}", p.kind, p.name),
                None => format!("{}/{}", p.kind, p.name),
            },
        );
        let name = class.metadata.name.as_deref().unwrap_or_default();
        let annotation = class.metadata.annotations.as_ref().and_then(|a| a.get(DEFAULT_ANNOTATION));
        let name = if annotation.is_some_and(|value| value == "true") { format!("{name} (default)") } else { name.to_owned() };
        vec![json!(name), json!(spec.controller.as_deref().unwrap_or_default()), json!(parameters), columns::age(&class.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<IngressClass> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut IngressClass, old: &IngressClass) {
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &IngressClass, _old: &IngressClass) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &IngressClass, old: &IngressClass) -> Errors {
        let controller = |class: &IngressClass| class.spec.as_ref().and_then(|s| s.controller.clone());
        validate::immutable(&Path::new("spec").child("controller"), &controller(new), &controller(old))
    }
}

fn check(class: &IngressClass) -> Errors {
    let none = IngressClassSpec::default();
    let spec = class.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let controller = spec.controller.as_deref().unwrap_or_default();
    let controller_path = path.child("controller");
    if controller.len() > MOST_CONTROLLER_BYTES {
        errors.push(Error::too_long(&controller_path, MOST_CONTROLLER_BYTES));
    }
    errors.extend(validate::domain_path(&controller_path, controller));
    if let Some(parameters) = &spec.parameters {
        errors.extend(check_parameters(&path.child("parameters"), parameters));
    }
    errors
}

fn check_parameters(path: &Path, parameters: &IngressClassParametersReference) -> Errors {
    let mut errors = check_reference(path, parameters.api_group.as_deref(), &parameters.kind, &parameters.name);
    let namespace_path = path.child("namespace");
    match (parameters.scope.as_deref(), parameters.namespace.as_deref()) {
        (None, _) => errors.push(Error::required(&path.child("scope"), "")),
        (Some("Cluster"), Some(_)) => errors.push(Error::forbidden(&namespace_path, "when `scope` is 'Cluster'")),
        (Some("Namespace"), None) => errors.push(Error::required(&namespace_path, "when `scope` is 'Namespace'")),
        (Some("Namespace"), Some(namespace)) => {
            errors.extend(validate::complaints(&namespace_path, namespace, names::dns1123_label(namespace, false)));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => errors.push(Error::not_supported(&path.child("scope"), other, &["Cluster", "Namespace"])),
    }
    errors
}
