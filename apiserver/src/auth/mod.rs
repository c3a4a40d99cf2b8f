//! Who calls, and whether they may. Both doors authenticate and authorize here, in one place, before a verb runs.

pub mod authenticate;
pub mod authorize;
pub mod rbac;

use api::strategy::UserInfo;

pub use authenticate::{Authenticator, PeerCertificate};
pub use authorize::{Attributes, Authorizer, Decision};

use crate::admission::World;
use authorize::Grounds;
use rbac::Rbac;

/// Who may do what: administrators everything, everybody what roles and bindings give them.
pub struct Access {
    pub rbac: Rbac,
}

impl Access {
    pub fn new(world: &World) -> Self {
        Self { rbac: Rbac::new(world) }
    }
}

impl Authorizer for Access {
    fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        if rbac::is_master(user) {
            return Decision::Allow(Grounds::Masters);
        }
        self.rbac.authorize(user, attributes)
    }
}

/// The name under which a service account calls.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
