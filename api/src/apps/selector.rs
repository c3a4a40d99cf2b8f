//! Label selectors as the workload kinds hold them: what they match, and how they read in a column or a Scale.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, Errors, Path};
use serde_json::{Map, Value, json};

use crate::columns::NONE;
use crate::validate;

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
    let mut errors = validate::label_selector(path, selector);
    if is_empty(selector) {
        errors.push(Error::invalid(path, selector, "an empty selector would match every pod"));
    }
    errors
}

/// Whether a set of labels satisfies the selector. Malformed requirements match nothing.
pub(crate) fn matches(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = |key: &str| labels.and_then(|l| l.get(key));
    let by_labels = selector.match_labels.iter().flatten().all(|(key, want)| value(key) == Some(want));
    let by_expressions = selector.match_expressions.iter().flatten().all(|r| {
        let listed = |v: &String| r.values.iter().flatten().any(|x| x == v);
        match r.operator.as_str() {
            "In" => value(&r.key).is_some_and(listed),
            "NotIn" => !value(&r.key).is_some_and(listed),
            "Exists" => value(&r.key).is_some(),
            "DoesNotExist" => value(&r.key).is_none(),
            _ => false,
        }
    });
    by_labels && by_expressions
}

/// The selector in the grammar of query parameters: `app=web,tier in (cache,db)`, sorted by key.
pub(crate) fn text(selector: &LabelSelector) -> String {
    let mut parts: Vec<(&str, String)> =
        selector.match_labels.iter().flatten().map(|(key, value)| (key.as_str(), format!("{key}={value}"))).collect();
    for r in selector.match_expressions.iter().flatten() {
        let mut values: Vec<&str> = r.values.iter().flatten().map(String::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match r.operator.as_str() {
            "In" => format!("{} in ({values})", r.key),
            "NotIn" => format!("{} notin ({values})", r.key),
            "DoesNotExist" => format!("!{}", r.key),
            _ => r.key.clone(),
        };
        parts.push((&r.key, part));
    }
    parts.sort_by(|a, b| a.0.cmp(b.0));
    parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
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

    #[test]
    fn text_and_match() {
        let s = selector(json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["db", "cache"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }));
        assert_eq!(text(&s), "app=web,!old,tier in (cache,db)");
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        assert!(matches(&s, Some(&labels(&[("app", "web"), ("tier", "db")]))));
        assert!(!matches(&s, Some(&labels(&[("app", "web"), ("tier", "db"), ("old", "")]))));
        assert!(!matches(&s, None));
    }
}
