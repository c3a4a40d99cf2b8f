//! Every registered kind against the tables of interface facts: what Kubernetes 1.36 itself serves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use api::kind::Scope;
use api::{Registry, Resource};

const RESOURCES: &str = include_str!("../facts/api-resources.tsv");
const COLUMNS: &str = include_str!("../facts/printer-columns.tsv");
const SELECTABLE: &str = include_str!("../facts/field-selectors.tsv");
const KEYS: &str = include_str!("../facts/etcd-keys.tsv");

/// The rows of a table, without its head.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().skip(1).map(|line| line.split('\t').collect())
}

fn group_version(resource: &dyn Resource) -> String {
    resource.kind().api_version()
}

fn built_in() -> Registry {
    Registry::built_in()
}

fn words(list: &str) -> BTreeSet<&str> {
    list.split(',').filter(|w| !w.is_empty()).collect()
}

#[test]
fn names_scopes_and_verbs() {
    for resource in built_in().all() {
        let (names, version) = (resource.names(), group_version(&**resource));
        let row = rows(RESOURCES)
            .find(|row| row[0] == version && row[1] == names.plural)
            .unwrap_or_else(|| panic!("{version} {} is not served by Kubernetes", names.plural));
        let scope = if resource.scope() == Scope::Cluster { "Cluster" } else { "Namespaced" };
        assert_eq!((names.kind, scope, names.singular), (row[2], row[3], row[7]), "{version} {}", names.plural);
        let ours: BTreeSet<&str> = resource.verbs().iter().copied().collect();
        assert_eq!(ours, words(row[4]), "verbs of {version} {}", names.plural);
        assert_eq!(names.short.iter().copied().collect::<BTreeSet<_>>(), words(row[5]), "short names of {}", names.plural);
        assert_eq!(names.categories.iter().copied().collect::<BTreeSet<_>>(), words(row[6]), "categories of {}", names.plural);
    }
}

/// Subresources that are views of the stored object stand in the kind; the others are the API server's.
#[test]
fn views_of_the_object_are_all_there() {
    const VIEWS: [&str; 6] = ["status", "scale", "finalize", "ephemeralcontainers", "resize", "approval"];
    for resource in built_in().all() {
        let (plural, version) = (resource.names().plural, group_version(&**resource));
        let served: BTreeSet<&str> = rows(RESOURCES)
            .filter(|row| row[0] == version)
            .filter_map(|row| row[1].strip_prefix(plural)?.strip_prefix('/'))
            .filter(|name| VIEWS.contains(name))
            .collect();
        let ours: BTreeSet<&str> = resource.subresources().iter().map(|s| s.name).collect();
        assert_eq!(ours, served, "{version} {plural}");
    }
}

#[test]
fn columns() {
    let mut tables: BTreeMap<(&str, &str), Vec<_>> = BTreeMap::new();
    for row in rows(COLUMNS) {
        let cell = (row[2], row[3], row[4], row[5].parse::<i32>().unwrap());
        tables.entry((row[0], row[1])).or_default().push(cell);
    }
    for resource in built_in().all() {
        let version = group_version(&**resource);
        let ours: Vec<_> = resource.columns().iter().map(|c| (c.name, c.kind, c.format, c.priority)).collect();
        let plural = resource.names().plural;
        assert_eq!(Some(&ours), tables.get(&(version.as_str(), plural)), "columns of {version} {plural}");
    }
}

#[test]
fn selectable_fields() {
    let named: BTreeMap<&str, BTreeSet<&str>> = rows(SELECTABLE).map(|row| (row[0].split(' ').next().unwrap(), words(row[1]))).collect();
    for resource in built_in().all() {
        let plural = resource.names().plural;
        let qualified = resource.group_resource().to_string();
        let expected = named.get(plural).or_else(|| named.get(qualified.as_str())).cloned().unwrap_or_default();
        let ours: BTreeSet<&str> = resource.selectable().iter().copied().collect();
        assert_eq!(ours, expected, "{qualified}");
    }
}

#[test]
fn storage_keys() {
    for resource in built_in().all() {
        let names = resource.names();
        let Some(row) = rows(KEYS).find(|row| row[0] == names.group && row[1] == names.version && row[2] == names.plural) else {
            // The table lacks a few; those keep to the rule, or have their group before them.
            let under =
                if names.group == "apiextensions.k8s.io" { format!("{}/{}", names.group, names.plural) } else { names.plural.into() };
            assert_eq!(resource.stored_under(), under);
            continue;
        };
        let (under, namespaced) = match row[3].split_once("/<namespace>/") {
            Some((under, _)) => (under, true),
            None => (row[3].rsplit_once('/').unwrap().0, false),
        };
        assert_eq!(resource.stored_under(), under, "{}", names.plural);
        assert_eq!(resource.scope() == Scope::Namespaced, namespaced, "{}", names.plural);
    }
}

/// What a kind says of itself holds together: a row has a cell for each column, an object of the kind decodes,
/// and its selectable fields have the names that were declared.
#[test]
fn an_empty_object_goes_through_every_kind() {
    for resource in built_in().all() {
        let mut value = serde_json::json!({"metadata": {"name": "x"}});
        value["apiVersion"] = resource.kind().api_version().into();
        value["kind"] = resource.names().kind.into();
        let mut object = resource.decode(value).unwrap_or_else(|why| panic!("{}: {why}", resource.names().plural));
        resource.default(&mut *object);
        let once = resource.encode(&*object);
        resource.default(&mut *object);
        assert_eq!(resource.encode(&*object), once, "{}: defaulting twice is defaulting once", resource.names().plural);
        let cells = resource.row(&*object, jiff::Timestamp::UNIX_EPOCH);
        // Kubernetes shows the age of addresses in a column that it does not name.
        let unnamed = usize::from(resource.names().plural == "ipaddresses");
        assert_eq!(cells.len(), resource.columns().len() + unnamed, "{}", resource.names().plural);
        for (name, _) in resource.selectable_fields(&*object) {
            assert!(resource.selectable().contains(&name), "{} does not declare {name}", resource.names().plural);
        }
        let mut stored = Vec::new();
        object.write_json(&mut stored);
        let again = resource.decode_stored(&stored).unwrap();
        assert_eq!(resource.encode(&*again), once, "{}: what is read is what was stored", resource.names().plural);
        let presented: serde_json::Value = serde_json::from_slice(&resource.present(&stored)).unwrap();
        let version = resource.kind().api_version();
        assert_eq!((&presented["apiVersion"], &presented["kind"]), (&version.into(), &resource.names().kind.into()));
    }
}
