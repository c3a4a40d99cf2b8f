//! `kybern-apiserver`: the API server as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: apiserver::args::Args = runtime::flags::parse();
    let logs = args.logs.clone();
    runtime::shutdown::main(&logs, |shutdown| apiserver::start::run(args, shutdown.token()))
}
