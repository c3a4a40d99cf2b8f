//! `kybern-kubelet`: the node agent as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: kubelet::Args = runtime::flags::parse();
    let logs = args.logs.clone();
    runtime::shutdown::main(&logs, |shutdown| kubelet::start::run(args, shutdown.token()))
}
