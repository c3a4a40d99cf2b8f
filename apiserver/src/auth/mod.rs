//! Who calls, and whether they may. Both doors authenticate and authorize here, in one place, before a verb runs.

pub mod authenticate;
pub mod authorize;
mod bootstrap_tokens;
pub mod certificates;
pub mod front_proxy;
pub mod impersonation;
pub mod node;
pub mod rbac;
pub mod service_accounts;
pub(crate) mod token_tracking;

use api::strategy::UserInfo;

pub use authenticate::{Authenticator, PeerCertificate};
pub use authorize::{Attributes, Authorizer, Decision};

use crate::admission::World;
use authorize::Grounds;
use node::Nodes;
use rbac::Rbac;

/// A way to decide, as `--authorization-mode` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Nodes may do what concerns them.
    #[value(name = "Node")]
    Node,
    /// Everybody may do what roles and bindings say.
    #[value(name = "RBAC")]
    Rbac,
    #[value(name = "AlwaysAllow")]
    AlwaysAllow,
    #[value(name = "AlwaysDeny")]
    AlwaysDeny,
}

impl Mode {
    /// What clusters are run with.
    pub const USUAL: [Self; 2] = [Self::Node, Self::Rbac];
}

/// Who may do what: administrators everything, others what one of the modes allows.
pub struct Access {
    pub rbac: Rbac,
    nodes: Nodes,
    modes: Vec<Mode>,
}

impl Access {
    pub fn new(world: &World, modes: Vec<Mode>) -> Self {
        Self { rbac: Rbac::new(world), nodes: Nodes::new(world.clone()), modes }
    }

    fn ask(&self, mode: Mode, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        match mode {
            Mode::Node => node::node_name(user).map_or(Decision::no_opinion(), |node| self.nodes.authorize(node, attributes)),
            Mode::Rbac => self.rbac.authorize(user, attributes),
            Mode::AlwaysAllow => Decision::Allow(Grounds::Always),
            Mode::AlwaysDeny => Decision::NoOpinion { reason: "Everything is forbidden.".to_owned() },
        }
    }
}

impl Authorizer for Access {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        if rbac::is_master(user) {
            return Decision::Allow(Grounds::Masters);
        }
        let mut why = String::new();
        for mode in &self.modes {
            match self.ask(*mode, user, attributes) {
                Decision::NoOpinion { reason } if why.is_empty() => why = reason,
                Decision::NoOpinion { .. } => {}
                allowed => return allowed,
            }
        }
        Decision::NoOpinion { reason: why }
    }
}

/// The name under which a service account calls.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The groups of the service accounts of a namespace.
pub fn service_account_groups(namespace: &str) -> [String; 2] {
    ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::authorize::ResourceAccess;

    #[test]
    fn the_first_mode_that_allows_decides() {
        let access = |modes: &[Mode]| {
            let wanted = Attributes::Resource(ResourceAccess { verb: "get", resource: "pods", ..ResourceAccess::default() });
            Access::new(&World::default(), modes.to_vec()).authorize(&UserInfo::default(), &wanted)
        };
        assert!(!access(&Mode::USUAL).is_allowed() && !access(&[]).is_allowed());
        assert!(access(&[Mode::Rbac, Mode::AlwaysAllow]).is_allowed());
        assert!(matches!(access(&[Mode::AlwaysDeny, Mode::Rbac]), Decision::NoOpinion { reason } if !reason.is_empty()));
        let master = UserInfo { groups: vec!["system:masters".to_owned()], ..UserInfo::default() };
        let path = Attributes::Path { verb: "get", path: "/" };
        assert!(Access::new(&World::default(), vec![Mode::AlwaysDeny]).authorize(&master, &path).is_allowed());
    }
}
