//! Quantities, numbers that may be percentages, and times.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::decode::conform;
use machinery::intstr::{Round, percentage, scaled};
use machinery::quantity::{Quantity, Scale, stored_form};
use machinery::schema::Schema;
use serde_json::json;
use std::sync::LazyLock;

pub fn quantity(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(amount) = text.parse::<Quantity>() else {
        assert!(stored_form(text).is_err(), "what is stored can be read");
        return;
    };
    let canonical = amount.to_string();
    let again: Quantity = canonical.parse().unwrap();
    assert_eq!(again, amount);
    assert_eq!(again.to_string(), canonical, "the canonical form is its own");
    assert!(canonical.len() < 48);
    let stored = stored_form(text).unwrap().unwrap_or_else(|| text.to_owned());
    assert_eq!(stored.parse::<Quantity>().unwrap(), amount, "storing changes no amount");
    assert_eq!(stored_form(&stored), Ok(None), "what was stored stands");
    assert_eq!(-(-amount), amount);
    assert!((amount + -amount).is_zero());
    let rounded = amount.round_up(Scale::Milli);
    assert!(if amount.is_negative() { rounded <= amount } else { rounded >= amount });
    let _ = (amount + amount, amount - -amount, amount.saturating_mul(i64::MIN), amount.value(), amount.milli_value(), amount.as_f64());
}

pub fn int_or_string(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let value = IntOrString::String(text.to_owned());
    for total in [0, 1, 7, 100, i32::MAX] {
        let (up, down) = (scaled(&value, total, Round::Up), scaled(&value, total, Round::Down));
        let Some(percent) = percentage(text) else {
            assert!(up.is_err() && down.is_err());
            continue;
        };
        let (up, down) = (up.unwrap(), down.unwrap());
        assert!(up == down || up == down + 1);
        assert!(percent > 100 || (0..=total).contains(&up));
    }
}

/// Times in both of their forms, by way of the kinds that have them.
pub fn time(input: &[u8]) {
    static JOB: LazyLock<Schema> = LazyLock::new(Schema::of::<k8s_openapi::api::batch::v1::Job>);
    static LEASE: LazyLock<Schema> = LazyLock::new(Schema::of::<k8s_openapi::api::coordination::v1::Lease>);
    let Ok(text) = std::str::from_utf8(input) else { return };
    for (schema, mut value, length) in [
        (&*JOB, json!({"status": {"startTime": text}}), "2006-01-02T15:04:05Z".len()),
        (&*LEASE, json!({"spec": {"renewTime": text}}), "2006-01-02T15:04:05.000000Z".len()),
    ] {
        if conform(&mut value, schema, &mut Vec::new()).is_err() {
            continue;
        }
        let kept = value.pointer("/status/startTime").or(value.pointer("/spec/renewTime")).unwrap().as_str().unwrap().to_owned();
        assert_eq!(kept.len(), length, "{kept}");
        assert!(kept.parse::<jiff::Timestamp>().is_ok() && kept.ends_with('Z'));
        let mut again = value.clone();
        conform(&mut again, schema, &mut Vec::new()).unwrap();
        assert_eq!(again, value);
    }
}
