//! Label selectors: the text form of URLs and command lines, the object form of workloads, and matching.

mod parse;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::Status;
use crate::field::{Error as FieldError, Errors, Path};
use crate::names;
use crate::objectmeta::{complaints, validate_labels};

/// A text that is not a selector, or too long a one; answered with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the selector is longer than {MOST_BYTES} bytes")]
    TooLong,
    #[error("found {found}, expected {expected}")]
    Syntax { found: String, expected: &'static str },
    #[error("{key:?} is no label key: {why}")]
    Key { key: String, why: String },
    #[error("{value:?} is no value of the label {key:?}: {why}")]
    Value { key: String, value: String, why: String },
    #[error("{0:?} is not an operator of label selectors")]
    Operator(String),
    #[error("the operator {operator} on {key:?} takes {takes}")]
    Values { key: String, operator: &'static str, takes: &'static str },
}

/// The longest selector text that is read.
pub const MOST_BYTES: usize = 64 << 10;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::bad_request(format!("unable to parse the label selector: {error}"))
    }
}

/// Which objects are meant, by their labels: those that meet all requirements. Without any, all are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Sorted by key.
    requirements: Box<[Requirement]>,
    /// A selector that is absent where absence means that nothing is selected.
    nothing: bool,
}

/// What the label under a key has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub key: Box<str>,
    pub test: Test,
}

/// A test of a label's value. `NotEquals` and `NotIn` hold also where the label is missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    Equals(Box<str>),
    NotEquals(Box<str>),
    /// Values are sorted.
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Exists,
    DoesNotExist,
    /// For labels that are integers.
    Greater(i64),
    Less(i64),
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object.
    pub fn nothing() -> Self {
        Self { nothing: true, ..Self::default() }
    }

    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let mut requirements: Vec<_> = requirements.into_iter().collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements: requirements.into(), nothing: false }
    }

    /// Reads the text form, such as `app=shop,tier in (web, cart),!canary`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::parse(text)
    }

    /// Selects the objects that have all these labels; an empty map selects everything.
    pub fn of_map(labels: &BTreeMap<String, String>) -> Self {
        Self::new(labels.iter().map(|(key, value)| Requirement { key: key.as_str().into(), test: Test::Equals(value.as_str().into()) }))
    }

    /// Reads the object form. None selects nothing, an empty selector everything. What [`validate`] lets pass
    /// does not fail here.
    pub fn of(selector: Option<&LabelSelector>) -> Result<Self, Error> {
        let Some(selector) = selector else { return Ok(Self::nothing()) };
        let mut requirements = Self::of_map(selector.match_labels.as_ref().unwrap_or(&BTreeMap::new())).requirements.into_vec();
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.as_deref().unwrap_or_default();
            let test = match (expression.operator.as_str(), values) {
                ("In", [_, ..]) => Test::In(sorted(values)),
                ("NotIn", [_, ..]) => Test::NotIn(sorted(values)),
                ("Exists", []) => Test::Exists,
                ("DoesNotExist", []) => Test::DoesNotExist,
                ("In" | "NotIn", []) => return Err(wrong_values(&expression.key, "In or NotIn", "one value or more")),
                ("Exists" | "DoesNotExist", _) => return Err(wrong_values(&expression.key, "Exists or DoesNotExist", "no values")),
                (other, _) => return Err(Error::Operator(other.to_owned())),
            };
            requirements.push(Requirement { key: expression.key.as_str().into(), test });
        }
        Ok(Self::new(requirements))
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_by(|key| labels.get(key).map(String::as_str))
    }

    /// For objects whose labels may be absent.
    pub fn matches_option(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.matches_by(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
    }

    /// For labels that are kept in another form.
    pub fn matches_by<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.test.holds(label(&requirement.key)))
    }

    /// The one value that the label has to have for an object to be selected, if there is one: what an index
    /// can be asked for.
    pub fn exact(&self, key: &str) -> Option<&str> {
        self.requirements.iter().filter(|requirement| &*requirement.key == key).find_map(|requirement| match &requirement.test {
            Test::Equals(value) => Some(&**value),
            Test::In(values) if values.len() == 1 => values.first().map(|value| &**value),
            _ => None,
        })
    }
}

fn sorted(values: &[String]) -> Box<[Box<str>]> {
    let mut values: Vec<Box<str>> = values.iter().map(|value| value.as_str().into()).collect();
    values.sort_unstable();
    values.dedup();
    values.into()
}

fn wrong_values(key: &str, operator: &'static str, takes: &'static str) -> Error {
    Error::Values { key: key.to_owned(), operator, takes }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[Box<str>], value: &str| values.iter().any(|known| &**known == value);
        match (self, value) {
            (Self::Equals(wanted), Some(value)) => &**wanted == value,
            (Self::NotEquals(unwanted), Some(value)) => &**unwanted != value,
            (Self::In(values), Some(value)) => among(values, value),
            (Self::NotIn(values), Some(value)) => !among(values, value),
            (Self::Exists, value) => value.is_some(),
            (Self::DoesNotExist, value) => value.is_none(),
            (Self::Greater(bound), Some(value)) => value.parse::<i64>().is_ok_and(|value| value > *bound),
            (Self::Less(bound), Some(value)) => value.parse::<i64>().is_ok_and(|value| value < *bound),
            (Self::NotEquals(_) | Self::NotIn(_), None) => true,
            (Self::Equals(_) | Self::In(_) | Self::Greater(_) | Self::Less(_), None) => false,
        }
    }
}

/// The text form, which reads back as the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { key, test }) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::Equals(value) => write!(f, "{key}={value}")?,
                Test::NotEquals(value) => write!(f, "{key}!={value}")?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => f.write_str(key)?,
                Test::DoesNotExist => write!(f, "!{key}")?,
                Test::Greater(bound) => write!(f, "{key}>{bound}")?,
                Test::Less(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

/// Everything wrong with a selector in its object form.
pub fn validate(selector: &LabelSelector, path: &Path) -> Errors {
    let mut errors = validate_labels(selector.match_labels.as_ref(), &path.child("matchLabels"));
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(index);
        if !matches!(expression.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist") {
            let operator = expression.operator.as_str();
            errors.push(FieldError::invalid(&path.child("operator"), operator, "not an operator of label selectors"));
        }
        errors.extend(validate_requirement(expression, &path));
    }
    errors
}

/// Everything wrong with a requirement but an operator that is not known, which later versions may know.
pub fn validate_requirement(requirement: &LabelSelectorRequirement, path: &Path) -> Errors {
    let values = requirement.values.as_deref().unwrap_or_default();
    let mut errors = Errors::new();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(&path.child("values"), "the operators In and NotIn need values"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(FieldError::forbidden(&path.child("values"), "the operators Exists and DoesNotExist take no values"));
        }
        _ => {}
    }
    errors.extend(complaints(&path.child("key"), &requirement.key, names::qualified_name(&requirement.key)));
    let each = values.iter().enumerate();
    errors.extend(each.flat_map(|(at, value)| complaints(&path.child("values").index(at), value, names::label_value(value))));
    errors
}

#[cfg(test)]
mod tests;
