//! Secret: confidential data. The well-known types demand their keys; `stringData` is a way to write `data` and is
//! never read back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use machinery::field::{Error, Errors, Path};
use machinery::{names, table};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::kind::{Column, Kind, Names, Scope, SelectableField};
use crate::strategy::{Context, UpdateStrategy};
use crate::validate;

/// The largest sum of the values.
const MOST_BYTES: usize = 1 << 20;
const ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

pub struct Secrets;

impl Kind for Secrets {
    type Object = Secret;

    const NAMES: Names =
        Names { group: "", version: "v1", kind: "Secret", plural: "secrets", singular: "secret", short: &[], categories: &[] };
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_UNDER: &'static str = "secrets";
    const SELECTABLE: &'static [&'static str] = &["type"];
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("Type", "What the data is for."), Column::text("Data", "How many keys it holds."), Column::AGE];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(secret: &mut Secret) {
        for (key, text) in secret.string_data.take().into_iter().flatten() {
            secret.data.get_or_insert_default().insert(key, ByteString(text.into_bytes()));
        }
        if kind_of(secret).is_empty() {
            secret.type_ = Some("Opaque".to_owned());
        }
    }

    fn validate_create(_cx: &Context<'_>, secret: &Secret) -> Errors {
        validate(secret)
    }

    fn update() -> &'static dyn UpdateStrategy<Secret> {
        &Update
    }

    fn selectable_fields(secret: &Secret) -> Vec<SelectableField> {
        vec![("type", kind_of(secret).to_owned().into())]
    }

    fn row(secret: &Secret, now: Timestamp) -> Vec<Value> {
        let keys = secret.data.as_ref().map_or(0, |d| d.len());
        vec![json!(secret.metadata.name), json!(kind_of(secret)), json!(keys), json!(table::age(&secret.metadata, now))]
    }
}

fn kind_of(secret: &Secret) -> &str {
    secret.type_.as_deref().unwrap_or_default()
}

struct Update;

impl UpdateStrategy<Secret> for Update {
    fn prepare(&self, _cx: &Context<'_>, _new: &mut Secret, _old: &Secret) {}

    fn validate(&self, _cx: &Context<'_>, new: &Secret, _old: &Secret) -> Errors {
        validate(new)
    }

    fn validate_change(&self, new: &Secret, old: &Secret) -> Errors {
        const WHY: &str = "cannot change once `immutable` is set";
        let mut errors = validate::immutable(&Path::new("type"), &new.type_, &old.type_);
        if old.immutable == Some(true) {
            if new.immutable != Some(true) {
                errors.push(Error::forbidden(&Path::new("immutable"), WHY));
            }
            if new.data != old.data {
                errors.push(Error::forbidden(&Path::new("data"), WHY));
            }
        }
        errors
    }
}

fn validate(secret: &Secret) -> Errors {
    let path = Path::new("data");
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in secret.data.iter().flatten() {
        errors.extend(validate::complaints(&path.key(key), key, names::config_map_key(key)));
        bytes += value.0.len();
    }
    if bytes > MOST_BYTES {
        errors.push(Error::too_long(&path, MOST_BYTES));
    }
    errors.extend(validate_type(secret, &path));
    errors
}

/// What each well-known type demands.
fn validate_type(secret: &Secret, path: &Path) -> Errors {
    let value = |key: &str| secret.data.as_ref().and_then(|d| d.get(key)).map(|v| v.0.as_slice());
    let required = |key: &str| Error::required(&path.key(key), "");
    match kind_of(secret) {
        "kubernetes.io/service-account-token" => {
            let account = secret.metadata.annotations.as_ref().and_then(|a| a.get(ACCOUNT_ANNOTATION));
            if account.is_none_or(|name| name.is_empty()) {
                let at = Path::new("metadata").child("annotations").key(ACCOUNT_ANNOTATION);
                return vec![Error::required(&at, "")];
            }
            Errors::new()
        }
        "kubernetes.io/dockercfg" => json_value(path, ".dockercfg", value(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => json_value(path, ".dockerconfigjson", value(".dockerconfigjson")),
        "kubernetes.io/basic-auth" => {
            if value("username").is_none() && value("password").is_none() {
                return vec![required("username"), required("password")];
            }
            Errors::new()
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").is_none_or(<[u8]>::is_empty) => vec![required("ssh-privatekey")],
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].iter().filter(|k| value(k).is_none()).map(|k| required(k)).collect(),
        _ => Errors::new(),
    }
}

fn json_value(path: &Path, key: &str, value: Option<&[u8]>) -> Errors {
    match value {
        None => vec![Error::required(&path.key(key), "")],
        Some(bytes) if serde_json::from_slice::<Option<BTreeMap<String, IgnoredAny>>>(bytes).is_err() => {
            vec![Error::invalid(&path.key(key), "<secret contents redacted>", "is no JSON object")]
        }
        Some(_) => Errors::new(),
    }
}
