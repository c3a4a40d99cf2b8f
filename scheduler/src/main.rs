//! `kybern-scheduler`: see [`scheduler::start`].

use std::process::ExitCode;

use scheduler::start::{self, Args};

fn main() -> ExitCode {
    let args: Args = runtime::flags::parse();
    let logs = args.logs.clone();
    runtime::shutdown::main(&logs, |shutdown| start::run(args, shutdown.token()))
}
