//! PodTemplate: a template of pods by itself.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplate;
use machinery::field::{Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::pod::{default_pod_template, drop_gated_in_template, validate_pod_template, warnings_of_template};
use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

pub struct PodTemplates;

impl Kind for PodTemplates {
    type Object = PodTemplate;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "podtemplates";
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Containers", "The containers' names."),
        Column::text("Images", "The containers' images."),
        Column::text("Pod Labels", "The labels that pods get."),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(template: &mut PodTemplate) {
        default_pod_template(template.template.get_or_insert_default());
    }

    fn drop_unkept(template: &mut PodTemplate) {
        template.template.iter_mut().for_each(drop_gated_in_template);
    }

    fn prepare_create(_cx: &Context<'_>, template: &mut PodTemplate) {
        template.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, template: &PodTemplate) -> Errors {
        validate(template)
    }

    fn warnings_create(template: &PodTemplate) -> Vec<String> {
        warnings(template)
    }

    fn update() -> &'static dyn UpdateStrategy<PodTemplate> {
        &Update
    }

    fn row(template: &PodTemplate, _now: Timestamp) -> Vec<Value> {
        let inner = template.template.as_ref();
        let shown = inner.and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.as_ref());
        let [containers, images] = columns::containers_and_images(inner);
        vec![columns::name(&template.metadata), containers, images, json!(columns::labels(shown))]
    }
}

fn validate(template: &PodTemplate) -> Errors {
    validate_pod_template(&Path::new("template"), &template.template.clone().unwrap_or_default())
}

fn warnings(template: &PodTemplate) -> Vec<String> {
    template.template.as_ref().map(|inner| warnings_of_template(&Path::new("template"), inner)).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<PodTemplate> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PodTemplate, old: &PodTemplate) {
        if new.template != old.template {
            new.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &PodTemplate, _old: &PodTemplate) -> Errors {
        validate(new)
    }

    fn warnings(&self, new: &PodTemplate, old: &PodTemplate) -> Vec<String> {
        if new.metadata.generation == old.metadata.generation { Vec::new() } else { warnings(new) }
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }
}
