//! How a component talks to the API server: a transport, typed access, informers, a work queue, leader election
//! and an event recorder. The same code runs over gRPC and within one process; see [`transport::Transport`].

pub mod transport;

pub use transport::Transport;
