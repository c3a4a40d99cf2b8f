//! The scheduler of Kybern: decides which pod runs on which node. Deciding ([`scheduler::Scheduler`]) is pure and
//! synchronous; a loop around it ([`run`]) follows the API server and has the decisions carried out.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod budget;
pub mod cache;
pub mod diagnosis;
mod driver;
#[cfg(test)]
mod fixture;
pub mod framework;
mod intern;
mod metrics;
pub mod node;
mod options;
pub mod peers;
mod placement;
pub mod plugins;
pub mod pod;
mod preempt;
pub mod queue;
mod report;
mod run;
pub mod scheduler;
pub mod start;
pub mod volume;
pub mod volume_binder;

pub use options::Options;
pub use run::run;
