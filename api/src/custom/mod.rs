//! Custom resources: kinds that a cluster learns from CustomResourceDefinitions while it runs.
//!
//! - [`CustomResource`]: one served version of a definition, as the serving code sees every resource.
//! - [`Unstructured`]: its objects.
//! - `shape`: what the version's schema means for an object: pruning, defaults, validation, ownership.
//!
//! All versions of a definition are one stored object, in the storage version. Other versions differ from it in their
//! `apiVersion`, and in the fields that their schema knows.

mod columns;
pub mod intern;
pub mod jsonpath;
mod object;
mod resource;
mod scale;
mod shape;
mod strategy;

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, CustomResourceSubresources,
};

pub use object::Unstructured;
pub use resource::CustomResource;
use resource::Parts;

use self::columns::Columns;
use self::jsonpath::JsonPath;
use self::resource::Selectable;
use self::shape::Shape;
use crate::kind::{Names, Scope};

/// The verbs of a custom resource, in the order in which discovery lists them.
const VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Those of one whose definition is being deleted.
const VERBS_WHILE_TERMINATING: &[&str] = &["delete", "deletecollection", "get", "list", "watch"];

/// Why a definition cannot be served. Validation lets none of these pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no version is the storage version")]
    NoStorageVersion,
    #[error("version {0} has no schema")]
    NoSchema(String),
    #[error("the schema of version {version} cannot be used: {why}")]
    Schema { version: String, why: String },
}

/// The resources of a definition whose names have been accepted: one for each version that is served, and the storage
/// version first, served or not.
pub fn resources(definition: &CustomResourceDefinition) -> Result<Vec<Arc<CustomResource>>, Error> {
    let spec = &definition.spec;
    let storage = spec.versions.iter().find(|version| version.storage).ok_or(Error::NoStorageVersion)?;
    let common = Common { version: intern::text(&storage.name), shape: Arc::new(shape(storage)?), indexed: indexed(definition) };
    let others = spec.versions.iter().filter(|version| !version.storage && version.served);
    std::iter::once(storage)
        .chain(others)
        .map(|version| {
            let shape = if version.storage { common.shape.clone() } else { Arc::new(shape(version)?) };
            Ok(Arc::new(CustomResource::new(parts(definition, version, shape, &common))))
        })
        .collect()
}

/// What the versions of a definition share.
struct Common {
    /// The storage version, and its shape.
    version: &'static str,
    shape: Arc<Shape>,
    indexed: Arc<[Selectable]>,
}

/// The selectable fields of all versions.
fn indexed(definition: &CustomResourceDefinition) -> Arc<[Selectable]> {
    let mut indexed: Vec<Selectable> = Vec::new();
    for field in definition.spec.versions.iter().flat_map(|version| version.selectable_fields.iter().flatten()) {
        let name = intern::text(field.json_path.trim_start_matches('.'));
        if let Some(path) = JsonPath::parse(&field.json_path).filter(|_| indexed.iter().all(|known| known.name != name)) {
            indexed.push(Selectable { name, path });
        }
    }
    indexed.into()
}

fn shape(version: &CustomResourceDefinitionVersion) -> Result<Shape, Error> {
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = schema.ok_or_else(|| Error::NoSchema(version.name.clone()))?;
    Shape::new(schema).map_err(|why| Error::Schema { version: version.name.clone(), why })
}

fn parts(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion, shape: Arc<Shape>, common: &Common) -> Parts {
    let spec = &definition.spec;
    let accepted = definition.status.as_ref().and_then(|status| status.accepted_names.as_ref()).unwrap_or(&spec.names);
    let text = |text: &Option<String>| intern::text(text.as_deref().unwrap_or_default());
    let list = |list: &Option<Vec<String>>| intern::list(list.iter().flatten().map(String::as_str));
    let names = Names {
        group: intern::text(&spec.group),
        version: intern::text(&version.name),
        kind: intern::text(&accepted.kind),
        plural: intern::text(&accepted.plural),
        singular: text(&accepted.singular),
        short: list(&accepted.short_names),
        categories: list(&accepted.categories),
    };
    let selectable = version.selectable_fields.iter().flatten().map(|field| field.json_path.trim_start_matches('.'));
    let CustomResourceSubresources { scale, status } = version.subresources.clone().unwrap_or_default();
    Parts {
        names,
        list_kind: text(&accepted.list_kind),
        scope: if spec.scope == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
        stored_under: format!("{}/{}", names.group, names.plural),
        stored_version: common.version,
        deprecation: deprecation(&names, version),
        needs_webhook: spec.conversion.as_ref().is_some_and(|conversion| conversion.strategy == "Webhook"),
        served: version.served,
        columns: Columns::new(version.additional_printer_columns.as_deref().unwrap_or_default()),
        selectable: intern::list(selectable),
        indexed: common.indexed.clone(),
        has_status: status.is_some(),
        scale: scale.as_ref().and_then(scale::Paths::new),
        shape,
        stored_shape: common.shape.clone(),
    }
}

/// What the users of a deprecated version are told.
fn deprecation(names: &Names, version: &CustomResourceDefinitionVersion) -> Option<String> {
    let told = || format!("{}/{} {} is deprecated", names.group, names.version, names.kind);
    version.deprecated.unwrap_or(false).then(|| version.deprecation_warning.clone().filter(|text| !text.is_empty()).unwrap_or_else(told))
}
