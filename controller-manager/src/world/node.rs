//! [`NodeRow`] and [`LeaseRow`]: what controllers need of a node and of its heartbeat.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Taint};

use super::row::{Header, Interner, Row};

/// A condition of a node, its messages left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub type_: Arc<str>,
    pub status: Arc<str>,
    pub reason: Arc<str>,
    pub heartbeat: Option<Timestamp>,
    pub changed: Option<Timestamp>,
}

pub struct NodeRow {
    header: Header,
    pub unschedulable: bool,
    pub taints: Box<[Taint]>,
    pub conditions: Box<[Condition]>,
    pub pod_cidrs: Box<[Box<str>]>,
    /// What [`TTL_ANNOTATION`] says.
    pub ttl_seconds: Option<i64>,
}

/// How many seconds the node's kubelet may keep secrets and config maps.
pub const TTL_ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

impl NodeRow {
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| &*c.type_ == name)
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| &*c.status == "True")
    }
}

impl Row for NodeRow {
    type Source = Node;

    fn project(node: &Node, intern: &Interner) -> Self {
        let spec = node.spec.as_ref();
        let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
        Self {
            header: Header::of(&node.metadata, intern),
            unschedulable: spec.and_then(|s| s.unschedulable).unwrap_or(false),
            taints: spec.and_then(|s| s.taints.as_deref()).unwrap_or_default().into(),
            conditions: conditions
                .map(|c| Condition {
                    type_: intern.text(&c.type_),
                    status: intern.text(&c.status),
                    reason: intern.text(c.reason.as_deref().unwrap_or_default()),
                    heartbeat: c.last_heartbeat_time.as_ref().map(|t| t.0),
                    changed: c.last_transition_time.as_ref().map(|t| t.0),
                })
                .collect(),
            pod_cidrs: spec.and_then(|s| s.pod_cidrs.as_deref()).unwrap_or_default().iter().map(|c| c.as_str().into()).collect(),
            ttl_seconds: node.metadata.annotations.as_ref().and_then(|all| all.get(TTL_ANNOTATION)?.parse().ok()),
        }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}

impl std::ops::Deref for NodeRow {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

pub struct LeaseRow {
    header: Header,
    pub renewed: Option<Timestamp>,
}

impl Row for LeaseRow {
    type Source = Lease;

    fn project(lease: &Lease, intern: &Interner) -> Self {
        Self { header: Header::of(&lease.metadata, intern), renewed: lease.spec.as_ref().and_then(|s| s.renew_time.as_ref()).map(|t| t.0) }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}
