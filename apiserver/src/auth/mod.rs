//! Who calls, and whether they may. Both doors authenticate and authorize here, in one place, before a verb runs.

pub mod authenticate;
pub mod authorize;
mod policy;

pub use authenticate::{Authenticator, PeerCertificate};
pub use authorize::{Attributes, Authorizer, Decision};
pub use policy::BootstrapPolicy;
