//! ComponentStatus: whether a part of the control plane is well. Deprecated, and never stored: the server finds out when it
//! is asked.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ComponentStatus;
use machinery::field::Errors;
use serde_json::{Value, json};

use crate::columns;
use crate::kind::{Column, Kind, Names, Scope};
use crate::strategy::{Context, UpdateStrategy};

pub struct ComponentStatuses;

impl Kind for ComponentStatuses {
    type Object = ComponentStatus;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ComponentStatus",
        plural: "componentstatuses",
        singular: "componentstatus",
        short: &["cs"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "componentstatuses";
    const DEPRECATION: Option<&'static str> = Some("v1 ComponentStatus is deprecated since 1.19");
    const VERBS: &'static [&'static str] = &["get", "list"];
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "Healthy or not."),
        Column::text("Message", "What the component says."),
        Column::text("Error", "What is wrong."),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain(name, prefix)
    }

    fn validate_create(_cx: &Context<'_>, _status: &ComponentStatus) -> Errors {
        Errors::new()
    }

    fn update() -> &'static dyn UpdateStrategy<ComponentStatus> {
        &Never
    }

    fn row(status: &ComponentStatus, _now: Timestamp) -> Vec<Value> {
        let healthy = status.conditions.iter().flatten().find(|condition| condition.type_ == "Healthy");
        let shown = match healthy.map(|condition| condition.status.as_str()) {
            Some("True") => "Healthy",
            Some("False") => "Unhealthy",
            _ => "Unknown",
        };
        let text = |text: Option<&String>| json!(text.map_or("", String::as_str));
        vec![
            columns::name(&status.metadata),
            json!(shown),
            text(healthy.and_then(|condition| condition.message.as_ref())),
            text(healthy.and_then(|condition| condition.error.as_ref())),
        ]
    }
}

/// Nobody writes a ComponentStatus.
struct Never;

impl UpdateStrategy<ComponentStatus> for Never {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut ComponentStatus, _old: &ComponentStatus) {}

    fn validate(&self, _cx: &Context<'_>, _new: &ComponentStatus, _old: &ComponentStatus) -> Errors {
        Errors::new()
    }
}
