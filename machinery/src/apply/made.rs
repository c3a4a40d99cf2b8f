//! What the maker of an object owns: every field in it. The set is written in its encoded form as the object is walked, since
//! a create has no use for it as a tree.

use super::codec::write_element;
use super::compare::{is_list_or_none, is_object_or_none, part, unwritten};
use super::list::Naming;
use super::set::{Element, Set};
use crate::schema::{Cursor, Node, Schema};
use crate::tape;
use crate::text::Text;

/// The encoded set of what came to be with `object`; None where nobody can own any of it.
pub(super) fn encode_made(schema: &Schema, object: tape::Value<'_>, but_for: ButFor<'_>) -> Option<String> {
    const TYPICAL_BYTES: usize = 1024;
    let mut out = String::with_capacity(TYPICAL_BYTES);
    let root = New { at: schema.cursor(), zero: Some(Text::EMPTY_OBJECT), value: object, but_for };
    root.write_level(false, &mut out).then_some(out)
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
    fn write(mut self, element: &Element<'_>, out: &mut String) {
        let Some((below, is_never_owned)) = self.but_for.below(element) else { return };
        self.but_for = below;
        if self.zero == Some(self.value.text()) {
            return;
        }
        let start = out.len();
        write_element(element, out);
        if self.write_level(!is_never_owned, out) {
            out.push(',');
        } else {
            out.truncate(start);
        }
    }

    /// Appends the object that says what is below, and whether the value itself can be owned. Says whether anything is in it.
    fn write_level(&self, is_ownable: bool, out: &mut String) -> bool {
        let parts = self.parts();
        let is_new = match &parts {
            Parts::None => self.zero.is_none_or(|zero| !zero.is(self.value.text())),
            Parts::Fields | Parts::Elements(_) => self.zero.is_none(),
        };
        let is_member = is_new && is_ownable;
        out.push('{');
        let start = out.len();
        if is_member {
            out.push_str("\".\":{},");
        }
        let bare = out.len();
        match parts {
            Parts::None => {}
            Parts::Fields => self.write_fields(out),
            Parts::Elements(naming) => self.write_elements(&naming, out),
        }
        if out.len() == bare {
            // A member that has nothing below it is not marked as one.
            out.truncate(start);
        } else {
            // The comma behind the last.
            out.pop();
        }
        out.push('}');
        is_member || out.len() > start + 1
    }

    fn write_fields(&self, out: &mut String) {
        let start = out.len();
        let mut last = "";
        for (name, value) in self.value.written_members() {
            if name < last || name.contains('\\') {
                // By their true names, and in order.
                out.truncate(start);
                self.value.fields().into_iter().for_each(|(name, value)| self.write_field(&name, value, out));
                return;
            }
            self.write_field(name, value, out);
            last = name;
        }
    }

    fn write_field(&self, name: &str, value: tape::Value<'v>, out: &mut String) {
        let Some((at, field)) = part(self.at, name, self.at.schema().is_of_structs()) else { return };
        // What is in a struct that is left out is left out too.
        let is_left_out = self.zero.is_some_and(Text::is_object);
        let zero = if is_left_out { unwritten(field, Some(value.text())) } else { None };
        New { at, zero, value, but_for: self.but_for }.write(&Element::field(name), out);
    }

    fn write_elements(&self, naming: &Naming<'v>, out: &mut String) {
        let mut items = naming.sorted_values(self.value).into_iter().peekable();
        while let Some((element, value)) = items.next() {
            let mut is_alone = true;
            while items.next_if(|(next, _)| *next == element).is_some() {
                is_alone = false;
            }
            if is_alone {
                New { at: naming.items(), zero: None, value, but_for: self.but_for }.write(&element, out);
            } else if let Some((_, false)) = self.but_for.below(&element) {
                // Elements that share a name are owned together.
                write_element(&element, out);
                out.push_str("{},");
            }
        }
    }
}
