//! RBAC: what the Roles, ClusterRoles and their bindings allow.
//!
//! [`Rbac`] keeps an [`index`] over the logs of the four resources. It is brought up to date by whoever asks after one
//! of the logs has moved on, from what changed between two snapshots: there is nothing to follow in the background,
//! and a binding holds from the moment that a reader can see it.

pub mod bootstrap;
mod escalation;
mod index;
mod rule;

use std::sync::Arc;

use api::strategy::UserInfo;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use escalation::Escalation;
pub use index::{Grant, Subject};
pub use rule::{Rule, compile};

use super::authorize::{Attributes, Authorizer, Decision, Grounds, ResourceAccess};
use crate::admission::World;
use crate::log::{Log, Snapshot};
use index::{Index, Kind};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Members of this group may do everything, whatever the roles say, so that nobody can lock the administrator out.
pub const MASTERS: &str = "system:masters";

const FOLLOWED: [(&str, Kind); 4] = [
    ("clusterroles", Kind::ClusterRole),
    ("roles", Kind::Role),
    ("clusterrolebindings", Kind::ClusterRoleBinding),
    ("rolebindings", Kind::RoleBinding),
];

/// What a user holds.
#[derive(Debug, Default)]
pub struct Held {
    pub rules: Vec<Rule>,
    /// What is said of roles that are bound and not there.
    pub missing: Vec<String>,
}

fn not_found(grant: &Grant) -> String {
    format!("{}.{GROUP} {:?} not found", grant.role_kind().to_lowercase(), grant.role_name())
}

/// Several complaints as one, as upstream joins them; each is made once.
pub fn together(said: &[String]) -> Option<String> {
    let mut once: Vec<&str> = Vec::new();
    for one in said {
        if !once.contains(&one.as_str()) {
            once.push(one);
        }
    }
    match once[..] {
        [] => None,
        [one] => Some(one.to_owned()),
        _ => Some(format!("[{}]", once.join(", "))),
    }
}

/// Whether a user is above the rules.
pub fn is_master(user: &UserInfo) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

/// Decides by roles and bindings.
pub struct Rbac {
    logs: Vec<(Arc<Log>, Kind)>,
    state: RwLock<State>,
}

struct State {
    /// What of each log is in the index.
    seen: Vec<Arc<Snapshot>>,
    index: Index,
}

impl Rbac {
    pub fn new(world: &World) -> Self {
        let logs: Vec<_> = FOLLOWED.iter().filter_map(|(plural, kind)| Some((world.log(GROUP, plural)?.clone(), *kind))).collect();
        let seen = logs.iter().map(|_| Arc::default()).collect();
        Self { logs, state: RwLock::new(State { seen, index: Index::default() }) }
    }

    /// The index, up to date.
    fn current(&self) -> RwLockReadGuard<'_, State> {
        let state = self.state.read();
        let is_current = |state: &State| self.logs.iter().zip(&state.seen).all(|((log, _), seen)| log.version() == seen.version);
        if is_current(&state) {
            return state;
        }
        drop(state);
        let mut state = self.state.write();
        let State { seen, index } = &mut *state;
        for ((log, kind), seen) in self.logs.iter().zip(seen) {
            let now = log.snapshot();
            index.follow(*kind, log.resource(), seen, &now);
            *seen = now;
        }
        RwLockWriteGuard::downgrade(state)
    }

    /// The rules that hold for a user in a namespace (empty: everywhere only), binding by binding.
    pub fn rules(&self, user: &UserInfo, namespace: &str) -> Held {
        let state = self.current();
        let (mut held, mut seen) = (Held::default(), Vec::<Arc<str>>::new());
        let _: Option<()> = state.index.each_grant(user, namespace, |grant| {
            // A binding may name the user and groups of theirs.
            if !seen.contains(&grant.binding) {
                seen.push(grant.binding.clone());
                match state.index.role(&grant.role) {
                    Some(rules) => held.rules.extend_from_slice(rules),
                    None => held.missing.push(not_found(grant)),
                }
            }
            None
        });
        held
    }

    /// The rules of a role that a binding in `namespace` refers to; None: there is no such role.
    pub fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<Rule>> {
        let path = if kind == "Role" { crate::log::path(namespace, name) } else { name.into() };
        self.current().index.role(&path).map(<[Rule]>::to_vec)
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        let namespace = match attributes {
            Attributes::Resource(ResourceAccess { namespace, .. }) => namespace,
            Attributes::Path { .. } => "",
        };
        let state = self.current();
        let mut missing = Vec::new();
        let found = state.index.each_grant(user, namespace, |grant| match state.index.role(&grant.role) {
            Some(rules) => rules.iter().any(|rule| rule.allows(attributes)).then(|| grant.clone()),
            None => {
                missing.push(grant.clone());
                None
            }
        });
        match found {
            Some(grant) => Decision::Allow(Grounds::Granted(grant)),
            None => {
                let missing: Vec<String> = missing.iter().map(|grant| not_found(grant)).collect();
                Decision::NoOpinion { reason: together(&missing).map(|why| format!("RBAC: {why}")).unwrap_or_default() }
            }
        }
    }
}
