//! Who calls, and whether they may. Both doors authenticate and authorize here, in one place, before a verb runs.

pub mod authenticate;
pub mod authorize;
mod bootstrap_tokens;
pub mod impersonation;
pub mod rbac;
pub mod service_accounts;

use api::strategy::UserInfo;

pub use authenticate::{Authenticator, PeerCertificate};
pub use authorize::{Attributes, Authorizer, Decision};

use crate::admission::World;
use authorize::Grounds;
use rbac::bootstrap::Defaults;
use rbac::{Rbac, Rule};

/// Who may do what: administrators everything, nodes what their role says though no binding gives it to them,
/// everybody what roles and bindings give them.
pub struct Access {
    pub rbac: Rbac,
    of_nodes: Box<[Rule]>,
}

impl Access {
    pub fn new(world: &World) -> Self {
        Self { rbac: Rbac::new(world), of_nodes: Defaults::read().rules_of("system:node") }
    }
}

/// Whether a user is a node's agent.
fn is_node(user: &UserInfo) -> bool {
    user.name.starts_with("system:node:") && user.groups.iter().any(|group| group == "system:nodes")
}

impl Authorizer for Access {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        if rbac::is_master(user) {
            return Decision::Allow(Grounds::Masters);
        }
        if is_node(user) && self.of_nodes.iter().any(|rule| rule.allows(attributes)) {
            return Decision::Allow(Grounds::Node);
        }
        self.rbac.authorize(user, attributes)
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
