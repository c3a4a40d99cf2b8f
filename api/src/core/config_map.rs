//! ConfigMap: non-secret configuration data. An immutable one refuses changes of its data for good.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use machinery::field::{Error, Errors, Path};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

/// The largest sum of keys and values.
const MOST_BYTES: usize = 1 << 20;

pub struct ConfigMaps;

impl Kind for ConfigMaps {
    type Object = ConfigMap;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", singular: "configmap", short: &["cm"], categories: &[] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "configmaps";

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn validate_create(_cx: &Context<'_>, map: &ConfigMap) -> Errors {
        validate(map)
    }

    fn update() -> &'static dyn UpdateStrategy<ConfigMap> {
        &Update
    }

    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Data", "How many keys it holds."), Column::AGE];

    fn row(map: &ConfigMap, now: Timestamp) -> Vec<Value> {
        let keys = map.data.as_ref().map_or(0, |d| d.len()) + map.binary_data.as_ref().map_or(0, |d| d.len());
        vec![json!(map.metadata.name), json!(keys), json!(machinery::table::age(&map.metadata, now))]
    }
}

struct Update;

impl UpdateStrategy<ConfigMap> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut ConfigMap, _old: &ConfigMap) {}

    fn validate(&self, _cx: &Context<'_>, new: &ConfigMap, _old: &ConfigMap) -> Errors {
        validate(new)
    }

    fn validate_change(&self, new: &ConfigMap, old: &ConfigMap) -> Errors {
        const WHY: &str = "cannot change once `immutable` is set";
        if old.immutable != Some(true) {
            return Errors::new();
        }
        let mut errors = Errors::new();
        if new.immutable != Some(true) {
            errors.push(Error::forbidden(&Path::new("immutable"), WHY));
        }
        if new.data != old.data {
            errors.push(Error::forbidden(&Path::new("data"), WHY));
        }
        if new.binary_data != old.binary_data {
            errors.push(Error::forbidden(&Path::new("binaryData"), WHY));
        }
        errors
    }
}

fn validate(map: &ConfigMap) -> Errors {
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in map.data.iter().flatten() {
        let path = Path::new("data").key(key);
        errors.extend(machinery::names::config_map_key(key).into_iter().map(|why| Error::invalid(&path, key, why)));
        if map.binary_data.as_ref().is_some_and(|d| d.contains_key(key)) {
            errors.push(Error::invalid(&path, key, "the key is in binaryData too"));
        }
        bytes += value.len();
    }
    for (key, value) in map.binary_data.iter().flatten() {
        let path = Path::new("binaryData").key(key);
        errors.extend(machinery::names::config_map_key(key).into_iter().map(|why| Error::invalid(&path, key, why)));
        bytes += value.0.len();
    }
    if bytes > MOST_BYTES {
        // Kubernetes names no field here.
        errors.push(Error::too_long(&Path::new("[]"), MOST_BYTES));
    }
    errors
}
