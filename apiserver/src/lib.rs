//! The API server: keeps objects in a store and serves them to every client.
//!
//! - [`log`]: per resource, an immutable snapshot and a bounded ring of recent events. Reads are served from it.
//! - [`verbs`]: one file per verb, for every resource. Knows neither HTTP nor gRPC.
//! - [`http`], [`grpc`]: the two doors. Both cross the same [`chain`] and call the same verbs.
//! - [`connect`]: what is passed on to nodes, pods and services.
//! - [`auth`]: who calls, and whether they may; [`reviews`]: questions about that; [`audit`]: what is recorded of it.
//! - [`discovery`], [`openapi`]: what is served, made from the registry and the [`catalogue`].

pub mod admission;
pub mod allocation;
mod api_services;
pub mod args;
pub mod audit;
pub mod auth;
mod availability;
mod bootstrap;
pub mod catalogue;
pub mod chain;
pub mod connect;
mod definitions;
pub mod discovery;
mod flow_control;
mod follow;
pub mod grpc;
pub mod http;
mod identity;
pub mod in_process;
mod leases;
pub mod log;
pub mod openapi;
pub mod reviews;
pub mod serve;
mod served;
pub mod server;
pub mod start;
mod type_checking;
pub mod verbs;

pub use chain::Chain;
pub use in_process::InProcess;
pub use served::Served;
pub use server::{ApiServer, Options};
