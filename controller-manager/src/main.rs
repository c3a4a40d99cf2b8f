//! `kybern-controller-manager`: the controllers as a process of their own.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = controller_manager::start::Args::parse();
    let logs = args.logs.clone();
    runtime::shutdown::main(&logs, |shutdown| async move { Ok(controller_manager::start::run(args, shutdown.token()).await?) })
}
