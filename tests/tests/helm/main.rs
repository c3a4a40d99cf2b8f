//! The real Helm 4 with charts of its own: what a release is from its installation to its end, and how Helm and others
//! share objects.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contents;
mod releases;

use std::process::ExitCode;

use kybern_tests::cluster::Shape;
use kybern_tests::suite;

fn main() -> ExitCode {
    suite::main(
        &[Shape::Embedded, Shape::Processes],
        &[
            ("life_of_a_release", releases::life_of_a_release),
            ("upgrades_that_fail", releases::upgrades_that_fail),
            ("hooks_and_tests", releases::hooks_and_tests),
            ("dry_run_on_the_server", releases::dry_run_on_the_server),
            ("definitions_and_lookups", contents::definitions_and_lookups),
            ("many_objects", contents::many_objects),
            ("conflicts_with_others", contents::conflicts_with_others),
            ("adopting_objects", contents::adopting_objects),
        ],
    )
}
