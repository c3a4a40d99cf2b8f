//! [`Symbols`]: short numbers for the keys and values of nodes' labels, so that matching compares numbers. A text
//! lives as long as a node has it.

use std::sync::Arc;

use hashbrown::HashMap;

/// A label's key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(u32);

#[derive(Default)]
pub struct Symbols {
    known: HashMap<Arc<str>, Symbol>,
    texts: Vec<Entry>,
    free: Vec<Symbol>,
}

struct Entry {
    text: Arc<str>,
    uses: u32,
}

impl Symbols {
    /// The text's symbol; None where no node has it.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.known.get(text).copied()
    }

    pub fn text(&self, symbol: Symbol) -> &str {
        &self.texts[symbol.0 as usize].text
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The text's symbol, for one use more.
    pub(super) fn hold(&mut self, text: &str) -> Symbol {
        if let Some(known) = self.find(text) {
            self.texts[known.0 as usize].uses += 1;
            return known;
        }
        let entry = Entry { text: text.into(), uses: 1 };
        let text = entry.text.clone();
        let symbol = match self.free.pop() {
            Some(free) => {
                self.texts[free.0 as usize] = entry;
                free
            }
            None => {
                self.texts.push(entry);
                Symbol(self.texts.len() as u32 - 1)
            }
        };
        self.known.insert(text, symbol);
        symbol
    }

    /// Ends a use.
    pub(super) fn release(&mut self, symbol: Symbol) {
        let entry = &mut self.texts[symbol.0 as usize];
        entry.uses -= 1;
        if entry.uses == 0 {
            self.known.remove(&entry.text);
            self.free.push(symbol);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_lives_as_long_as_it_is_used() {
        let mut symbols = Symbols::default();
        let zone = symbols.hold("zone");
        assert_eq!(symbols.hold("zone"), zone);
        symbols.release(zone);
        assert_eq!(symbols.find("zone"), Some(zone));
        symbols.release(zone);
        assert_eq!(symbols.find("zone"), None);
        assert_eq!((symbols.hold("disk"), symbols.text(zone)), (zone, "disk"));
    }
}
