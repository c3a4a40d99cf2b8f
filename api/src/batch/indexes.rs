//! Sets of completion indexes as Jobs write them: `0,2-4,7`, ascending, ends included.

/// How many indexes the text names, each below `completions`; the error says what is wrong with the text.
pub fn count(text: &str, completions: i32) -> Result<i32, String> {
    parse(text, completions).map(|ranges| ranges.iter().map(|(first, last)| last - first + 1).sum())
}

/// The ranges that the text names, ends included.
pub fn parse(text: &str, completions: i32) -> Result<Vec<(i32, i32)>, String> {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    if text.is_empty() {
        return Ok(ranges);
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first, completions)?, index(last, completions)?);
        if first > last || (first == last && part.contains('-')) {
            return Err(format!("the range {part:?} does not ascend"));
        }
        if ranges.last().is_some_and(|(_, before)| *before >= first) {
            return Err(format!("{first} does not follow what comes before it"));
        }
        ranges.push((first, last));
    }
    Ok(ranges)
}

fn index(text: &str, completions: i32) -> Result<i32, String> {
    let index: i32 = text.parse().map_err(|_| format!("{text:?} is not an index"))?;
    if (0..completions).contains(&index) { Ok(index) } else { Err(format!("{index} is not an index below {completions}")) }
}

/// Whether two sets of ranges, each ascending, share an index.
pub fn overlap(a: &[(i32, i32)], b: &[(i32, i32)]) -> bool {
    a.iter().any(|(first, last)| b.iter().any(|(other_first, other_last)| first <= other_last && other_first <= last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(count("0,2-3", 6), Ok(3));
        assert_eq!(count("", 6), Ok(0));
        for bad in ["6", "2-1", "1-1", "0,0", "3,1", "1-2-3", "a", "1,", "-1"] {
            assert!(count(bad, 6).is_err(), "{bad}");
        }
        assert_eq!(parse("0-2,4", 5).map(|a| overlap(&a, &[(3, 3)])), Ok(false));
        assert_eq!(parse("0-2,4", 5).map(|a| overlap(&a, &[(2, 3)])), Ok(true));
    }
}
