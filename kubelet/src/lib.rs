//! The node agent. It registers its node and keeps it alive, and runs the pods that are bound to it: a pure state
//! machine ([`machine`]) decides, a [`runtime`] carries out, the [`agent`] connects both with the API server. Users reach
//! what runs through the API server, which asks the kubelet's own `server` to give them [`access`]. One
//! process can be the agent of thousands of simulated nodes.

pub mod access;
pub mod agent;
pub mod machine;
pub mod node;
pub mod options;
pub mod pod;
pub mod runtime;
mod server;
mod service;
pub mod simulated;
pub mod start;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

pub use options::{Args, Options};
pub use service::{Serving, run};

/// The time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A hash that is the same in every run.
fn hash(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// 64 hexadecimal digits that stand for something, the same in every run.
fn digest(of: &(impl Hash + ?Sized)) -> String {
    (0..4u8).map(|part| format!("{:016x}", hash(&(part, hash(of))))).collect()
}
