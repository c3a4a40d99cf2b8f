//! Says of each flow schema, in its condition `Dangling`, whether the priority level that it names is missing.

use std::sync::{Arc, Weak};

use api::object::downcast_ref;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::Status;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bootstrap;
use crate::follow::follow;
use crate::log::path;
use crate::server::ApiServer;
use crate::verbs::{Patch, Target, WriteOptions};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMAS: &str = "flowschemas";
const LEVELS: &str = "prioritylevelconfigurations";
const CONDITION: &str = "Dangling";
/// As upstream's writer of these conditions is named in managed fields.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Keeps the conditions in step with both kinds until `stop`, which must come no later than the end of watches.
pub(crate) async fn keep_told(server: Weak<ApiServer>, stop: CancellationToken) {
    let look = |server: Arc<ApiServer>| {
        async move {
            if let Err(status) = server.tell_dangling().await {
                tracing::debug!(%status, "telling which flow schemas dangle; the next change of one tries again");
            }
            None
        }
        .boxed()
    };
    follow(server, stop, &[(GROUP, SCHEMAS), (GROUP, LEVELS)], look).await;
}

/// The condition that a schema should have; None: it has it.
fn due(schema: &FlowSchema, level_exists: bool, now: Timestamp) -> Option<FlowSchemaCondition> {
    let level = schema.spec.as_ref().map(|spec| spec.priority_level_configuration.name.as_str()).unwrap_or_default();
    let (status, reason, message) = if level_exists {
        ("False", "Found", format!("the priority level {level:?} that this flow schema names exists"))
    } else {
        ("True", "NotFound", format!("the priority level {level:?} that this flow schema names does not exist"))
    };
    let conditions = schema.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let known = conditions.into_iter().find(|known| known.type_.as_deref() == Some(CONDITION));
    let same = known.filter(|known| known.status.as_deref() == Some(status));
    if same.is_some_and(|same| same.message.as_deref() == Some(&message)) {
        return None;
    }
    Some(FlowSchemaCondition {
        type_: Some(CONDITION.to_owned()),
        status: Some(status.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: same.and_then(|same| same.last_transition_time.clone()).or(Some(Time(now))),
    })
}

impl ApiServer {
    async fn tell_dangling(self: Arc<Self>) -> Result<(), Status> {
        let (Some(schemas), Some(levels)) = (self.world().log(GROUP, SCHEMAS), self.world().log(GROUP, LEVELS)) else { return Ok(()) };
        let Some(resource) = self.served().find(GROUP, "v1", SCHEMAS) else { return Ok(()) };
        for entry in schemas.snapshot().entries.values() {
            let object = entry.object(schemas.resource()).map_err(Status::internal)?;
            let Some(schema) = downcast_ref::<FlowSchema>(&*object) else { continue };
            let level = schema.spec.as_ref().map(|spec| spec.priority_level_configuration.name.as_str()).unwrap_or_default();
            let Some(condition) = due(schema, levels.get(&path("", level)).is_some(), Timestamp::now()) else { continue };
            let name = schema.metadata.name.clone().unwrap_or_default();
            let config = json!({
                "apiVersion": format!("{GROUP}/v1"), "kind": "FlowSchema",
                "metadata": {"name": name, "uid": schema.metadata.uid}, "status": {"conditions": [condition]},
            });
            let target = Target { resource: resource.clone(), subresource: Some("status".to_owned()), namespace: String::new(), name };
            let options = WriteOptions { field_manager: Some(MANAGER.to_owned()), ..WriteOptions::default() };
            let patch = Patch::Apply { config: config.to_string().into(), force: true };
            match self.patch(&bootstrap::caller(), &target, patch, &options).await {
                // Gone, or made anew, meanwhile: its own event says so.
                Err(status) if !status.is_not_found() && !status.is_conflict() => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_dangles_while_its_level_is_missing() {
        let mut schema: FlowSchema = serde_json::from_value(json!({
            "metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 1},
        }))
        .unwrap();
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::now());
        let missing = due(&schema, false, early).unwrap();
        assert_eq!((missing.status.as_deref(), missing.reason.as_deref()), (Some("True"), Some("NotFound")));
        schema.status.get_or_insert_default().conditions = Some(vec![missing]);
        assert_eq!(due(&schema, false, late), None);
        let found = due(&schema, true, late).unwrap();
        assert_eq!((found.status.as_deref(), found.last_transition_time.unwrap().0), (Some("False"), late));
        // Another level that is missing as well is no transition.
        schema.spec.as_mut().unwrap().priority_level_configuration.name = "other".to_owned();
        assert_eq!(due(&schema, false, late).unwrap().last_transition_time.unwrap().0, early);
    }
}
