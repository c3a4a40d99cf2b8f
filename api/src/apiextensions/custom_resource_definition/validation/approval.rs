//! Groups of Kubernetes' own need somebody's approval: a URL where it was given, or the word that there is none.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use machinery::field::{Error, Path};

const ANNOTATION: &str = "api-approved.kubernetes.io";

#[derive(PartialEq, Eq)]
enum State {
    Missing,
    Invalid,
    Approved,
    Bypassed,
}

fn state(definition: &CustomResourceDefinition) -> State {
    match definition.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION)).map(String::as_str) {
        None | Some("") => State::Missing,
        Some(text) if text.starts_with("unapproved") => State::Bypassed,
        Some(text) if is_url(text) => State::Approved,
        Some(_) => State::Invalid,
    }
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(good)
        && !host.is_empty()
        && !text.contains(char::is_whitespace)
}

pub(super) fn check(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Option<Error> {
    let group = new.spec.group.as_str();
    let is_protected = ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")));
    let is = state(new);
    if !is_protected || old.is_some_and(|old| state(old) == is) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(ANNOTATION);
    let why = "groups of Kubernetes need the URL of their approval, or a text that begins with \"unapproved\"";
    match is {
        State::Approved | State::Bypassed => None,
        State::Missing => Some(Error::required(&path, why)),
        State::Invalid => Some(Error::invalid(&path, &new.metadata.annotations.iter().find_map(|all| all.get(ANNOTATION)), why)),
    }
}
