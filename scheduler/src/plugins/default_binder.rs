//! DefaultBinder: binds pods through the API server, many in one call.

use std::sync::Arc;

use async_trait::async_trait;
use client::Transport;
use client::transport::{Binding, Result};
use machinery::ResourceVersion;

use crate::framework::{Bind, Plugin};

pub struct DefaultBinder {
    transport: Arc<dyn Transport>,
}

impl DefaultBinder {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }
}

impl Plugin for DefaultBinder {
    const NAME: &'static str = "DefaultBinder";
}

#[async_trait]
impl Bind for DefaultBinder {
    async fn bind(&self, bindings: Vec<Binding>) -> Vec<Result<ResourceVersion>> {
        let count = bindings.len();
        match self.transport.bind_pods(bindings).await {
            Ok(results) => results,
            Err(status) => vec![Err(status); count],
        }
    }
}
