//! Query parameters as the verbs' options. Where a parameter is given twice the first counts; what does not parse is
//! refused with 400, but booleans, of which everything besides `false` and `0` is true. A pair that is not well encoded is
//! no pair.

use std::borrow::Cow;

use machinery::Status;
use machinery::field::{Error, Path};
use machinery::{GroupKind, status};

use crate::verbs::delete_options::{check_delete, propagation, validate_dry_run};
use crate::verbs::{DeleteOptions, FieldValidation, ListOptions, WatchOptions, WriteOptions};

/// The parameters of one request.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    pub fn parse(query: Option<&'a str>) -> Self {
        let query = query.unwrap_or_default();
        // The parser takes what is not well encoded as it stands; upstream's drops it, and what holds a semicolon.
        if !query.contains(['%', ';']) || query.split('&').all(is_well_encoded) {
            return Self { pairs: form_urlencoded::parse(query.as_bytes()).collect() };
        }
        let good = query.split('&').filter(|pair| is_well_encoded(pair));
        Self { pairs: good.flat_map(|pair| form_urlencoded::parse(pair.as_bytes())).collect() }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_ref())
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_ref())
    }

    /// A value that is not empty.
    pub fn given(&self, name: &str) -> Option<String> {
        self.get(name).filter(|v| !v.is_empty()).map(str::to_owned)
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name).map(|v| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> status::Result<Option<T>> {
        match self.get(name) {
            None => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|_| Status::bad_request(format!("{name}: {text:?} is not a whole number in range")))
            }
        }
    }

    pub fn watch(&self) -> bool {
        self.boolean("watch").unwrap_or(false)
    }

    /// What must be numbers in lists and watches alike, whether it counts there or not.
    fn check_numbers(&self) -> status::Result<()> {
        self.number::<i64>("limit")?;
        self.number::<i64>("timeoutSeconds")?;
        Ok(())
    }

    pub fn list(&self) -> status::Result<ListOptions> {
        self.check_numbers()?;
        Ok(ListOptions {
            label_selector: self.text("labelSelector"),
            field_selector: self.text("fieldSelector"),
            resource_version: self.given("resourceVersion"),
            resource_version_match: self.given("resourceVersionMatch"),
            limit: self.number("limit")?.unwrap_or(0),
            continue_token: self.text("continue"),
        })
    }

    pub fn watch_options(&self) -> status::Result<WatchOptions> {
        self.check_numbers()?;
        Ok(WatchOptions {
            label_selector: self.text("labelSelector"),
            field_selector: self.text("fieldSelector"),
            resource_version: self.given("resourceVersion"),
            resource_version_match: self.given("resourceVersionMatch"),
            send_initial_events: self.boolean("sendInitialEvents"),
            allow_bookmarks: self.boolean("allowWatchBookmarks").unwrap_or(false),
            timeout_seconds: self.number("timeoutSeconds")?,
        })
    }

    /// What upstream validates of list and watch options before it looks at the resource.
    pub fn validate_list(&self, watch: bool) -> status::Result<()> {
        let path = Path::new("resourceVersionMatch");
        let (version, matching) = (self.given("resourceVersion"), self.given("resourceVersionMatch"));
        let initial = self.boolean("sendInitialEvents");
        let mut errors = Vec::new();
        if watch {
            // A watch that says nothing of where it begins is one of the present state, asked for in the old way.
            let is_old = initial.is_none() && matching.is_none() && matches!(version.as_deref(), None | Some("0"));
            let (matching, initial) = if is_old { (Some("NotOlderThan"), Some(true)) } else { (matching.as_deref(), initial) };
            validate_watch(&path, matching, initial, &mut errors);
            if matching.is_some() && self.given("continue").is_some() {
                errors.push(Error::forbidden(&path, "cannot be combined with a continue token"));
            }
        } else {
            if let Some(matching) = matching.as_deref() {
                if version.is_none() {
                    errors.push(Error::forbidden(&path, "needs a resourceVersion"));
                }
                if self.given("continue").is_some() {
                    errors.push(Error::forbidden(&path, "cannot be combined with a continue token"));
                }
                match matching {
                    "NotOlderThan" => {}
                    "Exact" if version.as_deref() == Some("0") => {
                        errors.push(Error::forbidden(&path, "an exact match of version 0 is impossible"))
                    }
                    "Exact" => {}
                    other => errors.push(Error::not_supported(&path, other, &["Exact", "NotOlderThan"])),
                }
            }
            if initial.is_some() {
                errors.push(Error::forbidden(&Path::new("sendInitialEvents"), "is for watches only"));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &errors)) }
    }

    pub fn write(&self, options_kind: &'static str) -> status::Result<WriteOptions> {
        let mut errors = Vec::new();
        let dry_run = self.dry_run(&mut errors);
        let field_manager = self.get("fieldManager").filter(|m| !m.is_empty()).map(str::to_owned);
        if let Some(manager) = &field_manager {
            validate_manager(manager, &mut errors);
        }
        let field_validation = match self.get("fieldValidation") {
            None | Some("" | "Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                errors.push(Error::not_supported(&Path::new("fieldValidation"), other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if errors.is_empty() {
            Ok(WriteOptions { dry_run, field_manager, field_validation })
        } else {
            Err(Status::invalid(&GroupKind::new("meta.k8s.io", options_kind), "", &errors))
        }
    }

    /// `force` of an apply.
    pub fn force(&self) -> Option<bool> {
        self.boolean("force")
    }

    pub fn delete(&self) -> status::Result<DeleteOptions> {
        let mut errors = Vec::new();
        let options = DeleteOptions {
            propagation: propagation(self.given("propagationPolicy").as_deref(), &mut errors),
            orphan_dependents: self.boolean("orphanDependents"),
            grace_period_seconds: self.number("gracePeriodSeconds")?,
            uid: None,
            resource_version: None,
            dry_run: self.dry_run(&mut errors),
        };
        check_delete(options, errors)
    }

    fn dry_run(&self, errors: &mut Vec<Error>) -> bool {
        let values: Vec<&str> = self.pairs.iter().filter(|(n, _)| n == "dryRun").map(|(_, v)| v.as_ref()).collect();
        validate_dry_run(&values, errors)
    }
}

/// Whether every `%` begins an encoded byte, and no semicolon stands for an ampersand.
fn is_well_encoded(pair: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = pair.as_bytes();
    let escaped = |at: usize| is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2));
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => escaped(at),
        b';' => false,
        _ => true,
    })
}

fn validate_watch(path: &Path, matching: Option<&str>, initial: Option<bool>, errors: &mut Vec<Error>) {
    const ONLY: &str = "NotOlderThan";
    if initial.is_some() && matching != Some(ONLY) {
        errors.push(Error::forbidden(path, "sendInitialEvents needs resourceVersionMatch NotOlderThan"));
    }
    if initial.is_none() && matching.is_some() {
        errors.push(Error::forbidden(path, "is for watches with sendInitialEvents only"));
    }
    if let Some(other) = matching.filter(|matching| *matching != ONLY) {
        errors.push(Error::not_supported(path, other, &[ONLY]));
    }
}

fn validate_manager(manager: &str, errors: &mut Vec<Error>) {
    const MOST_BYTES: usize = 128;
    let path = Path::new("fieldManager");
    if manager.len() > MOST_BYTES {
        errors.push(Error::too_long(&path, MOST_BYTES));
    }
    if manager.chars().any(char::is_control) {
        errors.push(Error::invalid(&path, manager, "must consist of printable characters"));
    }
}
