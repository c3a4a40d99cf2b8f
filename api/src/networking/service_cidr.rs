//! ServiceCIDR: a range of addresses that Services get theirs from, of one or both families.

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{ServiceCIDR, ServiceCIDRStatus};
use machinery::field::{Error, Errors, Path};
use machinery::ip::Block;
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::GROUP;
use crate::kind::{Column, Kind, Mark, Names, Scope, Subresource, View};
use crate::strategy::{Context, UpdateStrategy, keep_metadata};
use crate::zero;
use crate::{columns, conditions};

pub struct ServiceCIDRs;

impl Kind for ServiceCIDRs {
    type Object = ServiceCIDR;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        singular: "servicecidr",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "servicecidrs";
    const MARK: Option<Mark> = Some(conditions::mark_missing_times);
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("CIDRs", "The ranges."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(range: &mut ServiceCIDR) {
        zero::omit(&mut zero::keep(&mut range.spec).cidrs);
        zero::omit(&mut zero::keep(&mut range.status).conditions);
    }

    fn prepare_create(_cx: &Context<'_>, range: &mut ServiceCIDR) {
        range.status = Some(ServiceCIDRStatus::default());
    }

    fn validate_create(_cx: &Context<'_>, range: &ServiceCIDR) -> Errors {
        check(range)
    }

    fn update() -> &'static dyn UpdateStrategy<ServiceCIDR> {
        &Update
    }

    fn subresources() -> Vec<Subresource<ServiceCIDR>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(range: &ServiceCIDR, now: Timestamp) -> Vec<Value> {
        vec![columns::name(&range.metadata), json!(cidrs(range).join(",")), columns::age(&range.metadata, now)]
    }
}

fn cidrs(range: &ServiceCIDR) -> &[String] {
    range.spec.as_ref().and_then(|s| s.cidrs.as_deref()).unwrap_or_default()
}

struct Update;

impl UpdateStrategy<ServiceCIDR> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ServiceCIDR, old: &ServiceCIDR) {
        new.status.clone_from(&old.status);
    }

    /// Ranges stay; a second family may be added.
    fn validate(&self, _cx: &Context<'_>, new: &ServiceCIDR, old: &ServiceCIDR) -> Errors {
        const IMMUTABLE: &str = "field is immutable";
        let path = Path::new("spec").child("cidrs");
        let (new_cidrs, old_cidrs) = (cidrs(new), cidrs(old));
        let is_grown = old_cidrs.len() == 1 && new_cidrs.len() == 2;
        if new_cidrs.len() != old_cidrs.len() && !is_grown {
            return vec![Error::invalid(&path, new_cidrs, IMMUTABLE)];
        }
        let changed = new_cidrs.iter().zip(old_cidrs).enumerate().filter(|(_, (new, old))| new != old);
        let mut errors: Errors = changed.map(|(i, (new, _))| Error::invalid(&path.index(i), new, IMMUTABLE)).collect();
        if is_grown {
            errors.extend(check(new));
        }
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<ServiceCIDR> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut ServiceCIDR, old: &ServiceCIDR) {
        new.spec.clone_from(&old.spec);
        keep_metadata(&mut new.metadata, &old.metadata);
    }

    fn validate(&self, _cx: &Context<'_>, _new: &ServiceCIDR, _old: &ServiceCIDR) -> Errors {
        Errors::new()
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Change
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }
}

fn check(range: &ServiceCIDR) -> Errors {
    let path = Path::new("spec").child("cidrs");
    let texts = cidrs(range);
    if texts.is_empty() {
        return vec![Error::required(&path, "one range at least")];
    }
    if texts.len() > 2 {
        return vec![Error::invalid(&path, texts, "may only hold up to 2 values")];
    }
    let mut errors = Errors::new();
    for (i, text) in texts.iter().enumerate() {
        match Block::parse(text) {
            Err(why) => errors.push(Error::invalid(&path.index(i), text, why)),
            Ok(block) if block.to_string() != *text => {
                errors.push(Error::invalid(&path.index(i), text, format!("must be in canonical form ({block})")));
            }
            Ok(_) => {}
        }
    }
    let blocks: Vec<Option<Block>> = texts.iter().map(|text| Block::parse_loosely(text)).collect();
    if let [Some(first), Some(second)] = blocks.as_slice()
        && first.address().is_ipv4() == second.address().is_ipv4()
    {
        errors.push(Error::invalid(&path, texts, "may specify no more than one range for each IP family"));
    }
    errors
}
