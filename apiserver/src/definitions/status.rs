//! What the status of a definition says: which of its names are its own, and whether it is established. Names belong to the
//! first who asks, until that definition is gone.

use std::collections::HashSet;

use api::apiextensions::custom_resource_definition::{condition, is_true, set_condition};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition as Condition, CustomResourceDefinitionNames as Names,
    CustomResourceDefinitionStatus as DefinitionStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// By which a group that belongs to Kubernetes is allowed to a definition.
const APPROVED: &str = "api-approved.kubernetes.io";

/// Brings the statuses of all definitions up to date. Gives the names of those whose status has changed.
pub(super) fn settle(all: &mut [CustomResourceDefinition], now: Time) -> HashSet<String> {
    let mut changed = HashSet::new();
    for at in 0..all.len() {
        let mut status = all[at].status.clone().unwrap_or_default();
        settle_names(&all[at], all, &mut status, &now);
        settle_approval(&all[at], &mut status, &now);
        if all[at].status.as_ref() != Some(&status) {
            all[at].status = Some(status);
            changed.extend(all[at].metadata.name.clone());
        }
    }
    changed
}

/// The names that other definitions of the group have.
struct Taken<'a> {
    resources: HashSet<&'a str>,
    kinds: HashSet<&'a str>,
}

impl<'a> Taken<'a> {
    fn by_others(definition: &CustomResourceDefinition, all: &'a [CustomResourceDefinition]) -> Self {
        let others =
            all.iter().filter(|other| other.spec.group == definition.spec.group && other.metadata.name != definition.metadata.name);
        let names: Vec<&Names> = others.filter_map(|other| other.status.as_ref()?.accepted_names.as_ref()).collect();
        let mut taken = Self { resources: HashSet::new(), kinds: HashSet::new() };
        for names in names {
            taken.resources.insert(&names.plural);
            taken.resources.extend(names.singular.as_deref());
            taken.resources.extend(names.short_names.iter().flatten().map(String::as_str));
            taken.kinds.insert(&names.kind);
            taken.kinds.extend(names.list_kind.as_deref());
        }
        taken.resources.remove("");
        taken.kinds.remove("");
        taken
    }
}

fn settle_names(definition: &CustomResourceDefinition, all: &[CustomResourceDefinition], status: &mut DefinitionStatus, now: &Time) {
    let wanted = &definition.spec.names;
    let accepted = status.accepted_names.clone().unwrap_or_default();
    if *wanted == accepted && is_true(definition, condition::ESTABLISHED) {
        return;
    }
    let taken = Taken::by_others(definition, all);
    let mut names = accepted;
    let mut conflict: Option<(&str, String)> = None;
    let is_free = |name: &str, taken: &HashSet<&str>| !taken.contains(name);
    let in_use = |name: &str| format!("{name:?} is already in use");
    if is_free(&wanted.plural, &taken.resources) {
        names.plural.clone_from(&wanted.plural);
    } else {
        conflict = Some(("PluralConflict", in_use(&wanted.plural)));
    }
    match wanted.singular.as_deref().unwrap_or_default() {
        name if is_free(name, &taken.resources) => names.singular.clone_from(&wanted.singular),
        name => conflict = Some(("SingularConflict", in_use(name))),
    }
    let used: Vec<String> =
        wanted.short_names.iter().flatten().filter(|name| !is_free(name, &taken.resources)).map(|name| in_use(name)).collect();
    if used.is_empty() {
        names.short_names.clone_from(&wanted.short_names);
    } else {
        conflict = Some(("ShortNamesConflict", used.join(", ")));
    }
    if is_free(&wanted.kind, &taken.kinds) {
        names.kind.clone_from(&wanted.kind);
    } else {
        conflict = Some(("KindConflict", in_use(&wanted.kind)));
    }
    match wanted.list_kind.as_deref().unwrap_or_default() {
        name if is_free(name, &taken.kinds) => names.list_kind.clone_from(&wanted.list_kind),
        name => conflict = Some(("ListKindConflict", in_use(name))),
    }
    names.categories.clone_from(&wanted.categories);
    status.accepted_names = Some(names);

    let free = conflict.is_none();
    let (reason, message) = conflict.unwrap_or(("NoConflicts", "no other definition has these names".to_owned()));
    set_condition(status, conditioned(condition::NAMES_ACCEPTED, free, reason, &message, now));
    // What is established stays so: its objects are there.
    if !is_true(definition, condition::ESTABLISHED) {
        let (reason, message) = match free {
            true => ("InitialNamesAccepted", "the resource is served"),
            false => ("NotAccepted", "not all names are accepted"),
        };
        set_condition(status, conditioned(condition::ESTABLISHED, free, reason, message, now));
    }
}

/// Groups under `k8s.io` and `kubernetes.io` are Kubernetes' own.
fn settle_approval(definition: &CustomResourceDefinition, status: &mut DefinitionStatus, now: &Time) {
    let group = &definition.spec.group;
    let is_protected = ["k8s.io", "kubernetes.io"].iter().any(|own| group == own || group.ends_with(&format!(".{own}")));
    if !is_protected {
        return;
    }
    let annotation = definition.metadata.annotations.as_ref().and_then(|all| all.get(APPROVED)).map_or("", String::as_str);
    let is_link = annotation.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    let (good, reason, message) = match annotation {
        "" => (false, "MissingAnnotation", format!("groups of Kubernetes need the annotation {APPROVED:?}")),
        text if text.starts_with("unapproved") => (false, "UnapprovedAnnotation", format!("not approved: {text}")),
        text if is_link => (true, "ApprovedAnnotation", format!("approved in {text}")),
        text => (false, "InvalidAnnotation", format!("the annotation {APPROVED:?} is no link: {text:?}")),
    };
    let found = status.conditions.iter().flatten().find(|known| known.type_ == condition::APPROVAL);
    let wanted = conditioned(condition::APPROVAL, good, reason, &message, now);
    if found.is_none_or(|found| (&found.status, &found.reason, &found.message) != (&wanted.status, &wanted.reason, &wanted.message)) {
        set_condition(status, wanted);
    }
}

/// A condition as of now.
pub(super) fn conditioned(kind: &str, holds: bool, reason: &str, message: &str, now: &Time) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(now.clone()),
        ..Condition::default()
    }
}

/// Whether clients can use what a definition describes.
pub(super) fn is_served(definition: &CustomResourceDefinition) -> bool {
    is_true(definition, condition::ESTABLISHED) || is_true(definition, condition::NAMES_ACCEPTED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(plural: &str, kind: &str, short: &[&str]) -> CustomResourceDefinition {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{plural}.e.org")},
            "spec": {"group": "e.org", "scope": "Namespaced", "versions": [],
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"), "shortNames": short}},
        }))
        .unwrap()
    }

    fn now() -> Time {
        Time("2024-01-01T00:00:00Z".parse().unwrap())
    }

    fn reason(definition: &CustomResourceDefinition, kind: &str) -> String {
        let conditions = definition.status.as_ref().unwrap().conditions.as_ref().unwrap();
        conditions.iter().find(|one| one.type_ == kind).and_then(|one| one.reason.clone()).unwrap()
    }

    #[test]
    fn names_belong_to_the_first() {
        let mut all = [definition("alphas", "Letter", &[]), definition("betas", "Letter", &[])];
        assert_eq!(settle(&mut all, now()).len(), 2);
        assert!(is_served(&all[0]) && !is_served(&all[1]));
        assert_eq!(reason(&all[0], "Established"), "InitialNamesAccepted");
        assert_eq!(reason(&all[1], "NamesAccepted"), "ListKindConflict");
        assert_eq!(all[1].status.as_ref().unwrap().accepted_names.as_ref().unwrap().plural, "betas");
        assert!(settle(&mut all, now()).is_empty(), "a settled status stays");

        let mut rest = [all[1].clone()];
        assert_eq!(settle(&mut rest, now()).len(), 1);
        assert!(is_served(&rest[0]));
    }

    #[test]
    fn an_established_definition_stays_so_when_its_new_names_are_taken() {
        let mut all = [definition("alphas", "Alpha", &["a"]), definition("betas", "Beta", &[])];
        settle(&mut all, now());
        all[1].spec.names.short_names = Some(vec!["a".into()]);
        settle(&mut all, now());
        assert_eq!(reason(&all[1], "NamesAccepted"), "ShortNamesConflict");
        assert!(is_true(&all[1], "Established"));
    }

    #[test]
    fn groups_of_kubernetes_say_who_allowed_them() {
        let mut all = [definition("alphas", "Alpha", &[])];
        all[0].spec.group = "x.k8s.io".into();
        all[0].metadata.annotations = Some([(APPROVED.to_owned(), "https://e.org/1".to_owned())].into());
        settle(&mut all, now());
        assert_eq!(reason(&all[0], condition::APPROVAL), "ApprovedAnnotation");
        all[0].metadata.annotations = Some([(APPROVED.to_owned(), "unapproved, for now".to_owned())].into());
        settle(&mut all, now());
        assert_eq!(reason(&all[0], condition::APPROVAL), "UnapprovedAnnotation");
    }
}
