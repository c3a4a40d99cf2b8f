//! Semantic versions.

use std::cmp::Ordering;
use std::rc::Rc;

use super::native;
use crate::cel::Stop;
use crate::cel::evaluate::{Evaluated, Run};
use crate::cel::library::{Cost, Function, ONE, global, member};
use crate::cel::value::Value as V;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    global("semver", "string", "semver", Cost::Read, semver),
    global("semver", "string, bool", "semver", Cost::Read, semver),
    global("isSemver", "string", "bool", Cost::Read, is_semver),
    global("isSemver", "string, bool", "bool", Cost::Read, is_semver),
    member("major", "semver", "int", ONE, major),
    member("minor", "semver", "int", ONE, minor),
    member("patch", "semver", "int", ONE, patch),
    member("isGreaterThan", "semver, semver", "bool", ONE, is_greater),
    member("isLessThan", "semver, semver", "bool", ONE, is_less),
    member("compareTo", "semver, semver", "int", ONE, compare),
];

/// A version. What was built from what means nothing when comparing.
#[derive(Clone, Debug)]
pub struct Version {
    numbers: [u64; 3],
    before: Vec<String>,
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Version {
    /// Reads `1.2.3-rc.1+build`.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (text, before) = text.split_once('-').map_or((text, None), |(text, before)| (text, Some(before)));
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if !build.is_none_or(|build| build.split('.').all(is_word)) {
            return None;
        }
        let mut parts = text.split('.').map(number);
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        let before: Vec<String> = before.map_or_else(Vec::new, |before| before.split('.').map(str::to_owned).collect());
        let is_right = |word: &String| is_word(word) && (!word.bytes().all(|c| c.is_ascii_digit()) || number(word).is_some());
        (parts.next().is_none() && before.iter().all(is_right)).then_some(Self { numbers, before })
    }

    /// Reads `v1.2` and `01.2.3` as well.
    fn parse_tolerantly(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return None;
        }
        parts.resize(3, "0".to_owned());
        Self::parse(&parts.join("."))
    }

    fn order(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            // What comes before a version is less than it.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let pairs = self.before.iter().zip(&other.before).map(|(a, b)| match (number(a), number(b)) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => a.cmp(b),
                });
                pairs.fold(Ordering::Equal, Ordering::then).then(self.before.len().cmp(&other.before.len()))
            }
        })
    }
}

/// A number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|c| c.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn without_zeros(part: &str) -> String {
    let stripped = part.trim_start_matches('0');
    match stripped.starts_with(|c: char| c.is_ascii_digit()) {
        _ if part.len() == 1 => part.to_owned(),
        true => stripped.to_owned(),
        false if part.is_empty() => String::new(),
        false => format!("0{stripped}"),
    }
}

fn read(args: &[V<'_>]) -> Result<Option<Version>, Stop> {
    match args {
        [V::String(text)] | [V::String(text), V::Bool(false)] => Ok(Version::parse(text)),
        [V::String(text), V::Bool(true)] => Ok(Version::parse_tolerantly(text)),
        _ => Err(Stop::overload("semver")),
    }
}

fn semver<'v>(run: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    run.work(args.first().map_or(0, |text| text.size() as usize))?;
    read(args)?.map(|version| V::Semver(Rc::new(version))).ok_or_else(|| Stop::failed("the string is no semantic version"))
}

fn is_semver<'v>(_: &mut Run<'v>, args: &[V<'v>]) -> Evaluated<'v> {
    Ok(V::Bool(read(args)?.is_some()))
}

native! {
    major(_run: V::Semver(version)) Ok(V::Int(version.numbers[0] as i64));
    minor(_run: V::Semver(version)) Ok(V::Int(version.numbers[1] as i64));
    patch(_run: V::Semver(version)) Ok(V::Int(version.numbers[2] as i64));
    is_greater(_run: V::Semver(a), V::Semver(b)) Ok(V::Bool(a.order(b) == Ordering::Greater));
    is_less(_run: V::Semver(a), V::Semver(b)) Ok(V::Bool(a.order(b) == Ordering::Less));
    compare(_run: V::Semver(a), V::Semver(b)) Ok(V::Int(match a.order(b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }));
}
