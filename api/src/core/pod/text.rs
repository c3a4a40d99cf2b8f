//! Parts of pods as JSON, for those who keep them by themselves, or tell them apart. The code that writes and reads them is
//! in this crate anyway, with that of whole pods; where it was wanted it would be a second time.

use k8s_openapi::api::core::v1::{PodStatus, PodTemplateSpec};
use machinery::json::to_typed;
use serde::Serialize;
use serde_json::Value;

use crate::object::Compact;

pub fn template_json(template: &PodTemplateSpec) -> Vec<u8> {
    json(template)
}

pub fn status_json(status: &PodStatus) -> Vec<u8> {
    json(status)
}

/// None: the value is no template.
pub fn template_of(value: &Value) -> Option<PodTemplateSpec> {
    to_typed(value).ok()
}

fn json(part: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::new();
    // The types have string keys, and writing to a Vec cannot fail.
    let _ = part.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Compact));
    json
}
