//! Suites that share control planes: every check is a test of its own, by name, and runs against each shape; the
//! control planes start with the first test that asks for them and end with the suite.
//!
//! A suite is a test target without cargo's own harness, for that knows no end at which to stop anything.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};

use crate::cluster::{Cluster, Shape};

/// One check. It works in a namespace of its own, for others run beside it.
pub type Check = fn(&Cluster);

/// Most of a check's time goes into waiting.
const AT_ONCE: usize = 4;

type Shared = Arc<OnceLock<Cluster>>;

/// A check that brings its own control planes.
pub type Own = fn();

/// Runs checks that bring their own control planes.
pub fn own(checks: &[(&str, Own)]) -> ExitCode {
    let trial = |(name, check): &(&str, Own)| {
        let check = *check;
        Trial::test(*name, move || {
            check();
            Ok(())
        })
    };
    run(checks.iter().map(trial).collect())
}

/// Runs every check on every shape.
pub fn main(shapes: &[Shape], checks: &[(&str, Check)]) -> ExitCode {
    let mut trials = Vec::new();
    for shape in shapes {
        let shared = Shared::default();
        trials.extend(checks.iter().map(|(name, check)| trial(*shape, name, *check, shared.clone())));
    }
    run(trials)
}

fn run(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(shape: Shape, name: &str, check: Check, shared: Shared) -> Trial {
    let name = format!("{}::{name}", format!("{shape:?}").to_lowercase());
    Trial::test(name, move || {
        // A control plane that does not start fails every check on it, and the next one tries again.
        check(shared.get_or_init(|| Cluster::start(shape)));
        Ok(())
    })
}
