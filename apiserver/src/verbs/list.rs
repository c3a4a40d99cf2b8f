//! List: a page of a resource's objects, joined from entries that are encoded already.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::{ResourceVersion, Status};
use serde::{Deserialize, Serialize};

use super::{Caller, List, ListOptions, Target, component_status};
use crate::log::{Entry, Filter, Log, Snapshot};
use crate::server::ApiServer;

/// Where a list goes on. Clients hand it back as they got it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    v: String,
    /// The version of the list; -1: whatever is newest.
    rv: i64,
    /// The first path that may be on the page.
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// What a list is read from.
struct Source {
    snapshot: Arc<Snapshot>,
    version: ResourceVersion,
    from: String,
}

impl ApiServer {
    /// The objects at `target` that the selectors pick.
    pub async fn list(&self, _caller: &Caller, target: &Target, options: &ListOptions) -> Result<List, Status> {
        let filter = Filter::parse(target, &options.label_selector, &options.field_selector)?;
        if component_status::is_meant(target) {
            return component_status::list(self, target, &filter).await;
        }
        let log = self.log(&*target.resource)?;
        let source = self.source(&log, options).await?;
        // A list at version 0 shows what is at hand, all of it.
        let limit = match usize::try_from(options.limit) {
            Ok(limit) if limit > 0 && options.resource_version.as_deref() != Some("0") => limit,
            _ => usize::MAX,
        };
        let page = page(&source, &filter, limit);
        if !page.continue_token.is_empty() {
            log.keep(source.version, source.snapshot);
        }
        Ok(page)
    }

    async fn source(&self, log: &Arc<Log>, options: &ListOptions) -> Result<Source, Status> {
        let version = options.resource_version.as_deref().unwrap_or_default();
        if !options.continue_token.is_empty() {
            if !matches!(version, "" | "0") {
                return Err(Status::bad_request("a resource version is not allowed beside a continue token"));
            }
            return self.continued(log, &options.continue_token).await;
        }
        let exact = match options.resource_version_match.as_deref() {
            Some("Exact") => true,
            // Before there was a match parameter, a version and a limit meant exactly that version.
            None => options.limit > 0,
            Some(_) => false,
        };
        match version {
            "" => self.feed.catch_up().await?,
            "0" => {}
            text => {
                let version: ResourceVersion =
                    text.parse().map_err(|_| Status::bad_request(format!("invalid resource version {text:?}")))?;
                if version == ResourceVersion(0) {
                    return Ok(self.newest(log, String::new()));
                }
                if exact {
                    self.feed.catch_up().await?;
                    if version > self.feed.position() {
                        return Err(self.too_large(version, 0));
                    }
                    let snapshot = self.feed.snapshot_at(log, version).await?;
                    return Ok(Source { snapshot, version, from: String::new() });
                }
                self.wait_for(version).await?;
            }
        }
        Ok(self.newest(log, String::new()))
    }

    fn newest(&self, log: &Log, from: String) -> Source {
        // The position is read first: the snapshot then holds everything up to it, and perhaps more.
        let position = self.feed.position();
        let snapshot = log.snapshot();
        Source { version: position.max(snapshot.version), snapshot, from }
    }

    async fn continued(&self, log: &Arc<Log>, token: &str) -> Result<Source, Status> {
        let Token { rv, start, .. } = read_token(token)?;
        let Ok(version) = u64::try_from(rv).map(ResourceVersion) else {
            self.feed.catch_up().await?;
            return Ok(self.newest(log, start));
        };
        self.wait_for(version).await?;
        match self.feed.snapshot_at(log, version).await {
            Ok(snapshot) => Ok(Source { snapshot, version, from: start }),
            Err(mut status) if status.is_expired() => {
                "The provided continue parameter is too old to display a consistent list result. Start a new list without it, or go on \
                 with the token in this response, whose list is not consistent with the pages before."
                    .clone_into(&mut status.message);
                status.metadata.continue_token = write_token(&Token { v: TOKEN_VERSION.into(), rv: -1, start });
                Err(status)
            }
            Err(status) => Err(status),
        }
    }
}

fn page(source: &Source, filter: &Filter, limit: usize) -> List {
    let list = |items, continue_token, remaining| List { version: source.version, items, continue_token, remaining };
    if source.from.is_empty() && (limit == usize::MAX || filter.names_one(&source.snapshot)) {
        return list(filter.pick(&source.snapshot), String::new(), None);
    }
    let mut items: Vec<Arc<Entry>> = Vec::new();
    let mut rest = source.snapshot.range(filter.namespace(), &source.from);
    let mut last = None;
    for (path, entry) in rest.by_ref() {
        last = Some(path);
        if filter.matches(entry) {
            items.push(entry.clone());
        }
        if items.len() == limit {
            break;
        }
    }
    let remaining = if filter.is_open() { rest.count() } else { usize::from(rest.next().is_some()) };
    match last {
        Some(last) if remaining > 0 => {
            // The next path in order: no path holds a zero byte.
            let start = format!("{last}\0");
            let token = write_token(&Token { v: TOKEN_VERSION.into(), rv: source.version.0.cast_signed(), start });
            list(items, token, filter.is_open().then_some(remaining.cast_signed() as i64))
        }
        _ => list(items, String::new(), None),
    }
}

fn write_token(token: &Token) -> String {
    // A struct of strings and a number always serializes.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default())
}

fn read_token(text: &str) -> Result<Token, Status> {
    let invalid = || Status::bad_request("the continue token is not valid");
    let json = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| invalid())?;
    let token: Token = serde_json::from_slice(&json).map_err(|_| invalid())?;
    // Where to go on is a path below the collection's own.
    let is_path = !token.start.is_empty() && token.start.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if token.v == TOKEN_VERSION && token.rv != 0 && is_path { Ok(token) } else { Err(invalid()) }
}
