//! What a body has in it that its writer probably did not mean, and where.

use std::fmt::{self, Write as _};

/// Of duplicate keys (as of all strict findings) no more than this are reported.
pub const MOST_FINDINGS: usize = 100;

/// A finding's path is shown up to here: a body may have keys of megabytes, and findings below them by the thousand.
const MOST_PATH_BYTES: usize = 1024;

/// How often duplicates are looked at, those that were reported already included.
const MOST_DUPLICATES_SEEN: usize = 10 * MOST_FINDINGS;

/// Something that a client probably did not mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A field that the type does not have; it is dropped.
    Unknown(String),
    /// A field that is there more than once; the last one holds.
    Duplicate(String),
    /// The same in YAML: the key as it is written, and the line of the later value.
    Repeated { line: usize, key: String },
}

impl Finding {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Unknown(path) | Self::Duplicate(path) => path,
            Self::Repeated { key, .. } => key,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field {path:?}"),
            Self::Duplicate(path) => write!(f, "duplicate field {path:?}"),
            Self::Repeated { line, key } => write!(f, "line {line}: key {key} already set in map"),
        }
    }
}

/// Where a walk stands: a list of steps, each on the stack of the call that took it, so that a path costs
/// nothing until it is shown.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    /// The path as findings name it: its beginning, where it is very long.
    pub(crate) fn shown(&self) -> String {
        let mut shown = Shortened(String::new());
        if write!(shown, "{self}").is_err() {
            shown.0.push('…');
        }
        shown.0
    }
}

/// Takes text up to a bound, and then fails, so that nobody goes on writing.
struct Shortened(String);

impl fmt::Write for Shortened {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MOST_PATH_BYTES - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The duplicate keys of a body.
#[derive(Default)]
pub(crate) struct Duplicates {
    pub(crate) findings: Vec<Finding>,
    seen: usize,
}

impl Duplicates {
    /// Takes note of what is made only if there is room for it.
    pub(crate) fn report(&mut self, finding: impl FnOnce() -> Finding) {
        self.seen += 1;
        if self.seen > MOST_DUPLICATES_SEEN || self.findings.len() >= MOST_FINDINGS {
            return;
        }
        let finding = finding();
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}
