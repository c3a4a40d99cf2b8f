//! The client over transports of its own making, in memory and over gRPC.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod events;
mod grpc;
mod informer;
mod leader;
mod queue;
