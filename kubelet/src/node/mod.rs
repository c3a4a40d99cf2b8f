//! Nodes: the objects that a kubelet keeps of them, and their heartbeats.

pub mod heartbeat;
pub mod object;
