//! How a component talks to the API server: a transport, typed access, informers, a work queue, leader election
//! and an event recorder. The same code runs over gRPC and within one process; see [`transport::Transport`].

pub mod access;
pub mod event;
pub mod grpc;
pub mod informer;
pub mod leader;
#[cfg(feature = "memory")]
pub mod memory;
pub mod queue;
pub mod store;
pub mod transport;

pub use access::{Api, Selection};
pub use event::{EventRecorder, EventType, NewEvent};
pub use informer::Informer;
pub use leader::LeaderElection;
pub use queue::{Backoff, WorkQueue};
pub use store::{Change, Index, Snapshot, Store};
pub use transport::Transport;
