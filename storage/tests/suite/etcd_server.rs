//! A real etcd for one test: on a free loopback port, with its data in a directory that goes with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use storage::etcd::{Etcd, Options};

const PROGRAM: &str = "/usr/bin/etcd";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    directory: tempfile::TempDir,
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
    arguments: Vec<String>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with("http", &[]).await
    }

    /// Starts etcd with more arguments, serving clients by `scheme`.
    pub(crate) async fn start_with(scheme: &str, arguments: &[String]) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client_port, peer_port] = listeners.map(|listener| listener.local_addr().unwrap().port());
        let mut arguments = arguments.to_vec();
        for flag in ["--listen-client-urls", "--advertise-client-urls"] {
            arguments.push(format!("{flag}={scheme}://127.0.0.1:{client_port}"));
        }
        let mut server = Self { directory: tempfile::tempdir().unwrap(), client_port, peer_port, process: None, arguments };
        server.run();
        server.wait().await;
        server
    }

    /// Starts the process, on the ports and the data that it had.
    pub(crate) fn run(&mut self) {
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let spawned = Command::new(PROGRAM)
            .args(["--name=test", "--log-level=error", "--logger=zap"])
            .arg(format!("--data-dir={}", self.directory.path().display()))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=test={peer}"))
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process =
            Some(spawned.unwrap_or_else(|error| panic!("cannot start {PROGRAM} ({error}); install Debian's package etcd-server")));
    }

    /// Waits until it takes connections.
    async fn wait(&mut self) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.client_port)).await.is_err() {
            let process = self.process.as_mut().unwrap();
            if let Some(status) = process.try_wait().unwrap() {
                panic!("{PROGRAM} ended with {status}");
            }
            assert!(begun.elapsed() < PATIENCE, "{PROGRAM} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    pub(crate) async fn connect(&self) -> Etcd {
        self.connect_with(Options::new([self.address()])).await
    }

    pub(crate) async fn connect_with(&self, options: Options) -> Etcd {
        let begun = Instant::now();
        loop {
            // A server that just started listens before it has elected itself.
            match Etcd::connect(options.clone()).await {
                Ok(etcd) => return etcd,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "cannot connect: {error}"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
