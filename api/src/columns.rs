//! Columns and cells that many kinds share.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use crate::kind::Column;

/// What a cell shows where there is no value.
pub(crate) const NONE: &str = "<none>";

pub(crate) const CREATED_AT: Column = Column::date("Created At", "When the object was created.");
pub(crate) const CONTAINERS: Column = Column::text("Containers", "Names of the containers in the template.").wide();
pub(crate) const IMAGES: Column = Column::text("Images", "Images of the containers in the template.").wide();
pub(crate) const SELECTOR: Column = Column::text("Selector", "Which pods belong to the object.").wide();

pub(crate) fn name(meta: &ObjectMeta) -> Value {
    json!(meta.name.as_deref().unwrap_or_default())
}

pub(crate) fn age(meta: &ObjectMeta, now: Timestamp) -> Value {
    json!(machinery::table::age(meta, now))
}

/// How long ago, or [`NONE`].
pub(crate) fn since(time: Option<&Time>, now: Timestamp) -> String {
    time.map_or_else(|| NONE.to_owned(), |t| machinery::table::human_duration(now.as_second() - t.0.as_second()))
}

/// The cell of a column of type `date`.
pub(crate) fn created_at(meta: &ObjectMeta) -> Value {
    json!(meta.creation_timestamp)
}

/// The text, or [`NONE`] where it is empty.
pub(crate) fn or_none(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { NONE.to_owned() } else { text }
}

/// The cells of [`CONTAINERS`] and [`IMAGES`].
pub(crate) fn containers_and_images(template: Option<&PodTemplateSpec>) -> [Value; 2] {
    let containers = template.and_then(|t| t.spec.as_ref()).map_or(&[][..], |spec| spec.containers.as_slice());
    let names: Vec<&str> = containers.iter().map(|c| c.name.as_str()).collect();
    let images: Vec<&str> = containers.iter().map(|c| c.image.as_deref().unwrap_or_default()).collect();
    [json!(names.join(",")), json!(images.join(","))]
}

/// Labels as `key=value`, joined by commas.
pub(crate) fn join_labels(labels: Option<&BTreeMap<String, String>>) -> String {
    let pairs: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// [`join_labels`], or [`NONE`].
pub(crate) fn labels(labels: Option<&BTreeMap<String, String>>) -> String {
    or_none(join_labels(labels))
}

/// Addresses of a load balancer: each once, in order.
pub(crate) fn addresses<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: BTreeSet<&str> = all.collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

/// The first texts, and how many more there are.
pub(crate) fn first_few(all: &[String], most: usize) -> String {
    match all.len().checked_sub(most) {
        Some(more @ 1..) => format!("{} + {more} more...", all[..most].join(",")),
        _ => all.join(","),
    }
}
