//! Sets of fields: which parts of an object somebody owns. A set is a tree of path elements, sorted at every level,
//! so that union, difference and intersection are merges of sorted lists.
//!
//! Elements borrow their text from the objects or from the encoded sets that they were read from.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::mem;

use serde_json::Value;

/// What kind of step a path element is. The order is that of encoded sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of a struct or a key of a map.
    Field,
    /// An element of a list map; the text is the JSON object of its keys, sorted.
    Key,
    /// An element of a list that is a set; the text is its JSON.
    Value,
    /// An element of a list by position; the text is the number.
    Index,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub step: Step,
    pub text: Cow<'a, str>,
}

impl<'a> Element<'a> {
    pub fn field(name: impl Into<Cow<'a, str>>) -> Self {
        Self { step: Step::Field, text: name.into() }
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.step.cmp(&other.step).then_with(|| match self.step {
            Step::Field => self.text.cmp(&other.text),
            Step::Key | Step::Value | Step::Index => compare_json(self.text.as_bytes(), other.text.as_bytes()),
        })
    }
}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares JSON texts byte by byte, but whole numbers that differ by their value: port 80 comes before 443.
fn compare_json(a: &[u8], b: &[u8]) -> Ordering {
    let Some(differ) = a.iter().zip(b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let digits = |text: &[u8], from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    // The digits before the difference are common to both.
    let start = differ - a[..differ].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let is_number = start == 0 || a[start - 1] == b':';
    let (a_digits, b_digits) = (digits(a, start), digits(b, start));
    if is_number && a_digits > 0 && b_digits > 0 {
        return a_digits.cmp(&b_digits).then_with(|| a.cmp(b));
    }
    a.cmp(b)
}

impl fmt::Display for Element<'_> {
    /// As paths in conflicts show it: `.replicas`, `[name="web"]`, `[="example.org/a"]`, `[3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Field => write!(f, ".{}", self.text),
            Step::Value => write!(f, "[={}]", self.text),
            Step::Index => write!(f, "[{}]", self.text),
            Step::Key => {
                f.write_char('[')?;
                let keys: serde_json::Map<String, Value> = serde_json::from_str(&self.text).unwrap_or_default();
                for (at, (name, value)) in keys.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_char(']')
            }
        }
    }
}

/// A path element with what is known below it. Either it is a member of the set itself, or something below it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    pub element: Element<'a>,
    pub member: bool,
    pub below: Set<'a>,
}

/// A set of fields. See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set<'a>(Vec<Node<'a>>);

impl<'a> Set<'a> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The set of these fields, each given as names joined by dots: `metadata.ownerReferences`.
    pub fn of_fields(paths: &[&'a str]) -> Self {
        paths.iter().fold(Self::new(), |set, path| set.union(Self::of_path(path.split('.'))))
    }

    fn of_path(names: impl DoubleEndedIterator<Item = &'a str>) -> Self {
        names.rev().fold(Self::new(), |below, name| {
            let member = below.is_empty();
            Self(vec![Node { element: Element::field(name), member, below }])
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many members there are at all levels.
    pub fn len(&self) -> usize {
        self.0.iter().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    pub fn nodes(&self) -> &[Node<'a>] {
        &self.0
    }

    pub fn get(&self, element: &Element<'_>) -> Option<&Node<'a>> {
        let at = self.0.binary_search_by(|node| node.element.cmp(element)).ok()?;
        self.0.get(at)
    }

    /// Adds what a walk found at an element. Elements must come in order.
    pub(super) fn push(&mut self, element: Element<'a>, member: bool, below: Self) {
        if member || !below.is_empty() {
            debug_assert!(self.0.last().is_none_or(|last| last.element < element), "elements are pushed in order");
            self.0.push(Node { element, member, below });
        }
    }

    /// A set from nodes in any order; nodes of one element are united.
    pub(super) fn from_nodes(mut nodes: Vec<Node<'a>>) -> Self {
        nodes.retain(|node| node.member || !node.below.is_empty());
        if nodes.is_sorted_by(|a, b| a.element < b.element) {
            return Self(nodes);
        }
        nodes.sort_by(|a, b| a.element.cmp(&b.element));
        let mut united: Vec<Node<'a>> = Vec::with_capacity(nodes.len());
        for node in nodes {
            match united.last_mut().filter(|last| last.element == node.element) {
                Some(last) => {
                    last.member |= node.member;
                    last.below = mem::take(&mut last.below).union(node.below);
                }
                None => united.push(node),
            }
        }
        Self(united)
    }

    /// What is in either set.
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut union = Vec::with_capacity(self.0.len().max(other.0.len()));
        let mut others = other.0.into_iter().peekable();
        for node in self.0 {
            while let Some(other) = others.next_if(|other| other.element < node.element) {
                union.push(other);
            }
            union.push(match others.next_if(|other| other.element == node.element) {
                Some(other) => Node { element: node.element, member: node.member || other.member, below: node.below.union(other.below) },
                None => node,
            });
        }
        union.extend(others);
        Self(union)
    }

    /// What is here and not in `other`. A field that is in `other` takes nothing below it away.
    pub fn difference(self, other: &Set<'_>) -> Self {
        self.subtract(other, |node, other| Node {
            member: node.member && !other.member,
            below: node.below.difference(&other.below),
            element: node.element,
        })
    }

    /// What is here and neither in `other` nor below anything in it.
    pub fn without(self, other: &Set<'_>) -> Self {
        self.subtract(other, |node, other| {
            let below = if other.member { Self::new() } else { node.below.without(&other.below) };
            Node { member: node.member && !other.member, below, element: node.element }
        })
    }

    fn subtract<'o>(self, other: &Set<'o>, mut rest: impl FnMut(Node<'a>, &Node<'o>) -> Node<'a>) -> Self {
        if other.is_empty() {
            return self;
        }
        let mut others = other.0.iter().peekable();
        let nodes = self.0.into_iter().filter_map(|node| {
            while others.next_if(|other| other.element < node.element).is_some() {}
            let node = match others.next_if(|other| other.element == node.element) {
                Some(other) => rest(node, other),
                None => node,
            };
            (node.member || !node.below.is_empty()).then_some(node)
        });
        Self(nodes.collect())
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &Set<'_>) -> Self {
        let mut others = other.0.iter().peekable();
        let mut common = Self::new();
        for node in &self.0 {
            while others.next_if(|other| other.element < node.element).is_some() {}
            if let Some(other) = others.next_if(|other| other.element == node.element) {
                common.push(node.element.clone(), node.member && other.member, node.below.intersection(&other.below));
            }
        }
        common
    }

    /// The paths of the members that have no members below them, as conflicts show them: of each level those that end there
    /// first.
    pub fn leaf_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_leaf_paths("", &mut paths);
        paths
    }

    fn collect_leaf_paths(&self, above: &str, paths: &mut Vec<String>) {
        let (leaves, branches): (Vec<_>, Vec<_>) = self.0.iter().partition(|node| node.below.is_empty());
        paths.extend(leaves.iter().map(|node| format!("{above}{}", node.element)));
        for node in branches {
            node.below.collect_leaf_paths(&format!("{above}{}", node.element), paths);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algebra() {
        let a = Set::of_fields(&["spec.replicas", "spec.paused", "status"]);
        let b = Set::of_fields(&["spec.paused", "spec.selector", "status.ready"]);
        assert_eq!(a.clone().union(b.clone()).leaf_paths(), [".spec.paused", ".spec.replicas", ".spec.selector", ".status.ready"]);
        assert_eq!(a.intersection(&b).leaf_paths(), [".spec.paused"]);
        assert_eq!(a.clone().difference(&b).leaf_paths(), [".status", ".spec.replicas"]);
        assert_eq!(b.clone().difference(&a).leaf_paths(), [".spec.selector", ".status.ready"]);
        assert_eq!(b.clone().without(&a).leaf_paths(), [".spec.selector"]);
        assert_eq!(a.clone().union(b).len(), 5);
        assert!(a.clone().difference(&a).is_empty());
    }

    #[test]
    fn numbers_order_by_value() {
        let key = |text: &'static str| Element { step: Step::Key, text: text.into() };
        assert!(key(r#"{"port":80,"protocol":"TCP"}"#) < key(r#"{"port":443,"protocol":"TCP"}"#));
        assert!(key(r#"{"port":80,"protocol":"TCP"}"#) < key(r#"{"port":80,"protocol":"UDP"}"#));
        assert!(key(r#"{"name":"10"}"#) < key(r#"{"name":"9"}"#));
        assert!(Element { step: Step::Index, text: "9".into() } < Element { step: Step::Index, text: "10".into() });
        assert!(Element::field("z") < key("{}"));
    }

    #[test]
    fn elements_are_shown_as_in_conflicts() {
        let key = Element { step: Step::Key, text: r#"{"port":53,"protocol":"TCP"}"#.into() };
        assert_eq!(key.to_string(), r#"[port=53,protocol="TCP"]"#);
        assert_eq!(Element { step: Step::Value, text: r#""x""#.into() }.to_string(), r#"[="x"]"#);
    }
}
