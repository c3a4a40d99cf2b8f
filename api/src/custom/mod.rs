//! Custom resources: kinds that a cluster learns from CustomResourceDefinitions while it runs.

pub mod intern;
