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
    /// A second server, to be compared in the same run: each work is done to the one and then to the other
    #[arg(long, requires = "against_token")]
    against: Option<String>,
    /// A bearer token of an administrator of the second server
    #[arg(long, requires = "against")]
    against_token: Option<String>,
    /// The second server's processes
    #[arg(long, value_delimiter = ',', requires = "against")]
    against_pid: Vec<u32>,
    /// Also write the figures as JSON to this file: a list, with an element for each server
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let first = (args.url.as_str(), args.token.as_str(), &args.pid);
    let second = args.against.as_deref().zip(args.against_token.as_deref()).map(|(url, token)| (url, token, &args.against_pid));
    let mut measured = Vec::new();
    for (url, token, pids) in std::iter::once(first).chain(second) {
        let (target, server) = (http::Target::new(url, token)?, server::Server::new(pids.clone()));
        let bench = works::Bench { target, server, clients: args.clients, objects: args.objects, watchers: args.watchers };
        bench.prepare().await?;
        measured.push((bench, report::Report::new(url)));
    }
    for work in &args.works {
        for (bench, report) in &mut measured {
            bench.run(work, report).await?;
        }
    }
    for (bench, report) in &mut measured {
        report.memory(bench.server.resident_mib());
        bench.clean().await?;
        print!("{report}");
    }
    let reports: Vec<_> = measured.into_iter().map(|(_, report)| report).collect();
    if let [one, other] = reports.as_slice() {
        print!("{}", one.beside(other));
    }
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&reports)?)?;
    }
    Ok(())
}
