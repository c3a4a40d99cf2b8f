//! A real etcd on a loopback port, with its data in a directory of the test's.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::wait_for;

pub struct Etcd {
    process: Option<Process>,
    dir: PathBuf,
    port: u16,
    peer_port: u16,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

impl Etcd {
    pub fn start(dir: &Path) -> Self {
        let mut etcd = Self { process: None, dir: dir.to_owned(), port: free_port(), peer_port: free_port() };
        etcd.resume();
        etcd
    }

    /// Starts it again, on the same port and data.
    pub fn resume(&mut self) {
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer_port));
        let data = self.dir.join("etcd");
        let args = [
            "--name=kybern".to_owned(),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=kybern={peer}"),
            "--log-level=warn".to_owned(),
        ];
        let process = Process::start(Path::new("etcd"), args, &self.dir.join("etcd.log"));
        self.process = Some(process);
        wait_for("etcd to answer", || std::net::TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string()));
    }

    /// Takes it away.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Lets it stand still, or go on: it answers nobody, and its connections stay.
    pub fn freeze(&self, still: bool) {
        self.process.as_ref().expect("a running etcd").signal(if still { "STOP" } else { "CONT" });
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
