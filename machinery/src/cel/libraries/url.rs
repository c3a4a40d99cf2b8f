//! URLs as Go's `url.ParseRequestURI` takes them: absolute, or a path that begins with a slash.

use std::rc::Rc;

use super::native;
use crate::cel::Stop;
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::value::{Key, Made, Map, Value as V};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("url", "string", "url", Cost::Read, url),
    global("isURL", "string", "bool", Cost::Read, is_url),
    member("getScheme", "url", "string", ONE, scheme),
    member("getHost", "url", "string", ONE, host),
    member("getHostname", "url", "string", ONE, hostname),
    member("getPort", "url", "string", ONE, port),
    member("getEscapedPath", "url", "string", ONE, path),
    member("getQuery", "url", "map(string, list(string))", ONE, query),
];

#[derive(Debug, PartialEq)]
pub struct Url {
    scheme: String,
    /// With the port.
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.bytes().any(|c| c.is_ascii_control()) {
            return None;
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
            _ if text.starts_with('/') => ("", text),
            _ => return None,
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = match rest.strip_prefix("//") {
            Some(after) if !scheme.is_empty() => after.split_at(after.find('/').unwrap_or(after.len())),
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if !is_host(host) || !is_escaped(path) {
            return None;
        }
        let path = path.bytes().map(|c| if is_unescaped(c) { char::from(c).to_string() } else { format!("%{c:02X}") }).collect();
        Some(Self { scheme: scheme.to_ascii_lowercase(), host: host.to_owned(), path, query: query.to_owned() })
    }

    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or(rest, |(inner, _)| inner),
            None => self.host.split_once(':').map_or(&self.host, |(name, _)| name),
        }
    }

    fn port(&self) -> &str {
        let after = self.host.rsplit_once(']').map_or(self.host.as_str(), |(_, after)| after);
        after.split_once(':').map_or("", |(_, port)| port)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inner, port)) => (inner, port),
            None => return false,
        },
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port_is_right = port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
    port_is_right && !name.bytes().any(|c| c == b' ' || b"<>\"\\^`{|}#[]".contains(&c)) && is_escaped(name)
}

/// Whether each percent sign begins an escape.
fn is_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether Go leaves a byte of a path as it is.
fn is_unescaped(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&c)
}

/// Whether a text is a URL of this form.
pub(super) fn is_uri(text: &str) -> bool {
    Url::parse(text).is_some()
}

/// A part of a query, unescaped; bytes that are no text are replaced.
fn unescaped(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(c) = bytes.get(at) {
        match c {
            b'+' => out.push(b' '),
            b'%' => {
                out.push(u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok()?);
                at += 2;
            }
            c => out.push(*c),
        }
        at += 1;
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

native! {
    url(run: V::String(text)) {
        run.work(text.len() * 4)?;
        Url::parse(text).map(|url| V::Url(Rc::new(url))).ok_or_else(|| Stop::failed("the string is no URL"))
    };
    is_url(_run: V::String(text)) Ok(V::Bool(Url::parse(text).is_some()));
    scheme(_run: V::Url(url)) Ok(V::text(url.scheme.as_str()));
    host(_run: V::Url(url)) Ok(V::text(url.host.as_str()));
    hostname(_run: V::Url(url)) Ok(V::text(url.hostname()));
    port(_run: V::Url(url)) Ok(V::text(url.port()));
    path(_run: V::Url(url)) Ok(V::text(url.path.as_str()));
    query(run: V::Url(url)) {
        run.work(url.query.len() * 8)?;
        let mut values: std::collections::BTreeMap<String, Vec<V<'v>>> = Default::default();
        for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
                values.entry(key).or_default().push(V::text(value));
            }
        }
        let entries = values.into_iter().map(|(key, values)| (Key::String(key.into()), V::list(values))).collect();
        Ok(V::Map(Map::Made(Rc::new(Made { entries, default: None }))))
    };
}
