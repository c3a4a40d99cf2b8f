//! `kybern-controller-manager`: the controllers as a process of their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: controller_manager::start::Args = runtime::flags::parse();
    let logs = args.logs.clone();
    runtime::shutdown::main(&logs, |shutdown| async move { Ok(controller_manager::start::run(args, shutdown.token()).await?) })
}
