//! The selectors of access reviews: how a list, watch or collection delete would be narrowed. Either raw, as in a
//! request's query, or as requirements. What does not read narrows nothing, and the answer says so: a newer client may know
//! operators that this server does not.

use k8s_openapi::api::authorization::v1::{FieldSelectorAttributes, LabelSelectorAttributes, ResourceAttributes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldSelectorRequirement;
use machinery::field::{Error, Errors, Path};
use machinery::{fields, labels};

pub(super) fn check(resource: &ResourceAttributes, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(selector) = &resource.field_selector {
        let requirements = selector.requirements.as_deref().unwrap_or_default();
        check_form(&path.child("fieldSelector"), selector.raw_selector.as_deref(), requirements, check_field, &mut errors);
    }
    if let Some(selector) = &resource.label_selector {
        let requirements = selector.requirements.as_deref().unwrap_or_default();
        let check_label = |requirement: &_, path: &Path| labels::validate_requirement(requirement, path);
        check_form(&path.child("labelSelector"), selector.raw_selector.as_deref(), requirements, check_label, &mut errors);
    }
    errors
}

fn check_form<R>(path: &Path, raw: Option<&str>, requirements: &[R], check: impl Fn(&R, &Path) -> Errors, errors: &mut Errors) {
    let raw = raw.unwrap_or_default();
    if !raw.is_empty() && !requirements.is_empty() {
        errors.push(Error::invalid(&path.child("rawSelector"), raw, "cannot be combined with requirements"));
    }
    let path = path.child("requirements");
    if raw.is_empty() && requirements.is_empty() {
        errors.push(Error::required(&path, "either these or rawSelector are needed"));
    }
    errors.extend(requirements.iter().enumerate().flat_map(|(i, one)| check(one, &path.index(i))));
}

fn check_field(requirement: &FieldSelectorRequirement, path: &Path) -> Errors {
    let has_values = requirement.values.iter().flatten().next().is_some();
    let mut errors = Errors::new();
    if requirement.key.is_empty() {
        errors.push(Error::required(&path.child("key"), "must be specified"));
    }
    match requirement.operator.as_str() {
        "In" | "NotIn" if !has_values => {
            errors.push(Error::required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if has_values => {
            errors.push(Error::forbidden(&path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        _ => {}
    }
    errors
}

/// The field selector as a request would have it, and what has to be said of both selectors.
pub(super) fn read(resource: &ResourceAttributes) -> (String, Option<String>) {
    let (text, of_fields) = resource.field_selector.as_ref().map(read_fields).unwrap_or_default();
    let of_labels = resource.label_selector.as_ref().and_then(judge_labels);
    let say = |name: &str, ignored: Ignored| {
        let partially = if ignored == Ignored::InPart { "partially " } else { "" };
        format!("spec.resourceAttributes.{name} {partially}ignored due to parse error")
    };
    let said = of_fields.map(|ignored| say("fieldSelector", ignored)).into_iter();
    let said: Vec<String> = said.chain(of_labels.map(|ignored| say("labelSelector", ignored))).collect();
    (text, (!said.is_empty()).then(|| said.join("; ")))
}

/// How much of a selector does not read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ignored {
    Wholly,
    InPart,
}

impl Ignored {
    fn of(all: usize, read: usize) -> Option<Self> {
        match read {
            _ if read == all => None,
            0 => Some(Self::Wholly),
            _ => Some(Self::InPart),
        }
    }
}

fn read_fields(selector: &FieldSelectorAttributes) -> (String, Option<Ignored>) {
    if let Some(raw) = selector.raw_selector.as_deref().filter(|raw| !raw.is_empty()) {
        let reads = fields::Selector::parse(raw).is_ok();
        return if reads { (raw.to_owned(), None) } else { (String::new(), Some(Ignored::Wholly)) };
    }
    let all = selector.requirements.as_deref().unwrap_or_default();
    // Field selectors compare with one value.
    let terms: Vec<String> = all
        .iter()
        .filter_map(|one| match (one.operator.as_str(), one.values.as_deref()) {
            ("In", Some([value])) => Some(format!("{}={value}", one.key)),
            ("NotIn", Some([value])) => Some(format!("{}!={value}", one.key)),
            _ => None,
        })
        .collect();
    (terms.join(","), Ignored::of(all.len(), terms.len()))
}

fn judge_labels(selector: &LabelSelectorAttributes) -> Option<Ignored> {
    if let Some(raw) = selector.raw_selector.as_deref().filter(|raw| !raw.is_empty()) {
        return labels::Selector::parse(raw).is_err().then_some(Ignored::Wholly);
    }
    let all = selector.requirements.as_deref().unwrap_or_default();
    let known = all.iter().filter(|one| matches!(one.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist"));
    Ignored::of(all.len(), known.count())
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
        assert_eq!(read(&raw), ("a=b".to_owned(), None));
        let listed = with(FieldSelectorAttributes { raw_selector: None, requirements: Some(vec![requirement("In", &["n"])]) });
        assert!(check(&listed, &Path::root()).is_empty());
        assert_eq!(read(&listed).0, "spec.nodeName=n");
        let both = with(FieldSelectorAttributes { raw_selector: Some("a=b".into()), requirements: Some(vec![requirement("In", &["n"])]) });
        let neither = with(FieldSelectorAttributes::default());
        let valueless = with(FieldSelectorAttributes { raw_selector: None, requirements: Some(vec![requirement("In", &[])]) });
        for wrong in [both, neither, valueless] {
            assert_eq!(check(&wrong, &Path::root()).len(), 1);
        }
    }

    #[test]
    fn what_does_not_read_is_ignored_and_told() {
        let raw = with(FieldSelectorAttributes { raw_selector: Some("a".into()), requirements: None });
        let wholly = "spec.resourceAttributes.fieldSelector ignored due to parse error";
        assert_eq!(read(&raw), (String::new(), Some(wholly.to_owned())));
        let unknown = vec![requirement("NotIn", &["n"]), requirement("Near", &[])];
        let partly = with(FieldSelectorAttributes { raw_selector: None, requirements: Some(unknown) });
        assert!(check(&partly, &Path::root()).is_empty());
        let said = "spec.resourceAttributes.fieldSelector partially ignored due to parse error";
        assert_eq!(read(&partly), ("spec.nodeName!=n".to_owned(), Some(said.to_owned())));
    }
}
