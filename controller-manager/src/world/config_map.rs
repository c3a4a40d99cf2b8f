//! [`ConfigMapRow`]: a ConfigMap's metadata, and the data of the one ConfigMap that a controller publishes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::row::{Header, Interner, Row};
use crate::controllers::root_ca;

pub struct ConfigMapRow {
    header: Header,
    /// Kept for the published root certificate alone.
    pub data: Option<Box<BTreeMap<String, String>>>,
}

impl Row for ConfigMapRow {
    type Source = ConfigMap;

    fn project(source: &ConfigMap, intern: &Interner) -> Self {
        let published = source.metadata.name.as_deref() == Some(root_ca::NAME);
        Self { header: Header::of(&source.metadata, intern), data: published.then(|| Box::new(source.data.clone().unwrap_or_default())) }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}
