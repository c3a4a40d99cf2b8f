//! Arguments that several services take, under the names that Kubernetes' own components gave them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

/// How a process logs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// How much to log: from 4 on also what helps in the search for faults, from 6 on everything
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,

    /// The form of a line
    #[arg(long = "logging-format", value_enum, default_value_t = LogFormat::Text)]
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How a process finds the API server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "API server")]
pub struct ClientArgs {
    /// The kubeconfig that names the API server and this process's credentials
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
}

/// Where a process serves its health and metrics.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Health and metrics")]
pub struct ServingArgs {
    /// The address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind_address: IpAddr,

    /// The port for health and metrics over TLS; 0 serves neither
    #[arg(long, value_name = "PORT")]
    pub secure_port: Option<u16>,

    /// The certificate of that port, with its chain; without one, a self-signed one is made
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Metrics are shown only to clients with a certificate of this authority
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
}

impl Default for ServingArgs {
    fn default() -> Self {
        Self {
            bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure_port: None,
            tls_cert_file: None,
            tls_private_key_file: None,
            client_ca_file: None,
        }
    }
}

impl ServingArgs {
    /// The address to serve on; None where nothing is to be served.
    pub fn address(&self, default_port: u16) -> Option<SocketAddr> {
        let port = self.secure_port.unwrap_or(default_port);
        (port != 0).then(|| SocketAddr::new(self.bind_address, port))
    }
}

/// Whether, and how, a process stands for election among its like.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election")]
pub struct LeaderArgs {
    /// Work only while holding a lease, so that several can run and one works
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_value_t = true, default_missing_value = "true")]
    pub leader_elect: bool,

    /// How long others wait after the leader's last renewal before they take over
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub leader_elect_lease_duration: Duration,

    /// How long the leader tries to renew its lease before it gives up
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub leader_elect_renew_deadline: Duration,

    /// The time between two tries
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    pub leader_elect_retry_period: Duration,

    /// The lease's name; the component's own where it is not given
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,

    /// The lease's namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,
}

impl Default for LeaderArgs {
    fn default() -> Self {
        Self {
            leader_elect: true,
            leader_elect_lease_duration: Duration::from_secs(15),
            leader_elect_renew_deadline: Duration::from_secs(10),
            leader_elect_retry_period: Duration::from_secs(2),
            leader_elect_resource_name: None,
            leader_elect_resource_namespace: "kube-system".to_owned(),
        }
    }
}

/// Reads a duration as Go writes one: `1h30m`, `1.5s`, `300ms`. For use as a clap value parser.
///
/// # Errors
/// What is wrong, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 1h30m, 15s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        seconds += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "15", "s", "-1s", "1x", "1.1.1s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
