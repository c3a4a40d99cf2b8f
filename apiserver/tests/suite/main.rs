//! The API server as its callers see it: from a port, or from where a door calls the verbs. One program, since each links the whole server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bootstrap;
mod certificates;
mod claims;
mod connect;
mod custom_resources;
mod door;
mod escalation;
mod flow_schemas;
mod nodes;
mod port;
mod tokens;
mod verbs;
