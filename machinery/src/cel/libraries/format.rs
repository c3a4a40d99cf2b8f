//! Formats of text that Kubernetes validates: `format.dns1123Label().validate(text)`.

use super::native;
use crate::cel::Stop;
use crate::cel::evaluate::{Evaluated, Run};
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::time;
use crate::cel::value::Value as V;
use crate::names;

/// A format and what is wrong with a text that is not of it.
pub struct Named {
    name: &'static str,
    complaints: fn(&str) -> Vec<String>,
}

static NAMED: [Named; 13] = [
    Named { name: "dns1123Label", complaints: |text| names::dns1123_label(text, false) },
    Named { name: "dns1123LabelPrefix", complaints: |text| names::dns1123_label(text, true) },
    Named { name: "dns1123Subdomain", complaints: |text| names::dns1123_subdomain(text, false) },
    Named { name: "dns1123SubdomainPrefix", complaints: |text| names::dns1123_subdomain(text, true) },
    Named { name: "dns1035Label", complaints: |text| names::dns1035_label(text, false) },
    Named { name: "dns1035LabelPrefix", complaints: |text| names::dns1035_label(text, true) },
    Named { name: "qualifiedName", complaints: names::qualified_name },
    Named { name: "labelValue", complaints: names::label_value },
    Named { name: "uri", complaints: |text| complaint(super::url::is_uri(text), "a URI") },
    Named { name: "uuid", complaints: |text| complaint(is_uuid(text), "a UUID") },
    Named { name: "byte", complaints: |text| complaint(is_base64(text), "base64") },
    Named { name: "date", complaints: |text| complaint(text.len() == 10 && time::parse_declared(text).is_some(), "a date") },
    Named { name: "datetime", complaints: |text| complaint(time::parse_timestamp(text).is_some(), "a date and time") },
];

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("format.named", "string", "optional(format)", ONE, named),
    global("format.dns1123Label", "", "format", ONE, |_, _| constant("dns1123Label")),
    global("format.dns1123LabelPrefix", "", "format", ONE, |_, _| constant("dns1123LabelPrefix")),
    global("format.dns1123Subdomain", "", "format", ONE, |_, _| constant("dns1123Subdomain")),
    global("format.dns1123SubdomainPrefix", "", "format", ONE, |_, _| constant("dns1123SubdomainPrefix")),
    global("format.dns1035Label", "", "format", ONE, |_, _| constant("dns1035Label")),
    global("format.dns1035LabelPrefix", "", "format", ONE, |_, _| constant("dns1035LabelPrefix")),
    global("format.qualifiedName", "", "format", ONE, |_, _| constant("qualifiedName")),
    global("format.labelValue", "", "format", ONE, |_, _| constant("labelValue")),
    global("format.uri", "", "format", ONE, |_, _| constant("uri")),
    global("format.uuid", "", "format", ONE, |_, _| constant("uuid")),
    global("format.byte", "", "format", ONE, |_, _| constant("byte")),
    global("format.date", "", "format", ONE, |_, _| constant("date")),
    global("format.datetime", "", "format", ONE, |_, _| constant("datetime")),
    member("validate", "format, string", "optional(list(string))", Cost::Format, validate),
];

fn complaint(right: bool, what: &str) -> Vec<String> {
    if right { Vec::new() } else { vec![format!("must be {what}")] }
}

fn is_uuid(text: &str) -> bool {
    let groups = [8, 4, 4, 4, 12];
    let plain = text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit());
    plain || (text.split('-').map(str::len).eq(groups) && text.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-'))
}

fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn find(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|format| format.name == name)
}

fn constant<'v>(name: &str) -> Evaluated<'v> {
    find(name).map(V::Format).ok_or_else(|| Stop::failed(format!("there is no format {name}")))
}

native! {
    named(_run: V::String(name)) Ok(V::optional(find(name).map(V::Format)));
    validate(run: V::Format(format), V::String(text)) complaints(run, format, text);
}

fn complaints<'v>(run: &mut Run<'v>, format: &Named, text: &str) -> Evaluated<'v> {
    run.work(text.len().saturating_mul(4))?;
    let found = (format.complaints)(text);
    Ok(V::optional((!found.is_empty()).then(|| V::list(found.into_iter().map(V::text).collect()))))
}
