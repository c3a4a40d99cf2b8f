//! Who calls, and whether they may. Both doors authenticate and authorize here, in one place, before a verb runs.

pub mod authenticate;
pub mod authorize;
mod bootstrap_tokens;
pub mod certificates;
pub mod impersonation;
pub mod node;
pub mod rbac;
pub mod service_accounts;

use api::strategy::UserInfo;

pub use authenticate::{Authenticator, PeerCertificate};
pub use authorize::{Attributes, Authorizer, Decision};

use crate::admission::World;
use authorize::Grounds;
use node::Nodes;
use rbac::Rbac;

/// Who may do what: administrators everything, nodes what concerns them, everybody what roles and bindings give them.
pub struct Access {
    pub rbac: Rbac,
    nodes: Nodes,
}

impl Access {
    pub fn new(world: &World) -> Self {
        Self { rbac: Rbac::new(world), nodes: Nodes::new(world.clone()) }
    }
}

impl Authorizer for Access {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        if rbac::is_master(user) {
            return Decision::Allow(Grounds::Masters);
        }
        let Some(node) = node::node_name(user) else { return self.rbac.authorize(user, attributes) };
        match self.nodes.authorize(node, attributes) {
            Decision::NoOpinion { reason } => match self.rbac.authorize(user, attributes) {
                // Why the node may not is what its operator has to know.
                Decision::NoOpinion { .. } if !reason.is_empty() => Decision::NoOpinion { reason },
                decision => decision,
            },
            allowed => allowed,
        }
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
