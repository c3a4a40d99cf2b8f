//! What names, lists and taints of devices have to look like, wherever in the group they stand.

use k8s_openapi::api::resource::v1::{DeviceToleration, OpaqueDeviceConfiguration};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use machinery::field::{Error, Errors, Path, Shown};
use machinery::names;
use serde_json::Value;

use crate::validate::{self, complaints, text};

const LONGEST_POOL_NAME_BYTES: usize = 253;
const LONGEST_IDENTIFIER_BYTES: usize = 32;
const LONGEST_PARAMETERS_BYTES: usize = 10 << 10;
const MOST_BINDING_CONDITIONS: usize = 4;
pub(super) const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// Each item of a list of bounded length. Of a list that is too long nothing else is said.
pub(super) fn list<T>(path: &Path, items: &[T], most: usize, check: impl Fn(&Path, &T) -> Errors) -> Errors {
    if items.len() > most {
        return vec![Error::too_many(path, items.len(), most)];
    }
    items.iter().enumerate().flat_map(|(i, item)| check(&path.index(i), item)).collect()
}

/// The same, where no two items have the same key.
pub(super) fn set<'a, T, K>(
    path: &Path,
    items: &'a [T],
    most: usize,
    check: impl Fn(&Path, &T) -> Errors,
    key: impl Fn(&'a T) -> K,
) -> Errors
where
    K: PartialEq + Shown,
{
    let mut errors = list(path, items, most, check);
    if items.len() <= most {
        let again = |i: usize| items[..i].iter().any(|before| key(before) == key(&items[i]));
        errors.extend((0..items.len()).filter(|i| again(*i)).map(|i| Error::duplicate(&path.index(i), key(&items[i]))));
    }
    errors
}

/// A label, which an empty name is not.
pub(super) fn label(path: &Path, name: &str) -> Errors {
    complaints(path, name, names::dns1123_label(name, false))
}

/// The name of a class of devices.
pub(super) fn class_name(path: &Path, name: &str) -> Errors {
    if name.is_empty() { vec![Error::required(path, "")] } else { complaints(path, name, names::dns1123_subdomain(name, false)) }
}

/// The name of a pool: DNS names with slashes between them.
pub(super) fn pool_name(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    if name.len() > LONGEST_POOL_NAME_BYTES {
        errors.push(Error::too_long(path, LONGEST_POOL_NAME_BYTES));
    }
    errors.extend(name.split('/').flat_map(|part| complaints(path, part, names::dns1123_subdomain(part, false))));
    errors
}

/// The name of an attribute or a capacity: an identifier, with or without a domain before it.
pub(super) fn qualified_name(path: &Path, name: &str) -> Errors {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [name] => identifier(path, name),
        [domain, name] => {
            let mut errors = match *domain {
                "" => vec![Error::invalid(path, "", "the domain must not be empty")],
                domain => validate::driver_name(path, domain),
            };
            errors.extend(match *name {
                "" => vec![Error::invalid(path, "", "the name must not be empty")],
                name => identifier(path, name),
            });
            errors
        }
        // Kubernetes does not look at names with more slashes.
        _ => Errors::new(),
    }
}

/// The same with a domain.
pub(super) fn fully_qualified_name(path: &Path, name: &str) -> Errors {
    let mut errors = qualified_name(path, name);
    if !name.contains('/') {
        errors.push(Error::invalid(path, name, "must be a domain and an identifier, such as \"example.com/model\""));
    }
    errors
}

fn identifier(path: &Path, name: &str) -> Errors {
    let mut errors = Errors::new();
    if name.len() > LONGEST_IDENTIFIER_BYTES {
        errors.push(Error::too_long(path, LONGEST_IDENTIFIER_BYTES));
    }
    errors.extend(complaints(path, name, names::c_identifier(name)));
    errors
}

/// An UUID in its usual form.
pub(super) fn share_id(path: &Path, id: &str) -> Errors {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let good = id.len() == 36 && id.bytes().enumerate().all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { is_digit(b) });
    if good { Errors::new() } else { vec![Error::invalid(path, id, "must be an UUID in lower case")] }
}

pub(super) fn toleration(path: &Path, toleration: &DeviceToleration) -> Errors {
    let key = text(&toleration.key);
    let value = text(&toleration.value);
    let at = path.child("value");
    let mut errors = if key.is_empty() { Errors::new() } else { complaints(&path.child("key"), key, names::qualified_name(key)) };
    match text(&toleration.operator) {
        "Exists" if !value.is_empty() => errors.push(Error::invalid(&at, value, "must be empty for the operator Exists")),
        "Exists" => {}
        "Equal" => errors.extend(complaints(&at, value, names::label_value(value))),
        other => errors.push(Error::not_supported(&path.child("operator"), other, &["Equal", "Exists"])),
    }
    let effect = text(&toleration.effect);
    if !effect.is_empty() {
        errors.extend(validate::supported_value(&path.child("effect"), effect, &EFFECTS));
    }
    errors
}

/// Conditions that a binding waits for, and those by which it fails: both or none, and none in both.
pub(super) fn binding_conditions(path: &Path, waits_for: Option<&[String]>, fails_by: Option<&[String]>) -> Errors {
    let (waits_for, fails_by) = (waits_for.unwrap_or_default(), fails_by.unwrap_or_default());
    let (good, bad) = (path.child("bindingConditions"), path.child("bindingFailureConditions"));
    let name = |path: &Path, name: &String| complaints(path, name, names::qualified_name(name));
    let mut errors = list(&good, waits_for, MOST_BINDING_CONDITIONS, name);
    errors.extend(list(&bad, fails_by, MOST_BINDING_CONDITIONS, name));
    for (i, condition) in waits_for.iter().enumerate().filter(|(i, condition)| waits_for[..*i].contains(condition)) {
        errors.push(Error::duplicate(&good.index(i), condition));
    }
    for (i, condition) in fails_by.iter().enumerate() {
        if fails_by[..i].contains(condition) {
            errors.push(Error::duplicate(&bad.index(i), condition));
        }
        if waits_for.contains(condition) {
            errors.push(Error::invalid(&bad.index(i), condition, "is one of bindingConditions too"));
        }
    }
    if waits_for.is_empty() && !fails_by.is_empty() {
        errors.push(Error::invalid(&good, waits_for, "are needed where there are bindingFailureConditions"));
    }
    if fails_by.is_empty() && !waits_for.is_empty() {
        errors.push(Error::invalid(&bad, fails_by, "are needed where there are bindingConditions"));
    }
    errors
}

pub(super) fn opaque(path: &Path, opaque: Option<&OpaqueDeviceConfiguration>) -> Errors {
    let Some(opaque) = opaque else { return vec![Error::required(path, "")] };
    let mut errors = validate::driver_name(&path.child("driver"), &opaque.driver);
    errors.extend(raw(&path.child("parameters"), &opaque.parameters));
    errors
}

/// An object of a driver's own, of bounded length.
pub(super) fn raw(path: &Path, raw: &RawExtension) -> Errors {
    match &raw.0 {
        Value::Null => vec![Error::required(path, "")],
        value if value.to_string().len() > LONGEST_PARAMETERS_BYTES => vec![Error::too_long(path, LONGEST_PARAMETERS_BYTES)],
        Value::Object(_) => Errors::new(),
        _ => vec![Error::invalid(path, "<value omitted>", "must be an object")],
    }
}
