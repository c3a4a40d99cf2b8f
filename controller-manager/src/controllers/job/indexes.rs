//! Sets of completion indexes, and their form in a Job's status: `0,2-4`.

use std::collections::BTreeSet;

/// More indexes than this in one text are not read: validation allows no more.
const MOST: i64 = 1_000_000;

/// Reads the form; what is not of it is left out, and so is what is not below `completions`.
pub(super) fn parse(text: &str, completions: i32) -> BTreeSet<i32> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
        let last = last.min(completions - 1);
        if i64::from(last) - i64::from(first) < MOST {
            indexes.extend(first..=last);
        }
    }
    indexes
}

pub(super) fn print(indexes: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let part = |(first, last): &(i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_printed_as_runs_and_read_again() {
        for text in ["", "0", "0,1", "0-2", "1,3-5,7,9,10"] {
            assert_eq!(print(&parse(text, 100)), text);
        }
        assert_eq!(print(&parse("0-9", 3)), "0-2");
        assert_eq!(print(&parse("x,2-,3", 9)), "3");
    }
}
