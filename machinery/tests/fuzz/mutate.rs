//! Mutations: of bytes, of tokens, and of the JSON trees that lines of an input may be. An input is changed a few times
//! over, mostly by what keeps it readable, so that it gets past the first parser.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::Value;

/// Words that mean something to a target, and would be long in coming by chance.
pub mod words {
    pub const JSON: &[&str] =
        &["null", "{}", "[]", "\"\"", "-0", "1e400", "1.0", "18446744073709551616", "\"\\ud800\"", "\"a\":1,", "]]", "{\"\":"];
    pub const YAML: &[&str] = &[
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!!binary ",
        "? ",
        "- ",
        "|\n",
        ">-\n ",
        "---\n",
        "%YAML 1.1\n",
        "\t",
        "0o7",
        ".inf",
        "yes",
        "#",
        "\u{feff}",
        "[",
        "{",
    ];
    pub const SCHEMAS: &[&str] = &[
        "\"type\":\"object\",",
        "\"type\":\"array\",",
        "\"type\":\"string\",",
        "\"nullable\":true,",
        "\"default\":{},",
        "\"default\":null,",
        "\"items\":{},",
        "\"additionalProperties\":true,",
        "\"additionalProperties\":{\"default\":[]},",
        "\"x-kubernetes-preserve-unknown-fields\":true,",
        "\"x-kubernetes-embedded-resource\":true,",
        "\"x-kubernetes-int-or-string\":true,",
        "\"x-kubernetes-list-type\":\"set\",",
        "\"anyOf\":[{}],",
        "\"not\":{},",
        "\"multipleOf\":0,",
        "\"maxLength\":-1,",
        "\"pattern\":\"(a*)*$\",",
        "\"format\":\"date-time\",",
        "null",
    ];
    pub const POINTERS: &[&str] = &[
        "\"add\"",
        "\"remove\"",
        "\"move\"",
        "\"copy\"",
        "\"test\"",
        "\"replace\"",
        "/-",
        "/0",
        "/-1",
        "~1",
        "~0",
        "\"/spec\"",
        "\"/metadata\"",
        "\"\"",
    ];
    pub const DIRECTIVES: &[&str] = &[
        "\"$patch\":\"delete\",",
        "\"$patch\":\"replace\",",
        "\"$patch\":\"merge\",",
        "\"$retainKeys\":[\"name\"],",
        "\"$setElementOrder/containers\":[{\"name\":\"a\"}],",
        "\"$deleteFromPrimitiveList/finalizers\":[\"a\"],",
        "null",
        "{}",
    ];
    pub const FIELDS: &[&str] = &[
        "\"f:spec\":{},",
        "\"f:metadata\":{},",
        "\".\":{},",
        "\"k:{\\\"name\\\":\\\"c\\\"}\":{},",
        "\"v:\\\"a\\\"\":{},",
        "\"i:0\":{},",
        "\"Apply\"",
        "\"Update\"",
        "null",
        "{}",
        "[]",
    ];
    pub const SELECTORS: &[&str] = &[" in ", " notin ", "!", "=", "==", "!=", ",", "(", ")", ">", "<", "\\", "\\,", "a.b/c", "-"];
    pub const CEL: &[&str] = &[
        "x.",
        "x.?a",
        "[?",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".all(i, ",
        ".map(i, ",
        ".exists(k, v, ",
        "has(",
        "cel.bind(y, ",
        " && ",
        " || ",
        " ? ",
        " : ",
        "!",
        "-",
        "!!",
        "--",
        "==",
        " in ",
        "+",
        "*",
        "/",
        "%",
        "9223372036854775807",
        "-9223372036854775808",
        "1e308",
        "0x",
        "u",
        "'",
        "\"\"\"",
        "r'",
        "b'",
        "\\u",
        "\\",
        "null",
        ".matches('",
        ".replace('', ",
        ".split('')",
        ".format([",
        "timestamp(",
        "duration('",
        "optional.of(",
        ".orValue(",
        "Object{",
        ".substring(-1",
        "url(",
        "semver(",
        "quantity(",
        "cidr(",
        "// ",
        "\n",
    ];
    pub const AMOUNTS: &[&str] =
        &["e", "E", "Ki", "Ei", "n", "m", ".", "-", "+", "999999999999", "0000", "e-9", "%", "T", "Z", ":", "24:00:00", "-0001"];
}

const LONGEST: usize = 64 << 10;

pub struct Mutator<'c> {
    pub seeds: &'c [Vec<u8>],
    pub words: &'c [&'c str],
}

impl Mutator<'_> {
    pub fn mutate(&self, input: &mut Vec<u8>, random: &mut StdRng) {
        for _ in 0..random.random_range(0..5) {
            let is_changed = random.random_bool(0.6) && self.change_tree(input, random);
            if !is_changed {
                self.change_bytes(input, random);
            }
        }
        if random.random_bool(0.02) {
            repeat(input, random);
        }
        input.truncate(LONGEST);
    }

    fn change_bytes(&self, input: &mut Vec<u8>, random: &mut StdRng) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..8) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = *[0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'0'].choose(random).unwrap(),
            2 => input.truncate(at),
            3 => {
                let end = (at + random.random_range(0..16)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                // A token, again, somewhere else.
                let token = token_at(input, at).to_vec();
                let to = random.random_range(0..=input.len());
                input.splice(to..to, token);
            }
            5 => {
                // The head of this, the tail of another.
                let other = self.seeds.choose(random).unwrap();
                input.truncate(at);
                input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
            }
            _ => {
                let word = self.words.choose(random).map_or(&[][..], |word| word.as_bytes());
                let end = if random.random_bool(0.5) { at } else { at + token_at(input, at).len() };
                input.splice(at..end, word.iter().copied());
            }
        }
    }

    /// Changes a line that is JSON; false where the one that was chosen is not.
    fn change_tree(&self, input: &mut Vec<u8>, random: &mut StdRng) -> bool {
        let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        let at = random.random_range(0..lines.len());
        let Ok(mut tree) = serde_json::from_slice::<Value>(lines[at]) else { return false };
        let other = match random.random_bool(0.5) {
            true => tree.clone(),
            false => self.seeds.choose(random).and_then(|seed| first_tree(seed)).unwrap_or_default(),
        };
        let (mut changed, mut taken) = (random.random_range(0..count(&tree)), random.random_range(0..count(&other)));
        let given = pick(&other, &mut taken).cloned().unwrap_or_default();
        let how = random.random_range(0..6);
        if let Some(place) = pick_mut(&mut tree, &mut changed) {
            change(place, given, how, random);
        }
        let text = tree.to_string();
        lines[at] = text.as_bytes();
        *input = lines.join(&b'\n');
        true
    }
}

fn change(place: &mut Value, given: Value, how: u8, random: &mut StdRng) {
    match (place, how) {
        (Value::Object(fields), 0) => {
            let name = fields.keys().nth(random.random_range(0..=fields.len())).cloned();
            fields.remove(&name.unwrap_or_default());
        }
        (Value::Object(fields), 1 | 2) => {
            let name = fields.keys().nth(random.random_range(0..=fields.len())).cloned();
            fields.insert(name.unwrap_or_else(|| "name".into()), given);
        }
        (Value::Object(fields), 3) => fields.extend(given.as_object().cloned().unwrap_or_default()),
        (Value::Array(items), 0) if !items.is_empty() => {
            items.remove(random.random_range(0..items.len()));
        }
        (Value::Array(items), 1) if !items.is_empty() => {
            let again = items[random.random_range(0..items.len())].clone();
            items.insert(random.random_range(0..=items.len()), again);
        }
        (Value::Array(items), 2) => items.insert(random.random_range(0..=items.len()), given),
        (Value::Array(items), 3) => items.reverse(),
        (place, 4) => *place = Value::Null,
        (place, _) => *place = given,
    }
}

fn first_tree(seed: &[u8]) -> Option<Value> {
    seed.split(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice(line).ok())
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The `at`th value of a tree, in the order in which they begin.
fn pick<'t>(tree: &'t Value, at: &mut usize) -> Option<&'t Value> {
    if *at == 0 {
        return Some(tree);
    }
    *at -= 1;
    match tree {
        Value::Array(items) => items.iter().find_map(|item| pick(item, at)),
        Value::Object(fields) => fields.values().find_map(|field| pick(field, at)),
        _ => None,
    }
}

fn pick_mut<'t>(tree: &'t mut Value, at: &mut usize) -> Option<&'t mut Value> {
    if *at == 0 {
        return Some(tree);
    }
    *at -= 1;
    match tree {
        Value::Array(items) => items.iter_mut().find_map(|item| pick_mut(item, at)),
        Value::Object(fields) => fields.values_mut().find_map(|field| pick_mut(field, at)),
        _ => None,
    }
}

/// From `at` to behind the next byte that divides tokens.
fn token_at(input: &[u8], at: usize) -> &[u8] {
    let rest = &input[at..];
    let end = rest.iter().position(|byte| b"{}[],:\"= \n/()".contains(byte)).map_or(rest.len(), |end| end + 1);
    &rest[..end]
}

/// Repeats a part until the input is long: what costs too much then would cost far too much in a body of megabytes.
fn repeat(input: &mut Vec<u8>, random: &mut StdRng) {
    let start = random.random_range(0..=input.len());
    let end = (start + random.random_range(1..64)).min(input.len());
    let part = input[start..end].to_vec();
    let times = random.random_range(0..16 << 10) / part.len().max(1);
    input.splice(start..start, part.repeat(times));
}
