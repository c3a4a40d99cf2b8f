//! PriorityLevelConfiguration: how many requests of a level are served at once, and what becomes of the others.

use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{
    LimitResponse, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration, PriorityLevelConfigurationSpec,
    PriorityLevelConfigurationStatus, QueuingConfiguration,
};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::{GROUP, mandatory};
use crate::apps::bump_generation;
use crate::columns;
use crate::counts::non_negative;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{self, Context, UpdateStrategy};
use crate::{validate, zero};

const SHARES: i32 = 30;
const QUEUES: i32 = 64;
const HAND_SIZE: i32 = 8;
const QUEUE_LENGTH: i32 = 50;
const MOST_QUEUES: i32 = 10_000_000;
/// What a hash has to give to choose a hand.
const MOST_ENTROPY_BITS: u32 = 60;

pub struct PriorityLevelConfigurations;

impl Kind for PriorityLevelConfigurations {
    type Object = PriorityLevelConfiguration;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "PriorityLevelConfiguration",
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "prioritylevelconfigurations";
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Type", "Whether the level is limited."),
        Column::text("NominalConcurrencyShares", "The level's share of the server."),
        Column::text("Queues", "How many queues it has."),
        Column::text("HandSize", "How many queues a flow may use."),
        Column::text("QueueLengthLimit", "How many requests may wait in a queue."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(level: &mut PriorityLevelConfiguration) {
        let spec = zero::keep(&mut level.spec);
        if let Some(exempt) = &mut spec.exempt {
            exempt.nominal_concurrency_shares.get_or_insert(0);
            exempt.lendable_percent.get_or_insert(0);
        }
        if let Some(limited) = &mut spec.limited {
            limited.nominal_concurrency_shares.get_or_insert(SHARES);
            limited.lendable_percent.get_or_insert(0);
            let response = zero::keep(&mut limited.limit_response);
            if let Some(queuing) = &mut response.queuing {
                zero::fill(&mut queuing.queues, QUEUES);
                zero::fill(&mut queuing.hand_size, HAND_SIZE);
                zero::fill(&mut queuing.queue_length_limit, QUEUE_LENGTH);
            }
        }
        zero::omit(&mut zero::keep(&mut level.status).conditions);
    }

    fn prepare_create(_cx: &Context<'_>, level: &mut PriorityLevelConfiguration) {
        level.status = Some(PriorityLevelConfigurationStatus::default());
        level.metadata.generation = Some(1);
    }

    fn validate_create(_cx: &Context<'_>, level: &PriorityLevelConfiguration) -> Errors {
        check(level)
    }

    fn update() -> &'static dyn UpdateStrategy<PriorityLevelConfiguration> {
        &Update
    }

    fn subresources() -> Vec<Subresource<PriorityLevelConfiguration>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(level: &PriorityLevelConfiguration, now: Timestamp) -> Vec<Value> {
        let none = PriorityLevelConfigurationSpec::default();
        let spec = level.spec.as_ref().unwrap_or(&none);
        let limited = spec.limited.as_ref();
        let queuing = limited.and_then(|l| l.limit_response.as_ref()).and_then(|r| r.queuing.as_ref());
        let cell = |value: Option<i32>| value.map_or(json!(columns::NONE), |value| json!(value));
        vec![
            columns::name(&level.metadata),
            json!(spec.type_),
            cell(limited.and_then(|l| l.nominal_concurrency_shares)),
            cell(queuing.and_then(|q| q.queues)),
            cell(queuing.and_then(|q| q.hand_size)),
            cell(queuing.and_then(|q| q.queue_length_limit)),
            columns::age(&level.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<PriorityLevelConfiguration> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PriorityLevelConfiguration, old: &PriorityLevelConfiguration) {
        new.status.clone_from(&old.status);
        if new.spec != old.spec {
            bump_generation(&mut new.metadata, &old.metadata);
        }
    }

    fn validate(&self, _cx: &Context<'_>, new: &PriorityLevelConfiguration, _old: &PriorityLevelConfiguration) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<PriorityLevelConfiguration> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut PriorityLevelConfiguration, old: &PriorityLevelConfiguration) {
        new.spec.clone_from(&old.spec);
        strategy::keep_metadata(&mut new.metadata, &old.metadata);
        new.metadata.deletion_grace_period_seconds = old.metadata.deletion_grace_period_seconds;
    }

    fn validate(&self, _cx: &Context<'_>, new: &PriorityLevelConfiguration, _old: &PriorityLevelConfiguration) -> Errors {
        let types: Vec<&str> =
            new.status.iter().flat_map(|s| s.conditions.iter().flatten()).map(|c| c.type_.as_deref().unwrap_or_default()).collect();
        check_conditions(&Path::new("status").child("conditions"), &types)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Nothing
    }
}

/// The conditions of a status, each of a type of its own.
pub(super) fn check_conditions(path: &Path, types: &[&str]) -> Errors {
    let mut errors = Errors::new();
    for (i, kind) in types.iter().enumerate() {
        let path = path.index(i).child("type");
        if types[..i].contains(kind) {
            errors.push(Error::duplicate(&path, *kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path, ""));
        }
    }
    errors
}

fn check(level: &PriorityLevelConfiguration) -> Errors {
    let none = PriorityLevelConfigurationSpec::default();
    let spec = level.spec.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let limited_path = path.child("limited");
    let mut errors = Errors::new();
    let name = level.metadata.name.as_deref();
    if (name == Some("exempt")) != (spec.type_ == "Exempt") {
        errors.push(Error::invalid(&path.child("type"), &spec.type_, "must be 'Exempt' for the level named 'exempt', and for no other"));
    }
    match spec.type_.as_str() {
        "Exempt" => {
            if spec.limited.is_some() {
                errors.push(Error::forbidden(&limited_path, "when the type is Exempt"));
            }
            if let Some(exempt) = &spec.exempt {
                let path = path.child("exempt");
                errors.extend(non_negative(&path.child("nominalConcurrencyShares"), exempt.nominal_concurrency_shares));
                errors.extend(check_percent(&path.child("lendablePercent"), exempt.lendable_percent));
            }
        }
        "Limited" => {
            if spec.exempt.is_some() {
                errors.push(Error::forbidden(&path.child("exempt"), "when the type is Limited"));
            }
            match &spec.limited {
                None => errors.push(Error::required(&limited_path, "when the type is Limited")),
                Some(limited) => errors.extend(check_limited(&limited_path, limited)),
            }
        }
        other => errors.push(Error::not_supported(&path.child("type"), other, &["Exempt", "Limited"])),
    }
    if let Some(mut fixed) = mandatory::level(name) {
        // How much the exempt level is worth may be changed.
        if name == Some("exempt") {
            fixed.exempt.clone_from(&spec.exempt);
        }
        if fixed != *spec {
            errors.push(Error::invalid(&path, spec, "must be what it is in every cluster"));
        }
    }
    errors
}

fn check_percent(path: &Path, percent: Option<i32>) -> Option<Error> {
    percent.filter(|p| !(0..=100).contains(p)).map(|p| Error::invalid(path, p, "must be between 0 and 100"))
}

fn check_limited(path: &Path, limited: &LimitedPriorityLevelConfiguration) -> Errors {
    let mut errors = non_negative(&path.child("nominalConcurrencyShares"), limited.nominal_concurrency_shares);
    let none = LimitResponse::default();
    errors.extend(check_response(&path.child("limitResponse"), limited.limit_response.as_ref().unwrap_or(&none)));
    errors.extend(check_percent(&path.child("lendablePercent"), limited.lendable_percent));
    errors.extend(non_negative(&path.child("borrowingLimitPercent"), limited.borrowing_limit_percent));
    errors
}

fn check_response(path: &Path, response: &LimitResponse) -> Errors {
    let queuing = path.child("queuing");
    match (response.type_.as_str(), &response.queuing) {
        ("Reject", Some(_)) => vec![Error::forbidden(&queuing, "when the response is Reject")],
        ("Reject", None) => Errors::new(),
        ("Queue", None) => vec![Error::required(&queuing, "when the response is Queue")],
        ("Queue", Some(config)) => check_queuing(&queuing, config),
        (other, _) => vec![Error::not_supported(&path.child("type"), other, &["Queue", "Reject"])],
    }
}

fn check_queuing(path: &Path, queuing: &QueuingConfiguration) -> Errors {
    let (queues, hand) = (queuing.queues.unwrap_or(0), queuing.hand_size.unwrap_or(0));
    let mut errors = validate::positive(&path.child("queueLengthLimit"), queuing.queue_length_limit.unwrap_or(0).into());
    errors.extend(validate::positive(&path.child("queues"), queues.into()));
    if queues > MOST_QUEUES {
        errors.push(Error::invalid(&path.child("queues"), queues, format!("must not be greater than {MOST_QUEUES}")));
    }
    let hand_path = path.child("handSize");
    errors.extend(validate::positive(&hand_path, hand.into()));
    if hand > queues {
        errors.push(Error::invalid(&hand_path, hand, format!("must not be greater than the queues ({queues})")));
    } else if entropy_bits(queues, hand) > MOST_ENTROPY_BITS {
        errors.push(Error::invalid(&hand_path, hand, format!("needs more than {MOST_ENTROPY_BITS} bits to choose from {queues} queues")));
    }
    errors
}

/// How many bits it takes to deal a hand of that many queues.
fn entropy_bits(queues: i32, hand: i32) -> u32 {
    let hands = (0..hand.max(0)).try_fold(1u128, |hands, dealt| hands.checked_mul(u128::from((queues - dealt).unsigned_abs())));
    hands.map_or(u32::MAX, |hands| u128::BITS - hands.saturating_sub(1).leading_zeros())
}
