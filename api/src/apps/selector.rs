//! Label selectors as the workload kinds hold them: what they match, and how they read in a column or a Scale.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, Errors, Path};
use machinery::labels::{self, Selector};
use serde_json::{Map, Value, json};

use crate::columns::NONE;

/// Tells `selector: {}` from a missing selector, which the type cannot: the empty one gets an empty `matchLabels`.
pub(crate) fn mark_empty(object: &mut Map<String, Value>) {
    if let Some(Value::Object(selector)) = object.get_mut("spec").and_then(|spec| spec.get_mut("selector"))
        && selector.is_empty()
    {
        selector.insert("matchLabels".to_owned(), json!({}));
    }
}

pub(crate) fn is_absent(selector: &LabelSelector) -> bool {
    selector.match_labels.is_none() && selector.match_expressions.is_none()
}

/// Whether the selector says nothing, and so would match every pod.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// A selector that has to be there and must not match everything.
pub(crate) fn check(path: &Path, selector: &LabelSelector) -> Errors {
    if is_absent(selector) {
        return vec![Error::required(path, "")];
    }
    let mut errors = labels::validate(selector, path);
    if is_empty(selector) {
        errors.push(Error::invalid(path, selector, "an empty selector would match every pod"));
    }
    errors
}

/// Whether a set of labels satisfies the selector. A malformed selector matches nothing.
pub(crate) fn matches(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    Selector::of(Some(selector)).is_ok_and(|selector| selector.matches_option(labels))
}

/// The selector in the grammar of query parameters: `app=web,tier in (cache,db)`, sorted by key.
pub(crate) fn text(selector: &LabelSelector) -> String {
    Selector::of(Some(selector)).map(|selector| selector.to_string()).unwrap_or_default()
}

/// The cell of a selector column.
pub(crate) fn cell(selector: Option<&LabelSelector>) -> String {
    selector.map(text).filter(|t| !t.is_empty()).unwrap_or_else(|| NONE.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn selector(value: Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn empty_is_not_absent() {
        let mut empty = json!({"spec": {"selector": {}}}).as_object().unwrap().clone();
        mark_empty(&mut empty);
        let empty = selector(empty["spec"]["selector"].clone());
        assert!(!is_absent(&empty) && is_empty(&empty));
        assert!(is_absent(&LabelSelector::default()));
    }
}
