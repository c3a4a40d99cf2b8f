//! [`Taken`]: what a write takes of what others share before it happens, and gives back if it does not: charges to the
//! quotas of its namespace, and the objects of cluster IPs.

use std::net::IpAddr;
use std::sync::Arc;

use api::Object;
use machinery::{NamespacedName, Status};

use super::write::Write;
use crate::admission::Operation;
use crate::admission::resource_quota::{self, charge::Receipt};
use crate::log::Entry;

#[derive(Default)]
pub(super) struct Taken {
    receipt: Receipt,
    addresses: Vec<IpAddr>,
}

impl Write<'_> {
    fn is_of_services(&self) -> bool {
        let names = self.resource().names();
        names.plural == "services" && names.group.is_empty()
    }

    /// For a new object.
    pub(super) async fn take(&self, object: &dyn Object) -> Result<Taken, Status> {
        self.take_for(Operation::Create, object, None).await
    }

    /// For a change of the present object.
    pub(super) async fn take_for_change(&self, object: &dyn Object, present: &Entry) -> Result<Taken, Status> {
        let namespace = &self.target.namespace;
        if namespace.is_empty() || !(self.is_of_services() || self.server.has_quotas(namespace)) {
            return Ok(Taken::default());
        }
        let old = present.object(self.resource()).map_err(Status::internal)?;
        self.take_for(Operation::Update, object, Some(&*old)).await
    }

    async fn take_for(&self, operation: Operation, object: &dyn Object, old: Option<&dyn Object>) -> Result<Taken, Status> {
        let receipt = self.charge(operation, object, old).await?;
        let mut taken = Taken { receipt, addresses: Vec::new() };
        if self.is_of_services() && !self.options.dry_run {
            match self.server.hold_addresses(object, old).await {
                Ok(addresses) => taken.addresses = addresses,
                Err(status) => {
                    self.server.refund(taken.receipt).await;
                    return Err(status);
                }
            }
        }
        Ok(taken)
    }

    /// The write did not happen.
    pub(super) async fn give_back(&self, taken: Taken, name: &NamespacedName) {
        self.server.let_go(taken.addresses, &name.namespace, &name.name).await;
        self.server.refund(taken.receipt).await;
    }

    /// The write did happen: what the former state held, and the new one does not, is free again.
    pub(super) async fn release(&self, before: &Arc<Entry>, after: Option<&Arc<Entry>>) {
        if self.is_of_services()
            && let Ok(old) = before.object(self.resource())
        {
            let new = after.and_then(|entry| entry.object(self.resource()).ok());
            self.server.release_addresses(&*old, new.as_deref()).await;
        }
    }

    /// Charges the write to the quotas of its namespace.
    async fn charge(&self, operation: Operation, object: &dyn Object, old: Option<&dyn Object>) -> Result<Receipt, Status> {
        let namespace = &self.target.namespace;
        if namespace.is_empty() || !self.server.has_quotas(namespace) {
            return Ok(Receipt::default());
        }
        let Some(cost) = resource_quota::cost(&self.request(operation, old), object) else { return Ok(Receipt::default()) };
        let resource = self.resource().group_resource();
        let name = object.meta().name.clone().unwrap_or_default();
        self.server.charge(namespace, cost, self.options.dry_run).await.map_err(|refused| match refused {
            Some(why) => Status::forbidden(&resource, &name, why),
            None => Status::conflict(&resource, &name, "the quotas of the namespace change too often; please try again"),
        })
    }
}
