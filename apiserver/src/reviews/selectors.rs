//! The selectors of access reviews: how a list, watch or collection delete would be narrowed. Either raw, as in a
//! request's query, or as requirements.

use k8s_openapi::api::authorization::v1::{FieldSelectorAttributes, LabelSelectorAttributes, ResourceAttributes};
use machinery::field::{Error, Errors, Path};

/// A requirement of either selector.
struct Requirement<'a> {
    key: &'a str,
    operator: &'a str,
    values: &'a [String],
}

pub(super) fn check(resource: &ResourceAttributes, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(selector) = &resource.field_selector {
        errors.extend(check_one(&path.child("fieldSelector"), selector.raw_selector.as_deref(), &requirements_of_fields(selector)));
    }
    if let Some(selector) = &resource.label_selector {
        errors.extend(check_one(&path.child("labelSelector"), selector.raw_selector.as_deref(), &requirements_of_labels(selector)));
    }
    errors
}

/// The field selector as a request would have it. What it cannot say is left out: that narrows nothing.
pub(super) fn of_fields(resource: &ResourceAttributes) -> String {
    let Some(selector) = &resource.field_selector else { return String::new() };
    if let Some(raw) = selector.raw_selector.as_deref().filter(|raw| !raw.is_empty()) {
        return raw.to_owned();
    }
    let terms = requirements_of_fields(selector).into_iter().filter_map(|one| match (one.operator, one.values) {
        ("In", [value]) => Some(format!("{}={value}", one.key)),
        _ => None,
    });
    terms.collect::<Vec<_>>().join(",")
}

fn requirements_of_fields(selector: &FieldSelectorAttributes) -> Vec<Requirement<'_>> {
    let all = selector.requirements.iter().flatten();
    all.map(|r| Requirement { key: &r.key, operator: &r.operator, values: r.values.as_deref().unwrap_or_default() }).collect()
}

fn requirements_of_labels(selector: &LabelSelectorAttributes) -> Vec<Requirement<'_>> {
    let all = selector.requirements.iter().flatten();
    all.map(|r| Requirement { key: &r.key, operator: &r.operator, values: r.values.as_deref().unwrap_or_default() }).collect()
}

fn check_one(path: &Path, raw: Option<&str>, requirements: &[Requirement<'_>]) -> Errors {
    let raw = raw.unwrap_or_default();
    if !raw.is_empty() && !requirements.is_empty() {
        return vec![Error::invalid(&path.child("rawSelector"), raw, "cannot be combined with requirements")];
    }
    if raw.is_empty() && requirements.is_empty() {
        return vec![Error::required(&path.child("requirements"), "either these or rawSelector are needed")];
    }
    let mut errors = Errors::new();
    for (i, one) in requirements.iter().enumerate() {
        let path = path.child("requirements").index(i);
        if one.key.is_empty() {
            errors.push(Error::required(&path.child("key"), "must be specified"));
        }
        match one.operator {
            "In" | "NotIn" if one.values.is_empty() => {
                errors.push(Error::required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if !one.values.is_empty() => {
                errors.push(Error::forbidden(&path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldSelectorRequirement;

    fn with(selector: FieldSelectorAttributes) -> ResourceAttributes {
        ResourceAttributes { field_selector: Some(selector), ..ResourceAttributes::default() }
    }

    fn requirement(operator: &str, values: &[&str]) -> FieldSelectorRequirement {
        let values = Some(values.iter().map(|v| (*v).to_owned()).collect());
        FieldSelectorRequirement { key: "spec.nodeName".into(), operator: operator.into(), values }
    }

    #[test]
    fn selectors_are_raw_or_requirements() {
        let raw = with(FieldSelectorAttributes { raw_selector: Some("a=b".into()), requirements: None });
        assert!(check(&raw, &Path::root()).is_empty());
        assert_eq!(of_fields(&raw), "a=b");
        let listed = with(FieldSelectorAttributes { raw_selector: None, requirements: Some(vec![requirement("In", &["n"])]) });
        assert!(check(&listed, &Path::root()).is_empty());
        assert_eq!(of_fields(&listed), "spec.nodeName=n");
        let both = with(FieldSelectorAttributes { raw_selector: Some("a=b".into()), requirements: Some(vec![requirement("In", &["n"])]) });
        let neither = with(FieldSelectorAttributes::default());
        let valueless = with(FieldSelectorAttributes { raw_selector: None, requirements: Some(vec![requirement("In", &[])]) });
        for wrong in [both, neither, valueless] {
            assert_eq!(check(&wrong, &Path::root()).len(), 1);
        }
    }
}
