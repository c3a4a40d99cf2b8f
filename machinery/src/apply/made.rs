//! What the maker of an object owns: every field in it. The set is written in its encoded form as the object is walked, since
//! a create has no use for it as a tree.

use super::codec::write_element;
use super::compare::{is_list_or_none, is_object_or_none, part, unwritten};
use super::list::Naming;
use super::set::{Element, Set};
use crate::schema::{Cursor, Node, Schema};
use crate::tape;
use crate::text::Text;

/// The encoded set of what came to be with `object`; None where nobody can own any of it, or where elements cannot be named, so
/// that it cannot be said who owns what.
pub(super) fn encode_made(schema: &Schema, object: tape::Value<'_>, but_for: ButFor<'_>) -> Option<String> {
    const TYPICAL_BYTES: usize = 1024;
    let mut out = Made { text: String::with_capacity(TYPICAL_BYTES), nameless: false };
    let root = New { at: schema.cursor(), zero: Some(Text::EMPTY_OBJECT), value: object, but_for };
    (root.write_level(false, &mut out) && !out.nameless).then_some(out.text)
}

/// What has been written.
struct Made {
    text: String,
    /// There are elements that cannot be named.
    nameless: bool,
}

/// What is left out of a set.
#[derive(Clone, Copy)]
pub(super) struct ButFor<'s> {
    /// These fields; what is below them stays.
    pub(super) never: &'s Set<'s>,
    /// These fields and all that is below them.
    pub(super) reset: &'s Set<'s>,
}

impl ButFor<'_> {
    fn is_nothing(self) -> bool {
        self.never.is_empty() && self.reset.is_empty()
    }

    /// What is left out below an element, and whether the element is itself; None: all of it is.
    fn below(self, element: &Element<'_>) -> Option<(Self, bool)> {
        static NOTHING: Set<'static> = Set::new();
        if self.is_nothing() {
            return Some((self, false));
        }
        let (never, reset) = (self.never.get(element), self.reset.get(element));
        let below = Self { never: never.map_or(&NOTHING, |node| &node.below), reset: reset.map_or(&NOTHING, |node| &node.below) };
        let is_reset = reset.is_some_and(|node| node.member);
        (!is_reset).then(|| (below, never.is_some_and(|node| node.member)))
    }
}

/// A value that was not there before, or was `zero`: a struct's field that its JSON left out.
struct New<'v> {
    at: Cursor<'v>,
    zero: Option<Text<'static>>,
    value: tape::Value<'v>,
    but_for: ButFor<'v>,
}

/// What a value is made of, as far as it can be owned.
enum Parts<'v> {
    /// It is owned as a whole.
    None,
    Fields,
    Elements(Naming<'v>),
}

impl<'v> New<'v> {
    fn parts(&self) -> Parts<'v> {
        let (text, zero) = (self.value.text(), self.zero);
        let has_fields = || text.is_object() && is_object_or_none(zero);
        match self.at.node() {
            _ if text.is_hollow() && zero.is_none_or(Text::is_hollow) => Parts::None,
            Node::Struct { atomic: false, .. } | Node::Map { atomic: false, .. } if has_fields() => Parts::Fields,
            Node::Any if !self.at.schema().is_of_structs() && has_fields() => Parts::Fields,
            Node::List { .. } if text.is_list() && is_list_or_none(zero) => Naming::of(self.at).map_or(Parts::None, Parts::Elements),
            // What structs hold unread is one value.
            Node::Struct { .. } | Node::Map { .. } | Node::List { .. } | Node::Scalar(_) | Node::Any => Parts::None,
        }
    }

    /// Appends the element, if it or anything below it came to be.
    fn write(mut self, element: &Element<'_>, out: &mut Made) {
        let Some((below, is_never_owned)) = self.but_for.below(element) else { return };
        self.but_for = below;
        if self.zero == Some(self.value.text()) {
            return;
        }
        let start = out.text.len();
        write_element(element, &mut out.text);
        if self.write_level(!is_never_owned, out) {
            out.text.push(',');
        } else {
            out.text.truncate(start);
        }
    }

    /// Appends the object that says what is below, and whether the value itself can be owned. Says whether anything is in it.
    fn write_level(&self, is_ownable: bool, out: &mut Made) -> bool {
        let parts = self.parts();
        let is_new = match &parts {
            Parts::None => self.zero.is_none_or(|zero| !zero.is(self.value.text())),
            Parts::Fields | Parts::Elements(_) => self.zero.is_none(),
        };
        let is_member = is_new && is_ownable;
        out.text.push('{');
        let start = out.text.len();
        if is_member {
            out.text.push_str("\".\":{},");
        }
        let bare = out.text.len();
        match parts {
            Parts::None => {}
            Parts::Fields => self.write_fields(out),
            Parts::Elements(naming) => self.write_elements(&naming, out),
        }
        if out.text.len() == bare {
            // A member that has nothing below it is not marked as one.
            out.text.truncate(start);
        } else {
            // The comma behind the last.
            out.text.pop();
        }
        out.text.push('}');
        is_member || out.text.len() > start + 1
    }

    fn write_fields(&self, out: &mut Made) {
        let start = out.text.len();
        let mut last = "";
        for (name, value) in self.value.written_members() {
            if name < last || name.contains('\\') {
                // By their true names, and in order.
                out.text.truncate(start);
                self.value.fields().into_iter().for_each(|(name, value)| self.write_field(&name, value, out));
                return;
            }
            self.write_field(name, value, out);
            last = name;
        }
    }

    fn write_field(&self, name: &str, value: tape::Value<'v>, out: &mut Made) {
        let Some((at, field)) = part(self.at, name, self.at.schema().is_of_structs()) else { return };
        // What is in a struct that is left out is left out too.
        let is_left_out = self.zero.is_some_and(Text::is_object);
        let zero = if is_left_out { unwritten(field, Some(value.text())) } else { None };
        New { at, zero, value, but_for: self.but_for }.write(&Element::field(name), out);
    }

    fn write_elements(&self, naming: &Naming<'v>, out: &mut Made) {
        let (items, nameless) = naming.sorted_values(self.value);
        out.nameless |= nameless;
        let mut items = items.into_iter().peekable();
        while let Some((element, value)) = items.next() {
            let mut is_alone = true;
            while items.next_if(|(next, _)| *next == element).is_some() {
                is_alone = false;
            }
            if is_alone {
                New { at: naming.items(), zero: None, value, but_for: self.but_for }.write(&element, out);
            } else if let Some((_, false)) = self.but_for.below(&element) {
                // Elements that share a name are owned together.
                write_element(&element, &mut out.text);
                out.text.push_str("{},");
            }
        }
    }
}
