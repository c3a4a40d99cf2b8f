//! Event, `events.k8s.io/v1`: the newer form of core's Event, with other names for the same fields and stricter
//! rules. It is stored as core's, so that either is seen through both.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use machinery::schema::{Definitions, Schema};
use serde_json::{Map, Value};

use crate::core::event as stored;
use crate::kind::{Column, Conversion, Kind, Names, Propagation, Scope, SelectableField};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate::immutable;

/// What the fields are called here and in storage.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub struct Events;

impl Kind for Events {
    type Object = Event;

    const NAMES: Names = Names {
        group: "events.k8s.io",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short: &["ev"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "events";
    const DEFAULT_PROPAGATION: Option<Propagation> = None;
    const CREATE_ON_UPDATE: bool = true;
    const SELECTABLE: &'static [&'static str] = stored::SELECTABLE;
    const COLUMNS: &'static [Column] = stored::COLUMNS;
    const CONVERSION: Option<Conversion> = Some(Conversion {
        stored_api_version: "v1",
        schema: Schema::of::<k8s_openapi::api::events::v1::Event>,
        define: Definitions::add::<k8s_openapi::api::events::v1::Event>,
        to_stored,
        from_stored,
        fields: &[
            ("regarding.kind", "involvedObject.kind"),
            ("regarding.namespace", "involvedObject.namespace"),
            ("regarding.name", "involvedObject.name"),
            ("regarding.uid", "involvedObject.uid"),
            ("regarding.apiVersion", "involvedObject.apiVersion"),
            ("regarding.resourceVersion", "involvedObject.resourceVersion"),
            ("regarding.fieldPath", "involvedObject.fieldPath"),
            ("reportingController", "reportingComponent"),
            ("", "source"),
        ],
    });

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(event: &mut Event) {
        stored::default(event);
    }

    fn validate_create(_cx: &Context<'_>, event: &Event) -> Errors {
        let mut errors = stored::validate(event, "reportingController");
        errors.extend(validate_series(event));
        if event.event_time.is_none() {
            errors.push(Error::required(&Path::new("eventTime"), ""));
        }
        let kind = event.type_.as_deref().unwrap_or_default();
        if !matches!(kind, "Normal" | "Warning") {
            errors.push(Error::invalid(&Path::new("type"), kind, "must be Normal or Warning"));
        }
        errors.extend(validate_no_deprecated(event));
        errors
    }

    fn update() -> &'static dyn UpdateStrategy<Event> {
        &Update
    }

    fn selectable_fields(event: &Event) -> Vec<SelectableField> {
        stored::selectable_fields(event)
    }

    fn row(event: &Event, now: Timestamp) -> Vec<Value> {
        stored::row(event, now)
    }

    fn time_to_live(_event: &Event) -> Option<Duration> {
        Some(stored::TIME_TO_LIVE)
    }
}

fn to_stored(fields: &mut Map<String, Value>) {
    for (here, there) in RENAMED {
        if let Some(value) = fields.remove(here) {
            fields.insert(there.to_owned(), value);
        }
    }
}

fn from_stored(fields: &mut Map<String, Value>) {
    for (here, there) in RENAMED {
        if let Some(value) = fields.remove(there) {
            fields.insert(here.to_owned(), value);
        }
    }
    // Core's version shows these where they are empty; this one does not.
    for name in ["reportingController", "reportingInstance"] {
        if fields.get(name).is_some_and(|value| value == "") {
            fields.remove(name);
        }
    }
}

fn validate_series(event: &Event) -> Errors {
    let mut errors = Errors::new();
    let Some(series) = &event.series else { return errors };
    let path = Path::new("series");
    if series.count.unwrap_or_default() < 2 {
        errors.push(Error::invalid(&path.child("count"), series.count.unwrap_or_default(), "must be at least 2"));
    }
    if series.last_observed_time.is_none() {
        errors.push(Error::required(&path.child("lastObservedTime"), ""));
    }
    errors
}

/// The fields that only core's version may fill.
fn validate_no_deprecated(event: &Event) -> Errors {
    let source = event.source.clone().unwrap_or_default();
    let filled = [
        ("firstTimestamp", event.first_timestamp.is_some()),
        ("lastTimestamp", event.last_timestamp.is_some()),
        ("count", event.count.unwrap_or_default() != 0),
        ("source", source.component.is_some() || source.host.is_some()),
    ];
    filled.iter().filter(|(_, is)| *is).map(|(name, _)| Error::invalid(&Path::new(name), "", "must be empty")).collect()
}

struct Update;

impl UpdateStrategy<Event> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut Event, _old: &Event) {}

    /// Only the series and metadata change.
    fn validate(&self, _cx: &Context<'_>, new: &Event, _old: &Event) -> Errors {
        stored::validate(new, "reportingController")
    }

    fn validate_change(&self, new: &Event, old: &Event) -> Errors {
        let mut errors = if new.series == old.series { Errors::new() } else { validate_series(new) };
        let at = Path::new;
        errors.extend(immutable(&at("involvedObject"), &new.involved_object, &old.involved_object));
        errors.extend(immutable(&at("reason"), &new.reason, &old.reason));
        errors.extend(immutable(&at("message"), &new.message, &old.message));
        errors.extend(immutable(&at("source"), &new.source, &old.source));
        errors.extend(immutable(&at("firstTimestamp"), &new.first_timestamp, &old.first_timestamp));
        errors.extend(immutable(&at("lastTimestamp"), &new.last_timestamp, &old.last_timestamp));
        errors.extend(immutable(&at("count"), &new.count, &old.count));
        // Kubernetes checks the reason twice, and reports it twice.
        errors.extend(immutable(&at("reason"), &new.reason, &old.reason));
        errors.extend(immutable(&at("type"), &new.type_, &old.type_));
        errors.extend(immutable(&at("eventTime"), &new.event_time, &old.event_time));
        errors.extend(immutable(&at("action"), &new.action, &old.action));
        errors.extend(immutable(&at("related"), &new.related, &old.related));
        errors.extend(immutable(&at("reportingController"), &new.reporting_component, &old.reporting_component));
        errors.extend(immutable(&at("reportingInstance"), &new.reporting_instance, &old.reporting_instance));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::ChangeAfterOwn
    }
}
