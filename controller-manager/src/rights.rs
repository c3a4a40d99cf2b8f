//! What the roles that a cluster starts with let each controller do, for tests: a controller that asks for more would be
//! refused by the API server.

use std::sync::Arc;

use crate::controller::Controller;
use crate::controllers::set::{Authorities, controllers};
use crate::options::Options;
use crate::plan::{Verb, Write};

/// The roles, as the API server makes them.
const ROLES: &str = include_str!("../../apiserver/src/auth/rbac/bootstrap.tsv");

/// What a write is to authorization.
#[derive(Debug)]
struct Access {
    verb: &'static str,
    group: String,
    /// With its subresource.
    resource: String,
}

impl Access {
    fn of(verb: &Verb) -> Self {
        let (verb, resource, subresource) = match verb {
            Verb::Create { resource, .. } => ("create", resource, &None),
            Verb::Update { resource, subresource, .. } => ("update", resource, subresource),
            Verb::Patch { target, subresource, .. } => ("patch", &target.resource, subresource),
            Verb::Delete { target, .. } => ("delete", &target.resource, &None),
            Verb::DeleteAll { resource, .. } => ("deletecollection", resource, &None),
        };
        let name = subresource.map_or(resource.resource.to_string(), |view| format!("{}/{view}", resource.resource));
        Self { verb, group: resource.group.to_string(), resource: name }
    }
}

/// A role in the namespace that such controllers keep to.
const HERE: &str = "kube-system/";

fn rules() -> impl Iterator<Item = &'static str> {
    ROLES.lines().filter(|line| line.starts_with("ClusterRole\t") || line.starts_with("Role\tkube-system/"))
}

fn role(controller: &dyn Controller) -> String {
    controller.account().map_or("system:kube-controller-manager".to_owned(), |account| format!("system:controller:{account}"))
}

/// Fails the test where the controller may not make the write.
pub(crate) fn check(controller: &dyn Controller, write: &Write) {
    let role = role(controller);
    let access = Access::of(&write.verb);
    let allows = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [_, name, groups, resources, _, names, verbs, ..] = cells[..] else { return false };
        let has = |cell: &str, wanted: &str| cell.split(',').any(|one| one == wanted || one == "*");
        name.trim_start_matches(HERE) == role
            && names.is_empty()
            && has(groups, &access.group)
            && has(resources, &access.resource)
            && has(verbs, access.verb)
    };
    assert!(rules().any(allows), "{} may not {access:?} as {role}", controller.name());
}

#[test]
fn every_controller_has_a_role() {
    let pair = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let authorities = Authorities {
        root: Some(String::new()),
        signing: None,
        tokens: Some(Arc::new(runtime::jwt::SigningKey::from_pem(&pair).unwrap())),
    };
    let options = Options { controllers: vec!["*".to_owned(), "token-cleaner-controller".to_owned()], ..Options::default() };
    for (controller, _) in controllers(&options, authorities) {
        let role = role(&*controller);
        let is_it = |line: &str| line.split('\t').nth(1).is_some_and(|name| name.trim_start_matches(HERE) == role);
        assert!(rules().any(is_it), "{}: there is no {role:?}", controller.name());
    }
}
