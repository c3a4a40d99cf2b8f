//! The controllers, one file or folder each. To add one: write a type that implements
//! [`Controller`](crate::controller::Controller), and add it to the list in `set.rs`.

pub mod account_token;
pub mod attributes_class_protection;
pub mod certificates;
pub mod claim_protection;
pub mod cluster_role_aggregation;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod garbage_collector;
pub mod job;
pub mod namespace;
pub mod node_lifecycle;
pub mod node_ttl;
pub mod pod_gc;
pub mod replica_set;
pub mod replicas;
pub mod replication_controller;
pub mod resource_claim;
pub mod resource_quota;
pub mod revisions;
pub mod root_ca;
pub mod service_account;
pub mod service_cidr;
pub mod set;
pub mod stateful_set;
pub mod taint_eviction;
pub mod token_cleaner;
pub mod ttl_after_finished;
pub mod volume_binder;
pub mod volume_protection;
