//! Measures a Kubernetes-compatible server by the works of upstream's benchmark: throughput, latency, the server's CPU
//! per operation and its memory. Any server will do that answers at a URL to a token, so that two can be
//! compared in one run; CPU and memory are read from /proc for the pids that are given.

mod http;
mod report;
mod server;
mod works;

use std::path::PathBuf;

use clap::Parser;

/// Arguments.
#[derive(Parser, Debug)]
#[command(about = "Measures a Kubernetes-compatible API server.")]
struct Args {
    /// The server, such as https://127.0.0.1:6443. Its certificate is not verified
    #[arg(long)]
    url: String,
    /// A bearer token of an administrator
    #[arg(long)]
    token: String,
    /// The server's processes, whose CPU and memory are measured; separated by commas
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Which works to run: create,get,list,patch,watch,delete,bind,deployment
    #[arg(long, value_delimiter = ',', default_value = "create,get,list,patch,watch,delete")]
    works: Vec<String>,
    /// Concurrent clients, each with a connection of its own
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Objects of a work
    #[arg(long, default_value_t = 5_000)]
    objects: usize,
    /// Watchers of the fan-out
    #[arg(long, default_value_t = 100)]
    watchers: usize,
    /// Also write the figures as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let target = http::Target::new(&args.url, &args.token)?;
    let server = server::Server::new(args.pid.clone());
    let mut report = report::Report::default();
    let bench = works::Bench { target, server, clients: args.clients, objects: args.objects, watchers: args.watchers };
    bench.prepare().await?;
    for work in &args.works {
        bench.run(work, &mut report).await?;
    }
    report.memory(bench.server.resident_mib());
    bench.clean().await?;
    print!("{report}");
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}
