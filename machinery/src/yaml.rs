//! Reading YAML bodies: the first document, as the JSON value that Kubernetes makes of it, within bounds on
//! nesting and on what aliases expand to. Of duplicate keys the last one holds, and they are reported by line.
//!
//! Plain scalars are read as YAML 1.1 has them (`yes`, `on`, `0755`), because manifests rely on it; the rest of
//! the syntax is YAML 1.2.

mod scalar;

use std::collections::HashMap;
use std::str::Utf8Error;

use base64::Engine as _;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::{Map, Value};

use crate::finding::{Duplicates, Finding, Path};
use crate::json::{MOST_DEPTH, Parsed};

/// How many bytes anchors and aliases may add, counting a scalar with its length and a node with [`NODE_COST`].
const MOST_EXPANSION: usize = 4 << 20;
const NODE_COST: usize = 32;

/// A body that is not YAML, or not one that can be an API object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the body is not valid UTF-8: {0}")]
    Encoding(#[from] Utf8Error),
    #[error("the body is not valid YAML: {0}")]
    Syntax(#[from] ScanError),
    #[error("the YAML nests deeper than {MOST_DEPTH} levels")]
    Depth,
    #[error("the YAML expands too much by aliases")]
    Expansion,
    #[error("a YAML anchor contains an alias of itself")]
    Recursion,
    #[error("a YAML key is {0}, which cannot be the name of a field")]
    Key(&'static str),
    #[error("a YAML merge key (<<) holds something else than a mapping")]
    Merge,
    #[error("a YAML scalar is not what its tag says: {0}")]
    Tagged(String),
    #[error("a YAML number is not finite")]
    NotFinite,
}

/// Reads the first document of a stream; an empty stream is null.
pub fn parse(body: &[u8]) -> Result<Parsed, Error> {
    let text = std::str::from_utf8(body)?;
    let parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    let mut loader = Loader { parser, anchors: HashMap::new(), line: 0, expansion: 0, duplicates: Duplicates::default() };
    let value = loader.document()?;
    Ok(Parsed { value, duplicates: loader.duplicates.findings })
}

struct Loader<'b> {
    parser: Parser<'b, StrInput<'b>>,
    anchors: HashMap<usize, Anchored>,
    /// Where the last event began.
    line: usize,
    /// The cost of everything copied so far.
    expansion: usize,
    duplicates: Duplicates,
}

struct Anchored {
    value: Value,
    depth: usize,
}

impl<'b> Loader<'b> {
    /// The next event. After the end of the stream, the end again.
    fn next(&mut self) -> Result<Event<'b>, Error> {
        match self.parser.next_event() {
            Some(event) => {
                let (event, span) = event?;
                self.line = span.start.line();
                Ok(event)
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn document(&mut self) -> Result<Value, Error> {
        loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(Value::Null),
                event => return self.node(event, 0),
            }
        }
    }

    fn node(&mut self, event: Event<'b>, depth: usize) -> Result<Value, Error> {
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, read_scalar(&text, style, tag.as_deref())?),
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(deeper(depth)?)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(deeper(depth)?)?),
            Event::Alias(anchor) => return self.alias(anchor, depth),
            // The parser closes what it opens, and nothing else comes where a node is due.
            _ => (0, Value::Null),
        };
        if anchor > 0 {
            let copy = Anchored { value: self.copy(&value)?, depth: depth_of(&value) };
            self.anchors.insert(anchor, copy);
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, Error> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd | Event::StreamEnd => return Ok(Value::Array(list)),
                event => list.push(self.node(event, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut merged = Map::new();
        loop {
            let event = match self.next()? {
                Event::MappingEnd | Event::StreamEnd => break,
                event => event,
            };
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, depth)?;
            let event = self.next()?;
            let line = self.line;
            let value = self.node(event, depth)?;
            if merges {
                merge(&mut merged, value)?;
                continue;
            }
            let is_text = key.is_string();
            let key = key_text(key)?;
            if map.contains_key(&key) {
                self.duplicates.report(|| repeated(line, &key, is_text));
            }
            map.insert(key, value);
        }
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }

    fn alias(&mut self, anchor: usize, depth: usize) -> Result<Value, Error> {
        // An anchor that the parser knows and that is not here yet is one we are inside of.
        let anchored = self.anchors.remove(&anchor).ok_or(Error::Recursion)?;
        if depth + anchored.depth > MOST_DEPTH {
            return Err(Error::Depth);
        }
        let value = self.copy(&anchored.value)?;
        self.anchors.insert(anchor, anchored);
        Ok(value)
    }

    fn copy(&mut self, value: &Value) -> Result<Value, Error> {
        self.expansion += cost(value);
        if self.expansion > MOST_EXPANSION { Err(Error::Expansion) } else { Ok(value.clone()) }
    }
}

/// A key that is there before, with a value at `line`.
fn repeated(line: usize, key: &str, is_text: bool) -> Finding {
    let key = Path::Key(&Path::Root, key).shown();
    Finding::Repeated { line, key: if is_text { format!("{key:?}") } else { key } }
}

fn deeper(depth: usize) -> Result<usize, Error> {
    if depth < MOST_DEPTH { Ok(depth + 1) } else { Err(Error::Depth) }
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn cost(value: &Value) -> usize {
    NODE_COST
        + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(cost).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + cost(value)).sum(),
            _ => 0,
        }
}

fn read_scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Error> {
    let core_tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match core_tag {
        Some("str") => Ok(text.into()),
        Some("binary") => read_binary(text),
        Some(expected @ ("int" | "float" | "bool" | "null")) => {
            let value = scalar::resolve(text)?;
            let fits = match &value {
                Value::Number(number) => expected == "float" || expected == "int" && !number.is_f64(),
                Value::Bool(_) => expected == "bool",
                Value::Null => expected == "null",
                _ => false,
            };
            if fits { Ok(value) } else { Err(Error::Tagged(format!("{text:?} is no {expected}"))) }
        }
        None if style == ScalarStyle::Plain && tag.is_none() => scalar::resolve(text),
        _ => Ok(text.into()),
    }
}

fn read_binary(text: &str) -> Result<Value, Error> {
    let packed: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed).map_err(|error| Error::Tagged(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into())
}

fn key_text(key: Value) -> Result<String, Error> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err(Error::Key("null")),
        Value::Array(_) => Err(Error::Key("a sequence")),
        Value::Object(_) => Err(Error::Key("a mapping")),
    }
}

/// Adds what a merge key holds; of several mappings in a list, the first that has a key prevails.
fn merge(merged: &mut Map<String, Value>, value: Value) -> Result<(), Error> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                merged.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(list) => list.into_iter().try_for_each(|value| match value {
            Value::Object(_) => merge(merged, value),
            _ => Err(Error::Merge),
        }),
        _ => Err(Error::Merge),
    }
}

#[cfg(test)]
mod tests;
