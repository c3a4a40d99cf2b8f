//! The API server: keeps objects in a store and serves them to every client.
//!
//! - [`log`]: per resource, an immutable snapshot and a bounded ring of recent events. Reads are served from it.
//! - [`verbs`]: one file per verb, for every resource. Knows neither HTTP nor gRPC.
//! - `http`, `grpc`: the two doors. Both cross the same chain and call the same verbs.

pub mod log;
pub mod server;
pub mod verbs;

pub use server::{ApiServer, Options};
