//! `/statusz` and `/flagz`: what runs here, since when and with which flags. For people in plain text, and for programs as
//! objects of `config.k8s.io`, which have to be asked for by name.

use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::fmt::strtime;
use machinery::{Status, status};
use serde_json::{Value, json};

use super::accept::{self, Clause, Format};
use super::respond::{self, Answer};

/// The Kubernetes version that is served and emulated.
pub const EMULATED: &str = "1.36";
const PATHS: [&str; 7] = ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"];
const MEDIA: [&str; 3] = ["application/json", "application/yaml", "text/plain"];
const GROUP: &str = "config.k8s.io";
const NOTICE: &str = "Warning: this page is for people; its form may change at any time, and nothing should parse it.";

/// In which form a page is wanted.
enum Form {
    Text,
    Object { format: Format, version: &'static str },
}

pub fn statusz(headers: &HeaderMap, started: Timestamp) -> status::Result<Answer> {
    let up = Timestamp::now().as_second() - started.as_second();
    let binary = concat!("1.36.0+kybern-", env!("CARGO_PKG_VERSION"));
    match form(headers, "Statusz")? {
        Form::Object { format, version } => {
            let started = Timestamp::from_second(started.as_second()).unwrap_or(started);
            let content = json!({
                "startTime": started.to_string(), "uptimeSeconds": up, "goVersion": "", "binaryVersion": binary,
                "emulationVersion": EMULATED, "paths": PATHS,
            });
            Ok(object("Statusz", format, version, content))
        }
        Form::Text => {
            let since = strtime::format("%a %b %e %H:%M:%S UTC %Y", started).unwrap_or_default();
            let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
            Ok(text(&format!(
                "\napiserver statusz\n{NOTICE}\n\nStarted: {since}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\nBinary version: {binary}\n\
                 Emulation version: {EMULATED}\nPaths: {}\n",
                PATHS.join(" ")
            )))
        }
    }
}

pub fn flagz(headers: &HeaderMap) -> status::Result<Answer> {
    let flags = runtime::flags::all();
    match form(headers, "Flagz")? {
        Form::Object { format, version } => Ok(object("Flagz", format, version, json!({"flags": flags}))),
        Form::Text => {
            let lines: String = flags.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            Ok(text(&format!("\napiserver flagz\n{NOTICE}\n\n{lines}")))
        }
    }
}

fn form(headers: &HeaderMap, kind: &str) -> status::Result<Form> {
    let clauses = accept::clauses(headers);
    if clauses.is_empty() {
        return Ok(Form::Text);
    }
    clauses.iter().find_map(|clause| of_clause(clause, kind)).ok_or_else(|| Status::not_acceptable(&MEDIA))
}

fn of_clause(clause: &Clause<'_>, kind: &str) -> Option<Form> {
    let Some(wanted) = clause.parameter("as") else { return clause.takes("text/plain").then_some(Form::Text) };
    let format =
        [("application/json", Format::Json), ("application/yaml", Format::Yaml)].into_iter().find(|(media, _)| clause.takes(media));
    let version = ["v1beta1", "v1alpha1"].into_iter().find(|version| clause.parameter("v") == Some(version));
    let (Some((_, format)), Some(version)) = (format, version) else { return None };
    (wanted == kind && clause.parameter("g") == Some(GROUP)).then_some(Form::Object { format, version })
}

fn object(kind: &str, format: Format, version: &str, content: Value) -> Answer {
    let mut object = json!({"kind": kind, "apiVersion": format!("{GROUP}/{version}"), "metadata": {"name": "apiserver"}});
    if let (Some(object), Value::Object(content)) = (object.as_object_mut(), content) {
        object.extend(content);
    }
    let mut answer = respond::encoded(StatusCode::OK, format, object.to_string().into());
    let media = if format == Format::Yaml { MEDIA[1] } else { MEDIA[0] };
    if let Ok(media) = HeaderValue::from_str(&format!("{media};g={GROUP};v={version};as={kind}")) {
        answer.headers_mut().insert(http::header::CONTENT_TYPE, media);
    }
    let is_old = version != "v1beta1";
    respond::with_warnings(answer, is_old.then(|| format!("this version of {kind} is deprecated; ask for v1beta1")).as_slice())
}

fn text(text: &str) -> Answer {
    respond::text(StatusCode::OK, text.to_owned())
}
