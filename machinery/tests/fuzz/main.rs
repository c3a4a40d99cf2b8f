//! Fuzzing on a stable toolchain: every target is one function from bytes that checks laws, run on mutations of a
//! corpus (what the reference cases send, and files of `corpus/<target>/`, each the input of a bug that once was).
//!
//! Runs are the same each time. Longer ones, and others:
//!
//! ```text
//! KYBERN_FUZZ_ITERATIONS=1000000 KYBERN_FUZZ_SEED=7 cargo test -p kybern-machinery --test fuzz --release apply
//! ```
//!
//! An input that fails is printed and kept at `target/fuzz/<target>`; moved to `corpus/<target>/<what it was>`, it is
//! run first from then on. An input that ends the process, by a full stack say, is found there as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus;
mod growth;
mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use mutate::Mutator;

const ITERATIONS: u64 = 2000;

/// What an input may cost in a debug build: far more than any honest one, and far less than one whose cost grows
/// faster than its size.
const MOST_TIME: Duration = Duration::from_secs(2);

/// One target: what it checks, and inputs to start from.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the target's language.
    words: &'static [&'static str],
}

impl Target {
    fn fuzz(&self) {
        let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fuzz").join(self.name);
        fs::create_dir_all(last.parent().unwrap()).unwrap();
        for input in self.kept() {
            self.check(&input, &last, "kept in the corpus");
        }
        let seeds = (self.seeds)();
        assert!(!seeds.is_empty(), "{} has nothing to start from", self.name);
        let mutator = Mutator { seeds: &seeds, words: self.words };
        let (iterations, seed) = (number("KYBERN_FUZZ_ITERATIONS", ITERATIONS), number("KYBERN_FUZZ_SEED", 0));
        for iteration in 0..iterations {
            // Each iteration stands by itself, so that one can be run again without those before it.
            let mut random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ iteration);
            let mut input = seeds[random.random_range(0..seeds.len())].clone();
            mutator.mutate(&mut input, &mut random);
            self.check(&input, &last, &format!("iteration {iteration} of seed {seed}"));
        }
        let _ = fs::remove_file(&last);
    }

    /// Inputs that failed once, in the order of their names.
    fn kept(&self) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(self.name);
        let mut files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| fs::read(file).unwrap()).collect()
    }

    fn check(&self, input: &[u8], last: &Path, origin: &str) {
        fs::write(last, input).unwrap();
        let start = processor_time();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.run)(input)));
        let spent = processor_time().saturating_sub(start);
        if outcome.is_err() || spent > MOST_TIME {
            let (shown, bytes) = (String::from_utf8_lossy(&input[..input.len().min(4000)]).into_owned(), input.len());
            println!("{}: {origin} failed after {spent:?} ({bytes} bytes, kept at {}):\n{shown}\n", self.name, last.display());
        }
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        assert!(spent <= MOST_TIME, "{}: {spent:?} for {} bytes", self.name, input.len());
    }
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// How long this thread has been on a processor; where the system does not tell, how long it has been.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat");
    match stat.ok().and_then(|text| text.split(' ').next()?.parse().ok()) {
        Some(nanos) => Duration::from_nanos(nanos),
        None => {
            thread_local!(static START: Instant = Instant::now());
            START.with(Instant::elapsed)
        }
    }
}

/// A test for each target.
macro_rules! fuzz {
    ($($name:ident: $target:expr, $seeds:expr, $words:expr;)*) => {
        $(
            #[test]
            fn $name() {
                Target { name: stringify!($name), run: $target, seeds: $seeds, words: $words }.fuzz();
            }
        )*
    };
}

use mutate::words;
use targets::{amounts, decoders, expressions, fields, patches, selectors, structural, text};

fuzz! {
    json: decoders::json, corpus::objects, words::JSON;
    yaml: decoders::yaml, corpus::manifests, words::YAML;
    protobuf: decoders::protobuf, corpus::messages, &[];
    json_patch: patches::json, corpus::json_patches, words::POINTERS;
    merge_patch: patches::merge, corpus::object_pairs, words::JSON;
    strategic_patch: patches::strategic, corpus::strategic_patches, words::DIRECTIVES;
    apply: fields::apply, corpus::applies, words::FIELDS;
    field_recording: fields::record, corpus::applies, words::FIELDS;
    label_selector: selectors::labels, corpus::label_selectors, words::SELECTORS;
    field_selector: selectors::fields, corpus::field_selectors, words::SELECTORS;
    quantity: amounts::quantity, corpus::quantities, words::AMOUNTS;
    int_or_string: amounts::int_or_string, corpus::quantities, words::AMOUNTS;
    time: amounts::time, corpus::times, words::AMOUNTS;
    cel: expressions::cel, corpus::expressions, words::CEL;
    custom_resources: structural::run, corpus::custom_resources, words::SCHEMAS;
    json_text: text::scan, corpus::objects, words::JSON;
}
