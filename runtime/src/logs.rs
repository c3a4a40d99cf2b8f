//! Logs: lines on standard error, as text or as JSON. `RUST_LOG` overrides the verbosity, by module.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Starts logging for the whole process. A second call changes nothing, so that tests may call it too.
pub fn start(args: &LogArgs) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(args.verbosity)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let _ = match args.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// What is logged at a verbosity. The libraries below speak up one step later than Kybern itself.
fn directives(verbosity: u8) -> &'static str {
    match verbosity {
        0..4 => "info,h2=warn,hyper=warn,hyper_util=warn,rustls=warn,tonic=warn,tower=warn,redb=warn",
        4..6 => "debug,h2=info,hyper=info,hyper_util=info,rustls=info,tonic=info,tower=info,redb=info",
        6..10 => "trace,h2=debug,hyper=debug,hyper_util=debug,rustls=debug,tonic=debug,tower=debug,redb=debug",
        _ => "trace",
    }
}
