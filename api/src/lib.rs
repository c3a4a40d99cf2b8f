//! The kinds: one file each under `<group>/`, and the registry that lists them. Everything that makes a kind
//! that kind as an API object stands in its file; the machine that serves kinds knows none of them by name.
//!
//! To add a kind: write `<group>/<kind>.rs` with an implementation of [`Kind`], and add one line to
//! `registry.rs`.

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
mod columns;
mod conditions;
pub mod coordination;
pub mod core;
mod counts;
pub mod custom;
pub mod discovery;
pub mod events;
pub mod flowcontrol;
pub mod kind;
pub mod networking;
pub mod node;
mod nulls;
pub mod object;
pub mod policy;
mod prune;
pub mod quota;
pub mod rbac;
pub mod registry;
pub mod resource;
pub mod resource_k8s;
pub mod scheduling;
pub mod served;
pub mod storage_k8s;
pub mod strategy;
pub mod validate;
mod zero;

pub use kind::Kind;
pub use object::Object;
pub use registry::Registry;
pub use resource::{Resource, ResourceRef};
