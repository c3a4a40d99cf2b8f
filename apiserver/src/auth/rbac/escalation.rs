//! Nobody hands out rights that they do not have: who writes a role must hold what its rules allow, or may `escalate`;
//! who writes a binding must hold what the role allows, or may `bind` it.

use api::Object;
use api::object::downcast_ref;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef};
use machinery::Status;

use super::rule::{self, Rule};
use super::{GROUP, is_master};
use crate::admission::{Operation, Plugin, Request};
use crate::auth::authorize::{Attributes, Authorizer as _, ResourceAccess};

/// The rule as a plugin. It stands behind all plugins that change objects, since what it judges is what will be stored.
pub struct Escalation;

impl Plugin for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn mutate(&self, request: &Request<'_>, object: &mut dyn Object) -> Result<(), Status> {
        if request.target.resource.names().group != GROUP || is_master(request.user) {
            return Ok(());
        }
        if request.operation == Operation::Update && request.old.is_some_and(|old| changes_ownership_only(object, old)) {
            return Ok(());
        }
        let resource = request.target.resource.group_resource();
        self.judge(request, object).map_err(|refused| match refused {
            Refused::Because(why) => Status::forbidden(&resource, object.meta().name.as_deref().unwrap_or_default(), why),
            // As upstream has it: the role's name, and the binding's resource.
            Refused::NoRole(name) => Status::not_found(&resource, &name),
        })
    }
}

/// Why a write is refused.
enum Refused {
    Because(String),
    /// There is no role of this name, whose rules the writer would have to hold.
    NoRole(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

impl Escalation {
    fn judge(&self, request: &Request<'_>, object: &dyn Object) -> Result<(), Refused> {
        if let Some(role) = downcast_ref::<Role>(object) {
            return may_grant(request, "roles", role.rules.as_ref(), false);
        }
        if let Some(role) = downcast_ref::<ClusterRole>(object) {
            let was = request.old.and_then(downcast_ref::<ClusterRole>);
            // An aggregated role takes in whatever comes to bear the label: that is as much as everything.
            let aggregates = role.aggregation_rule.is_some() || was.is_some_and(|was| was.aggregation_rule.is_some());
            return may_grant(request, "clusterroles", role.rules.as_ref(), aggregates);
        }
        if let Some(binding) = downcast_ref::<RoleBinding>(object) {
            return may_bind(request, &binding.role_ref);
        }
        downcast_ref::<ClusterRoleBinding>(object).map_or(Ok(()), |binding| may_bind(request, &binding.role_ref))
    }
}

fn may_grant(request: &Request<'_>, resource: &str, rules: Option<&Vec<PolicyRule>>, aggregates: bool) -> Result<(), Refused> {
    if is_allowed(request, "escalate", resource, &request.target.name) {
        return Ok(());
    }
    holds(request, &rule::compile(rules))?;
    if aggregates {
        holds(request, &rule::everything()).map_err(|_| "an aggregationRule takes the rights of a cluster administrator".to_owned())?;
    }
    Ok(())
}

fn may_bind(request: &Request<'_>, reference: &RoleRef) -> Result<(), Refused> {
    let resource = if reference.kind == "Role" { "roles" } else { "clusterroles" };
    if is_allowed(request, "bind", resource, &reference.name) {
        return Ok(());
    }
    let rules = request.access.rbac.role(&reference.kind, &request.target.namespace, &reference.name);
    let rules = rules.ok_or_else(|| Refused::NoRole(reference.name.clone()))?;
    Ok(holds(request, &rules)?)
}

fn is_allowed(request: &Request<'_>, verb: &str, resource: &str, name: &str) -> bool {
    let namespace = request.target.namespace.as_str();
    let access = ResourceAccess { verb, group: GROUP, resource, namespace, name, ..ResourceAccess::default() };
    request.access.authorize(request.user, &Attributes::Resource(access)).is_allowed()
}

/// Whether the writer holds the rules where the object stands.
fn holds(request: &Request<'_>, rules: &[Rule]) -> Result<(), String> {
    const MOST_SHOWN: usize = 16;
    let held = request.access.rbac.rules(request.user, &request.target.namespace);
    let missing = rule::uncovered(&held.rules, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let user = request.user;
    let shown: Vec<_> = missing.iter().take(MOST_SHOWN).map(show).collect();
    let more = if missing.len() > MOST_SHOWN { format!("\nand {} more", missing.len() - MOST_SHOWN) } else { String::new() };
    Err(format!(
        "user {:?} (groups={:?}) cannot grant what they may not do themselves:\n{}{more}",
        user.name,
        user.groups,
        shown.join("\n")
    ))
}

fn show(rule: &Rule) -> String {
    let part = |name: &str, list: &[Box<str>]| if list.is_empty() { String::new() } else { format!("{name}:{list:?}, ") };
    format!(
        "{{{}{}{}{}Verbs:{:?}}}",
        part("APIGroups", &rule.groups),
        part("Resources", &rule.resources),
        part("ResourceNames", &rule.names),
        part("NonResourceURLs", &rule.paths),
        rule.verbs
    )
}

/// Whether an update is one that the garbage collector makes: it must be able to, whatever the rules say.
fn changes_ownership_only(new: &dyn Object, old: &dyn Object) -> bool {
    let mut rest = new.clone_boxed();
    let (meta, was) = (rest.meta_mut(), old.meta());
    meta.owner_references.clone_from(&was.owner_references);
    meta.finalizers.clone_from(&was.finalizers);
    meta.managed_fields.clone_from(&was.managed_fields);
    meta.resource_version.clone_from(&was.resource_version);
    rest.to_value() == old.to_value()
}
