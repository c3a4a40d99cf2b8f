//! Whom a binding gives a role, and which role.

use k8s_openapi::api::rbac::v1::{RoleRef, Subject};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use serde_json::{Value, json};

use super::GROUP;
use crate::{validate, zero};

pub(super) fn default(reference: &mut RoleRef, subjects: &mut Option<Vec<Subject>>) {
    zero::fill(&mut reference.api_group, GROUP);
    zero::omit(subjects);
    for subject in subjects.iter_mut().flatten() {
        zero::omit(&mut subject.namespace);
        zero::omit(&mut subject.api_group);
        if matches!(subject.kind.as_str(), "User" | "Group") {
            zero::fill(&mut subject.api_group, GROUP);
        }
    }
}

pub(super) fn check(reference: &RoleRef, kinds: &[&str], subjects: Option<&Vec<Subject>>, namespaced: bool) -> Errors {
    let path = Path::new("roleRef");
    let group = reference.api_group.as_deref().unwrap_or_default();
    let mut errors = validate::supported_value(&path.child("apiGroup"), group, &[GROUP]);
    errors.extend(validate::supported_value(&path.child("kind"), &reference.kind, kinds));
    let name = path.child("name");
    if reference.name.is_empty() {
        errors.push(Error::required(&name, ""));
    } else {
        errors.extend(validate::complaints(&name, &reference.name, names::path_segment(&reference.name, false)));
    }
    for (i, subject) in subjects.into_iter().flatten().enumerate() {
        errors.extend(check_subject(&Path::new("subjects").index(i), subject, namespaced));
    }
    errors
}

pub(super) fn check_update(new: &RoleRef, old: &RoleRef) -> Errors {
    if new == old { Errors::new() } else { vec![Error::invalid(&Path::new("roleRef"), new, "cannot change")] }
}

fn check_subject(path: &Path, subject: &Subject, namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    if subject.name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let group = subject.api_group.as_deref().unwrap_or_default();
    let group_path = path.child("apiGroup");
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                let wrong = names::dns1123_subdomain(&subject.name, false);
                errors.extend(validate::complaints(&path.child("name"), &subject.name, wrong));
            }
            errors.extend(validate::supported_value(&group_path, group, &[""]));
            if !namespaced && subject.namespace.is_none() {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => errors.extend(validate::supported_value(&group_path, group, &[GROUP])),
        other => errors.push(Error::not_supported(&path.child("kind"), other, &["Group", "ServiceAccount", "User"])),
    }
    errors
}

/// The cells of the columns Users, Groups and ServiceAccounts.
pub(super) fn cells(subjects: Option<&Vec<Subject>>) -> [Value; 3] {
    let of = |kind: &str| {
        let names = subjects.into_iter().flatten().filter(|subject| subject.kind == kind).map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", subject.namespace.as_deref().unwrap_or_default(), subject.name),
            _ => subject.name.clone(),
        });
        json!(names.collect::<Vec<_>>().join(", "))
    };
    [of("User"), of("Group"), of("ServiceAccount")]
}
