//! `kybern`: the whole control plane in one binary. `kybern up` runs all of it in one process;
//! `kybern <service>` runs one service, as the binary of that name does; `kybern pki` makes the identities that a
//! cluster of many processes needs.

mod pki;
mod up;

use std::process::ExitCode;

use clap::Parser;
use runtime::args::LogArgs;

/// The allocator gives memory back after bursts, which glibc's does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(name = "kybern", version, about = "A Kubernetes control plane in one binary.")]
enum Command {
    /// Runs the whole control plane in this process
    Up(Box<up::Args>),
    /// Runs the API server alone
    Apiserver(Box<apiserver::args::Args>),
    /// Runs the controllers alone
    ControllerManager(Box<controller_manager::start::Args>),
    /// Runs the scheduler alone
    Scheduler(Box<scheduler::start::Args>),
    /// Runs a node agent alone
    Kubelet(Box<kubelet::Args>),
    /// Makes certificates and kubeconfigs for a cluster of many processes
    Pki(pki::Args),
}

fn main() -> ExitCode {
    // Of huge pages, which some systems give unasked, an idle control plane touches a corner each.
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        eprintln!("huge pages stay on: {error}");
    }
    match runtime::flags::parse::<Command>() {
        Command::Up(args) => {
            let logs = args.logs.clone();
            runtime::shutdown::main(&logs, |shutdown| up::run(*args, shutdown))
        }
        Command::Apiserver(args) => {
            let logs = args.logs.clone();
            runtime::shutdown::main(&logs, |shutdown| apiserver::start::run(*args, shutdown.token()))
        }
        Command::ControllerManager(args) => {
            let logs = args.logs.clone();
            let run = |shutdown: runtime::Shutdown| async move { Ok(controller_manager::start::run(*args, shutdown.token()).await?) };
            runtime::shutdown::main(&logs, run)
        }
        Command::Scheduler(args) => {
            let logs = args.logs.clone();
            runtime::shutdown::main(&logs, |shutdown| scheduler::start::run(*args, shutdown.token()))
        }
        Command::Kubelet(args) => {
            let logs = args.logs.clone();
            runtime::shutdown::main(&logs, |shutdown| kubelet::start::run(*args, shutdown.token()))
        }
        Command::Pki(args) => runtime::shutdown::main(&LogArgs::default(), |_| async move { pki::run(&args) }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_of_the_services_fit_together() {
        super::Command::command().debug_assert();
    }
}
