//! What every process shares: arguments, logs, metrics, health, identity and TLS, a small server for health and
//! metrics, and an orderly end.

pub mod args;
pub mod flags;
pub mod health;
pub mod jwt;
pub mod kubeconfig;
pub mod logs;
pub mod metrics;
pub mod pki;
pub mod server;
pub mod shutdown;
pub mod signing;
mod slis;
pub mod tls;

pub use health::Health;
pub use metrics::Metrics;
pub use shutdown::{Shutdown, Tasks};
pub use tokio_util::sync::CancellationToken;
