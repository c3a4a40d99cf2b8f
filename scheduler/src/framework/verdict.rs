//! [`Rejection`]: why a pod does not fit, in the words that Kubernetes uses. Operators know them, and search for them.

use std::fmt;
use std::sync::Arc;

/// One reason. Cheap to clone, as thousands of nodes may give the same.
#[derive(Clone, Debug)]
pub enum Reason {
    Fixed(&'static str),
    Made(Arc<str>),
}

impl Reason {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a pod does not fit a node, or any node.
#[derive(Clone, Debug)]
pub struct Rejection {
    pub reason: Reason,
    /// Further ones by the same plugin.
    pub more: Vec<Reason>,
    /// Whether it could be otherwise without some of the node's pods.
    pub preemptible: bool,
}

impl Rejection {
    /// For what no other pod can help.
    pub fn fixed(reason: impl Into<Reason>) -> Self {
        Self { reason: reason.into(), more: Vec::new(), preemptible: false }
    }

    /// For what is taken by other pods.
    pub fn by_pods(reason: impl Into<Reason>) -> Self {
        Self { preemptible: true, ..Self::fixed(reason) }
    }

    pub fn reasons(&self) -> impl Iterator<Item = &Reason> {
        std::iter::once(&self.reason).chain(&self.more)
    }
}
