//! Selectors: what was read is written so that it reads back the same, and selects the same.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::Path;
use machinery::fields;
use machinery::labels::{self, Selector};

pub fn labels(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(selector) = Selector::parse(&text) {
        let again = Selector::parse(&selector.to_string()).unwrap();
        assert_eq!(again, selector);
        assert_eq!(selector.is_everything(), text.trim_matches([' ', '\t', '\n', '\r']).is_empty(), "only nothing selects everything");
        agree(&selector);
    }
    if let Ok(object) = serde_json::from_str::<LabelSelector>(&text) {
        let is_valid = labels::validate(&object, &Path::new("selector")).is_empty();
        match Selector::of(Some(&object)) {
            Ok(selector) => agree(&selector),
            Err(error) => assert!(!is_valid, "what is valid is a selector: {error}"),
        }
    }
}

/// An index that is asked for a selector's exact value loses nothing that the selector selects.
fn agree(selector: &Selector) {
    let mut chosen: BTreeMap<String, String> = BTreeMap::new();
    for requirement in selector.requirements() {
        let value = match &requirement.test {
            labels::Test::Equals(value) => value,
            labels::Test::In(values) => values.first().unwrap(),
            _ => continue,
        };
        chosen.insert(requirement.key.to_string(), value.to_string());
    }
    if selector.matches(&chosen) {
        for (key, value) in &chosen {
            assert!(selector.exact(key).is_none_or(|exact| exact == value));
        }
    }
}

pub fn fields(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(selector) = fields::Selector::parse(&text) else { return };
    assert_eq!(fields::Selector::parse(&selector.to_string()).unwrap(), selector);
    let values: BTreeMap<&str, &str> =
        selector.requirements().iter().filter(|term| term.equal).map(|term| (&*term.field, &*term.value)).collect();
    if selector.matches_by(|field| values.get(field).copied()) {
        assert!(values.iter().all(|(field, value)| selector.exact(field) == Some(value)));
    }
}
