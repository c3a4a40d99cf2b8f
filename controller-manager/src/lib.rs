//! The controllers of Kybern, and what runs them. A controller is a function from a [`world::World`] to a
//! [`plan::Plan`]; the executor carries plans out. Deciding does no I/O, has no clock and keeps no state.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod controller;
pub mod controllers;
mod custom;
pub mod executor;
pub mod feed;
#[cfg(test)]
mod laws;
pub mod metadata;
pub mod naming;
pub mod options;
pub mod ownership;
pub mod plan;
#[cfg(test)]
mod rights;
mod run;
pub mod selection;
#[cfg(test)]
mod simulator;
pub mod start;
pub mod world;

pub use options::Options;
pub use run::{Error, Transports, run};
