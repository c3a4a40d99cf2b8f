//! Field management over hostile objects, configurations and managed fields. What is owned can be read and written, an
//! apply that was made changes nothing the second time, and a write of what is there changes no entry.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use machinery::apply::{self, Changes, Entry, OneVersion, Set, Target, Writer, fields_of, read_entries, starting_entries, write_entries};
use machinery::decode::conform;
use machinery::schema::Schema;
use machinery::text::Text;
use serde_json::Value;

use super::{schema_of, trees};

/// An object as it is stored, the entries with it, and a configuration.
struct Write {
    schema: &'static Schema,
    live: Value,
    managed: Vec<Entry>,
    config: Value,
    api_version: String,
}

fn read(input: &[u8]) -> Option<Write> {
    let [mut live, entries, config] = trees(input)?;
    let schema = schema_of(&live);
    conform(&mut live, schema, &mut Vec::new()).ok()?;
    let sent: Vec<ManagedFieldsEntry> = serde_json::from_value(entries).ok()?;
    let managed = starting_entries(Vec::new(), Some(&sent));
    // What is stored has a version.
    let api_version = live["apiVersion"].as_str().filter(|version| !version.is_empty()).unwrap_or("v1").to_owned();
    Some(Write { schema, live, managed, config, api_version })
}

/// Entries can be read, and are what they are when they were written and read.
fn check(entries: &[Entry]) {
    let mut json = Vec::new();
    write_entries(entries, &mut json);
    let (again, rest) = read_entries(std::str::from_utf8(&json).unwrap()).unwrap();
    assert_eq!((&*again, rest), (entries, ""));
    let published: Vec<ManagedFieldsEntry> = entries.iter().map(ManagedFieldsEntry::from).collect();
    if !published.is_empty() && published != [ManagedFieldsEntry::default()] {
        assert_eq!(starting_entries(Vec::new(), Some(&published)), entries);
    }
    for entry in entries {
        let set = entry.fields.set().unwrap();
        assert_eq!(set.clone().union(set.clone()), set);
        assert!(set.clone().difference(&set).is_empty());
        assert_eq!(set.intersection(&set), set);
    }
}

pub fn apply(input: &[u8]) {
    let Some(Write { schema, live, managed, config, api_version }) = read(input) else { return };
    check(&managed);
    let reset = Set::of_fields(&["status"]);
    let target = Target { schema, reset: &reset, versions: &OneVersion };
    let writer = Writer { manager: "fuzz", api_version: &api_version, subresource: "", now: Timestamp::UNIX_EPOCH };
    let polite = apply::apply(&target, Some(&live), &config, managed.clone(), writer, false);
    let forced = apply::apply(&target, Some(&live), &config, managed, writer, true);
    let Ok(applied) = forced else {
        assert!(polite.is_err(), "who may not even by force may not without");
        return;
    };
    if let Ok(polite) = polite {
        assert_eq!(
            (polite.object, polite.managed),
            (applied.object.clone(), applied.managed.clone()),
            "force adds nothing without conflicts"
        );
    }
    check(&applied.managed);
    let mut stored = applied.object.unwrap_or(live);
    if conform(&mut stored, schema, &mut Vec::new()).is_err() {
        return;
    }
    let again = apply::apply(&target, Some(&stored), &config, applied.managed.clone(), writer, false);
    let again = again.expect("whoever applied owns what it names");
    let mut object = again.object.unwrap_or_else(|| stored.clone());
    conform(&mut object, schema, &mut Vec::new()).unwrap();
    assert_eq!(object, stored, "applying twice is applying once");
    // An object that nobody owns anything of counts as one that was never applied to, and gets an owner now.
    assert!(again.managed == applied.managed || applied.managed.is_empty());
}

pub fn record(input: &[u8]) {
    let Some(Write { schema, live, managed, config: mut new, api_version }) = read(input) else { return };
    if conform(&mut new, schema, &mut Vec::new()).is_err() {
        return;
    }
    let reset = Set::of_fields(&["status"]);
    let target = Target { schema, reset: &reset, versions: &OneVersion };
    let writer = Writer { manager: "fuzz", api_version: &api_version, subresource: "", now: Timestamp::UNIX_EPOCH };
    let (old_text, new_text) = (live.to_string(), new.to_string());
    let (old, new_text) = (Text::new(&old_text), Text::new(&new_text));
    let recorded = apply::update(&target, Some(old), new_text, managed.clone(), writer);
    check(&recorded);
    assert_eq!(apply::update(&target, Some(new_text), new_text, recorded.clone(), writer), recorded, "nothing changed, nothing recorded");
    assert!(managed.is_empty() <= recorded.is_empty(), "what is not tracked stays so");
    // There and back, the same fields change.
    let (there, back) = (Changes::between(schema, Some(old), new_text), Changes::between(schema, Some(new_text), old));
    assert!(there.is_empty() == back.is_empty());
    assert!(there.written.intersection(&there.removed).is_empty());
    if let Ok(named) = fields_of(schema, &new) {
        assert!(
            !named.is_empty() || new.as_object().is_none_or(|fields| fields.values().all(|value| value.is_null() || value.is_object()))
        );
    }
}
