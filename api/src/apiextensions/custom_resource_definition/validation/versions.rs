//! The versions of a resource, what they have in common, and those in which objects may be stored.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition as PrinterColumn, CustomResourceDefinition, CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion as Version, CustomResourceSubresources, SelectableField,
};
use machinery::cel::rules;
use machinery::field::{Error, Errors, Path};
use machinery::names;

use super::{Schema, schema, some, walk};
use crate::validate::{complaints, required, text};

const MOST_SELECTABLE_FIELDS: usize = 8;
const MOST_WARNING_BYTES: usize = 256;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// Whether all versions have the same of what `of` gives.
fn alike<'s, T: PartialEq>(spec: &'s CustomResourceDefinitionSpec, of: impl Fn(&'s Version) -> T) -> bool {
    spec.versions.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]))
}

fn schema_of(version: &Version) -> Option<&Schema> {
    version.schema.as_ref()?.open_api_v3_schema.as_ref()
}

fn has_status(version: &Version) -> bool {
    version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
}

/// What is wrong with the versions, each for itself and together.
pub(super) fn check(path: &Path, spec: &CustomResourceDefinitionSpec) -> Errors {
    let versions = &spec.versions;
    let at = path.child("versions");
    let mut errors = Errors::new();
    for (i, _) in versions.iter().enumerate().filter(|(_, version)| schema_of(version).is_none()) {
        errors.push(Error::required(&at.index(i).child("schema").child("openAPIV3Schema"), "schemas are required"));
    }
    let has_defaults = versions.iter().filter_map(schema_of).any(|schema| walk::any(schema, &|schema| schema.default.is_some()));
    if has_defaults && spec.preserve_unknown_fields == Some(true) {
        errors.push(Error::invalid(&path.child("preserveUnknownFields"), true, "must be false for defaults to be used"));
    }
    for (i, version) in versions.iter().enumerate() {
        let at = at.index(i);
        errors.extend(complaints(&at.child("name"), &version.name, names::dns1035_label(&version.name, false)));
        errors.extend(check_warning(&at.child("deprecationWarning"), version));
        check_parts(&at, spec, version, &mut errors);
    }
    let names: Vec<&str> = versions.iter().map(|version| version.name.as_str()).collect();
    if names.iter().enumerate().any(|(i, name)| names[..i].contains(name)) {
        errors.push(Error::bare_invalid(&at, "must have names that differ"));
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        errors.push(Error::bare_invalid(&at, "must have exactly one that is the storage version"));
    }
    if let Some(first) = versions.first().filter(|first| !first.name.is_empty()) {
        errors.extend(complaints(&path.child("version"), &first.name, names::dns1035_label(&first.name, false)));
    }
    errors
}

/// What a version has for itself.
fn check_parts(path: &Path, spec: &CustomResourceDefinitionSpec, version: &Version, errors: &mut Errors) {
    if let (false, Some(schema)) = (alike(spec, |version| &version.schema), schema_of(version)) {
        errors.extend(schema::check(&path.child("schema"), schema, has_status(version)));
    }
    if !alike(spec, |version| &version.subresources) {
        errors.extend(check_scale(&path.child("subresources"), version.subresources.as_ref()));
    }
    if !alike(spec, |version| &version.additional_printer_columns) {
        errors.extend(check_columns(&path.child("additionalPrinterColumns"), version));
    }
    if !alike(spec, |version| &version.selectable_fields) {
        // The path to the schema does not matter where that is common.
        errors.extend(check_selectable(&path.child("selectableFields"), version, schema_of(version)));
    }
}

/// What all versions have alike.
pub(super) fn check_common(path: &Path, spec: &CustomResourceDefinitionSpec) -> Errors {
    let mut errors = Errors::new();
    let Some(first) = spec.versions.first() else { return errors };
    if let (true, Some(schema)) = (alike(spec, |version| &version.schema), schema_of(first)) {
        errors.extend(schema::check(&path.child("validation"), schema, spec.versions.iter().any(has_status)));
    }
    if alike(spec, |version| &version.subresources) {
        errors.extend(check_scale(&path.child("subresources"), first.subresources.as_ref()));
    }
    if alike(spec, |version| &version.additional_printer_columns) {
        errors.extend(check_columns(&path.child("additionalPrinterColumns"), first));
    }
    if alike(spec, |version| &version.selectable_fields) {
        errors.extend(check_selectable(&path.child("selectableFields"), first, schema_of(first)));
    }
    errors
}

fn check_warning(path: &Path, version: &Version) -> Errors {
    let Some(warning) = &version.deprecation_warning else { return Errors::new() };
    let invalid = |why: &str| Error::invalid(path, warning, why);
    let mut errors = Errors::new();
    if version.deprecated != Some(true) {
        return vec![invalid("can only be set for deprecated versions")];
    }
    if warning.len() > MOST_WARNING_BYTES {
        errors.push(invalid("must be at most 256 bytes long"));
    }
    if warning.is_empty() {
        errors.push(invalid("must not be empty"));
    }
    if warning.chars().any(|c| c.is_control() || c.is_whitespace() && c != ' ') {
        errors.push(invalid("must have printable characters only"));
    }
    errors
}

fn check_scale(path: &Path, subresources: Option<&CustomResourceSubresources>) -> Errors {
    let Some(scale) = subresources.and_then(|subresources| subresources.scale.as_ref()) else { return Errors::new() };
    let at = |field: &str| path.child("scale").child(field);
    let mut errors = Errors::new();
    for (field, text, prefix) in
        [("specReplicasPath", &scale.spec_replicas_path, ".spec."), ("statusReplicasPath", &scale.status_replicas_path, ".status.")]
    {
        match required(&at(field), text) {
            missing if !missing.is_empty() => errors.extend(missing),
            _ => errors.extend(check_path(&at(field), text, &[prefix])),
        }
    }
    if let Some(text) = scale.label_selector_path.as_ref().filter(|text| !text.is_empty()) {
        errors.extend(check_path(&at("labelSelectorPath"), text, &[".spec.", ".status."]));
    }
    errors
}

/// A path in dots below one of some fields.
fn check_path(path: &Path, text: &str, prefixes: &[&str]) -> Option<Error> {
    if !text.starts_with('.') {
        return Some(Error::invalid(path, text, "must begin with '.'"));
    }
    let is_below = prefixes.iter().any(|prefix| text.starts_with(prefix));
    (!is_below).then(|| Error::invalid(path, text, format!("must be below {}", prefixes.join(" or "))))
}

fn check_columns(path: &Path, version: &Version) -> Errors {
    let columns = some(version.additional_printer_columns.as_ref()).iter().enumerate();
    columns.flat_map(|(i, column)| check_column(&path.index(i), column)).collect()
}

fn check_column(path: &Path, column: &PrinterColumn) -> Errors {
    let mut errors = required(&path.child("name"), &column.name);
    let at = path.child("type");
    if column.type_.is_empty() {
        errors.push(Error::required(&at, format!("must be one of {}", COLUMN_TYPES.join(", "))));
    } else if !COLUMN_TYPES.contains(&column.type_.as_str()) {
        errors.push(Error::invalid(&at, &column.type_, format!("must be one of {}", COLUMN_TYPES.join(", "))));
    }
    let format = text(&column.format);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(Error::invalid(&path.child("format"), format, format!("must be one of {}", COLUMN_FORMATS.join(", "))));
    }
    let at = path.child("JSONPath");
    if column.json_path.is_empty() {
        errors.push(Error::required(&at, ""));
    } else if !column.json_path.starts_with('.') {
        errors.push(Error::invalid(&at, &column.json_path, "must begin with '.'"));
    }
    errors
}

fn check_selectable(path: &Path, version: &Version, schema: Option<&Schema>) -> Errors {
    let fields: &[SelectableField] = some(version.selectable_fields.as_ref());
    let Some(schema) = schema else {
        return if fields.is_empty() { Errors::new() } else { vec![Error::invalid(path, "", "can only be set where there is a schema")] };
    };
    let mut errors = Errors::new();
    let mut seen: Vec<Path> = Vec::new();
    for (i, SelectableField { json_path }) in fields.iter().enumerate() {
        let at = path.index(i).child("jsonPath");
        if json_path.is_empty() {
            errors.push(Error::required(&at, ""));
            continue;
        }
        let found = if json_path.contains('[') { Err("must have no brackets".to_owned()) } else { rules::resolve(json_path, schema) };
        let (field, found) = match found {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&at, json_path, why));
                continue;
            }
        };
        if field.as_str() == "metadata" || field.as_str().starts_with("metadata.") {
            errors.push(Error::invalid(&at, json_path, "must not lead to metadata"));
        }
        if !matches!(text(&found.type_), "string" | "boolean" | "integer") {
            errors.push(Error::invalid(&at, json_path, "must lead to a string, a boolean or an integer"));
        }
        if seen.contains(&field) {
            errors.push(Error::duplicate(&at, json_path));
        } else {
            seen.push(field);
        }
    }
    if seen.len() > MOST_SELECTABLE_FIELDS {
        errors.push(Error::too_many(path, seen.len(), MOST_SELECTABLE_FIELDS));
    }
    errors
}

/// Versions in which objects may be stored cannot go, and the storage version is one of them.
pub(super) fn check_stored(definition: &CustomResourceDefinition) -> Errors {
    let path = Path::new("status").child("storedVersions");
    let versions = &definition.spec.versions;
    let stored = some(definition.status.as_ref().and_then(|status| status.stored_versions.as_ref()));
    if stored.is_empty() {
        return vec![Error::bare_invalid(&path, "must have at least one version")];
    }
    let missing = versions.iter().filter(|version| version.storage && !stored.contains(&version.name));
    let mut errors: Errors =
        missing.map(|version| Error::invalid(&path, stored, format!("must have the storage version {}", version.name))).collect();
    let gone = stored.iter().enumerate().filter(|(_, name)| versions.iter().all(|version| version.name != **name));
    let why = "must be one of spec.versions: objects may still be stored in it, until they have all been written anew";
    errors.extend(gone.map(|(i, name)| Error::invalid(&path.index(i), name, why)));
    errors
}
