//! Event, core `v1`: something that happened to an object. Events vanish after an hour. The other version of the
//! same stored object is [`crate::events::event`].

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use machinery::field::{Error, Errors, Path};
use machinery::objectmeta::Repeated;
use machinery::{names, table};
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Propagation, Scope, SelectableField};
use crate::strategy::{Context, UpdateStrategy};

pub struct Events;

impl Kind for Events {
    type Object = Event;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Event", plural: "events", singular: "event", short: &["ev"], categories: &[] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "events";
    const DEFAULT_PROPAGATION: Option<Propagation> = None;
    const FINALIZER_DOMAINS: bool = false;
    const CREATE_ON_UPDATE: bool = true;
    const SELECTABLE: &'static [&'static str] = SELECTABLE;
    const COLUMNS: &'static [Column] = COLUMNS;

    /// Unlike that of the newer version's events, the name may be anything.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn default(event: &mut Event) {
        default(event);
    }

    fn validate_create(_cx: &Context<'_>, event: &Event) -> Errors {
        validate(event, "reportingComponent")
    }

    fn update() -> &'static dyn UpdateStrategy<Event> {
        &Update
    }

    fn selectable_fields(event: &Event) -> Vec<SelectableField> {
        selectable_fields(event)
    }

    fn row(event: &Event, now: Timestamp) -> Vec<Value> {
        row(event, now)
    }

    fn time_to_live(_event: &Event) -> Option<Duration> {
        Some(TIME_TO_LIVE)
    }
}

pub(crate) const TIME_TO_LIVE: Duration = Duration::from_secs(3600);

pub(crate) const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

pub(crate) const COLUMNS: &[Column] = &[
    Column::text("Last Seen", "Time since it happened last."),
    Column::text("Type", "Normal or Warning."),
    Column::text("Reason", "Why, in a word."),
    Column::text("Object", "What it happened to."),
    Column::text("Subobject", "Which part of that.").wide(),
    Column::text("Source", "Who reports it.").wide(),
    Column::text("Message", "What happened."),
    Column::text("First Seen", "Time since it happened first.").wide(),
    Column::text("Count", "How often it happened.").wide(),
    Column { format: "name", ..Column::text("Name", "The event's name.").wide() },
];

pub(crate) fn default(event: &mut Event) {
    event.source.get_or_insert_default();
    event.reporting_component.get_or_insert_default();
    event.reporting_instance.get_or_insert_default();
}

pub(crate) fn selectable_fields(event: &Event) -> Vec<SelectableField> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default().into();
    let about = &event.involved_object;
    let component = event.source.as_ref().and_then(|s| s.component.clone()).filter(|c| !c.is_empty());
    vec![
        ("involvedObject.kind", text(&about.kind)),
        ("involvedObject.namespace", text(&about.namespace)),
        ("involvedObject.name", text(&about.name)),
        ("involvedObject.uid", text(&about.uid)),
        ("involvedObject.apiVersion", text(&about.api_version)),
        ("involvedObject.resourceVersion", text(&about.resource_version)),
        ("involvedObject.fieldPath", text(&about.field_path)),
        ("reason", text(&event.reason)),
        ("reportingComponent", text(&event.reporting_component)),
        ("source", component.or_else(|| event.reporting_component.clone()).unwrap_or_default().into()),
        ("type", text(&event.type_)),
    ]
}

pub(crate) fn row(event: &Event, now: Timestamp) -> Vec<Value> {
    let since = |then: Timestamp| table::human_duration(now.as_second() - then.as_second());
    let happened = event.event_time.as_ref().map(|t| t.0);
    let first = event.first_timestamp.as_ref().map(|t| t.0).or(happened);
    let last = match &event.series {
        Some(series) => series.last_observed_time.as_ref().map(|t| t.0),
        None => event.last_timestamp.as_ref().map(|t| t.0).or(first),
    };
    let count = match &event.series {
        Some(series) => series.count.unwrap_or_default(),
        // An event that never recurred may come without a count.
        None => event.count.filter(|count| *count != 0).unwrap_or(1),
    };
    let unknown = || "<unknown>".to_owned();
    vec![
        json!(last.map_or_else(unknown, since)),
        json!(event.type_.as_deref().unwrap_or_default()),
        json!(event.reason.as_deref().unwrap_or_default()),
        json!(object(event)),
        json!(event.involved_object.field_path.as_deref().unwrap_or_default()),
        json!(source(event)),
        json!(event.message.as_deref().unwrap_or_default().trim()),
        json!(first.map_or_else(unknown, since)),
        json!(count),
        json!(event.metadata.name),
    ]
}

fn object(event: &Event) -> String {
    let kind = event.involved_object.kind.as_deref().unwrap_or_default().to_lowercase();
    match event.involved_object.name.as_deref() {
        None | Some("") => kind,
        Some(name) => format!("{kind}/{name}"),
    }
}

fn source(event: &Event) -> String {
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let source = event.source.as_ref();
    let component = source.and_then(|s| given(&s.component)).or_else(|| given(&event.reporting_component)).unwrap_or_default();
    match source.and_then(|s| given(&s.host)).or_else(|| given(&event.reporting_instance)) {
        Some(instance) => format!("{component}, {instance}"),
        None => component,
    }
}

struct Update;

impl UpdateStrategy<Event> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut Event, _old: &Event) {}

    fn validate(&self, _cx: &Context<'_>, new: &Event, _old: &Event) -> Errors {
        validate(new, "reportingComponent")
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }
}

/// What both versions demand. An event with an `eventTime` was written by the newer API's rules, and is held to them.
pub(crate) fn validate(event: &Event, controller_field: &str) -> Errors {
    let mut errors = Errors::new();
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let about = event.involved_object.namespace.as_deref().unwrap_or_default();
    // Events about cluster-scoped objects live in `default` (the newer API allows `kube-system` too).
    let agree = match (event.event_time.is_some(), about) {
        (false, "") => matches!(namespace, "" | "default"),
        (false, about) => about == namespace,
        (true, "") => matches!(namespace, "default" | "kube-system"),
        (true, _) => true,
    };
    if !agree {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(Error::invalid(&path, about, "does not match the event's namespace"));
    }
    if event.event_time.is_some() {
        errors.extend(validate_newer(event, controller_field));
    }
    errors
}

fn validate_newer(event: &Event, controller_field: &str) -> Errors {
    const MOST_BYTES: usize = 128;
    const MOST_MESSAGE_BYTES: usize = 1024;
    let mut errors = Errors::new();
    let path = Path::new(controller_field);
    let controller = event.reporting_component.as_deref().unwrap_or_default();
    if controller.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    errors.extend(crate::validate::complaints(&path, controller, names::qualified_name(controller)));
    for (name, value) in [("reportingInstance", &event.reporting_instance), ("action", &event.action), ("reason", &event.reason)] {
        let value = value.as_deref().unwrap_or_default();
        if value.is_empty() {
            errors.push(Error::required(&Path::new(name), ""));
        }
        if value.len() > MOST_BYTES {
            errors.push(Error::invalid(&Path::new(name), value, format!("can have at most {MOST_BYTES} bytes")));
        }
    }
    if event.message.as_ref().is_some_and(|m| m.len() > MOST_MESSAGE_BYTES) {
        errors.push(Error::invalid(&Path::new("message"), "", format!("can have at most {MOST_MESSAGE_BYTES} bytes")));
    }
    errors
}
