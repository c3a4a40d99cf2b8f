//! ResourceClaimTemplate: what the claims are made from that pods have to themselves.

use jiff::Timestamp;
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use machinery::field::{Errors, Path};
use machinery::objectmeta::Repeated;
use serde_json::Value;

use super::claims;
use crate::kind::{Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};
use crate::{columns, validate, zero};

pub struct ResourceClaimTemplates;

impl Kind for ResourceClaimTemplates {
    type Object = ResourceClaimTemplate;

    const NAMES: Names = super::names("ResourceClaimTemplate", "resourceclaimtemplates", "resourceclaimtemplate");
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "resourceclaimtemplates";
    const DELETE_RETURNS_OBJECT: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn default(template: &mut ResourceClaimTemplate) {
        zero::keep(&mut template.spec.metadata);
        claims::default(&mut template.spec.spec);
    }

    fn prepare_create(_cx: &Context<'_>, template: &mut ResourceClaimTemplate) {
        claims::forget_empty(&mut template.spec.spec);
    }

    fn validate_create(_cx: &Context<'_>, template: &ResourceClaimTemplate) -> Errors {
        check(template)
    }

    fn update() -> &'static dyn UpdateStrategy<ResourceClaimTemplate> {
        &Update
    }

    fn row(template: &ResourceClaimTemplate, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&template.metadata), columns::age(&template.metadata, now)]
    }
}

struct Update;

impl UpdateStrategy<ResourceClaimTemplate> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ResourceClaimTemplate, _old: &ResourceClaimTemplate) {
        claims::forget_empty(&mut new.spec.spec);
    }

    fn validate(&self, _cx: &Context<'_>, new: &ResourceClaimTemplate, _old: &ResourceClaimTemplate) -> Errors {
        check(new)
    }

    fn validate_change(&self, new: &ResourceClaimTemplate, old: &ResourceClaimTemplate) -> Errors {
        validate::immutable(&Path::new("spec"), &new.spec, &old.spec)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::WholeThenChange
    }
}

fn check(template: &ResourceClaimTemplate) -> Errors {
    let path = Path::new("spec");
    let metadata = template.spec.metadata.iter();
    let mut errors: Errors = metadata.flat_map(|metadata| validate::template_metadata(&path.child("metadata"), metadata)).collect();
    errors.extend(claims::check(&path.child("spec"), &template.spec.spec));
    errors
}
