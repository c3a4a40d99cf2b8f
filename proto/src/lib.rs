//! The gRPC contract (`kybern/v1/api.proto`) as Rust: messages, client and server traits, and the descriptors
//! that the reflection service publishes.

/// The messages and services of `package kybern.v1`.
pub mod v1 {
    #![allow(unreachable_pub, clippy::all, reason = "generated code")]
    tonic::include_proto!("kybern.v1");
}

/// The encoded `FileDescriptorSet` of the contract.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The trailer that carries a JSON-encoded `metav1.Status`.
pub const STATUS_TRAILER: &str = "kybern-status-bin";
