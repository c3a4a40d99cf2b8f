//! Control planes to test: in one process or in many, on the embedded store or on etcd.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::etcd::{Etcd, free_port};
use crate::http::Http;
use crate::kubectl::Kubectl;
use crate::process::{Process, program};
use crate::wait_for;

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `kybern up` on the embedded store.
    Embedded,
    /// `kybern up` on etcd.
    Etcd,
    /// etcd, API server, scheduler, controller manager and kubelets as processes of their own.
    Processes,
}

/// A running control plane; it ends with the value.
pub struct Cluster {
    // The processes end before their directory goes.
    processes: Vec<Process>,
    shape: Shape,
    pub etcd: Option<Etcd>,
    pub kubectl: Kubectl,
    port: u16,
    nodes: usize,
    extra: Vec<String>,
    /// A command that the one process is started under.
    under: Vec<String>,
    dir: TempDir,
}

impl Cluster {
    /// A control plane with three nodes.
    pub fn start(shape: Shape) -> Self {
        Self::start_with(shape, 3, &[])
    }

    /// With so many nodes, and further flags of the API server.
    pub fn start_with(shape: Shape, nodes: usize, extra: &[&str]) -> Self {
        Self::start_under(&[], shape, nodes, extra)
    }

    /// The same, with the one process under another command, such as one that limits it.
    pub fn start_under(under: &[&str], shape: Shape, nodes: usize, extra: &[&str]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let etcd = (shape != Shape::Embedded).then(|| Etcd::start(dir.path()));
        let kubeconfig = match shape {
            Shape::Processes => dir.path().join("pki/admin.kubeconfig"),
            _ => dir.path().join("data/kubeconfig"),
        };
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let kubectl = Kubectl::new(kubeconfig);
        let mut cluster =
            Self { processes: Vec::new(), shape, etcd, kubectl, port: free_port(), nodes, extra: owned(extra), under: owned(under), dir };
        cluster.restart();
        cluster
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn start_up(&mut self) {
        let mut args = vec![
            "up".to_owned(),
            format!("--data-dir={}", self.dir.path().join("data").display()),
            format!("--secure-port={}", self.port),
            format!("--nodes={}", self.nodes),
        ];
        args.extend(self.etcd.as_ref().map(|e| format!("--etcd-servers={}", e.url())));
        args.extend(self.extra.iter().cloned());
        let mut words = self.under.clone();
        words.push(program("kybern").display().to_string());
        words.append(&mut args);
        let first = PathBuf::from(words.remove(0));
        self.processes.push(Process::start(&first, words, &self.dir.path().join("kybern.log")));
    }

    fn start_processes(&mut self) {
        let pki = self.dir.path().join("pki");
        let names: Vec<String> = (0..self.nodes).map(|n| format!("node-{n}")).collect();
        let made = std::process::Command::new(program("kybern"))
            .arg("pki")
            .arg(format!("--dir={}", pki.display()))
            .arg(format!("--server={}", self.url()))
            .arg(format!("--nodes={}", names.join(",")))
            .status()
            .expect("kybern pki");
        assert!(made.success(), "kybern pki");
        let file = |name: &str| pki.join(name).display().to_string();
        let mut args = vec![
            format!("--etcd-servers={}", self.etcd.as_ref().map(Etcd::url).unwrap_or_default()),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--kubelet-certificate-authority={}", file("ca.crt")),
            format!("--kubelet-client-certificate={}", file("apiserver-kubelet-client.crt")),
            format!("--kubelet-client-key={}", file("apiserver-kubelet-client.key")),
        ];
        args.extend(self.extra.iter().cloned());
        self.service("kybern-apiserver", "apiserver", args);
        self.wait_ready();
        let client = |name: &str| format!("--kubeconfig={}", file(&format!("{name}.kubeconfig")));
        for name in ["scheduler", "controller-manager"] {
            let mut args = vec![client(name), "--secure-port=0".to_owned()];
            if name == "controller-manager" {
                args.push(format!("--cluster-signing-cert-file={}", pki.join("ca.crt").display()));
                args.push(format!("--cluster-signing-key-file={}", pki.join("ca.key").display()));
            }
            self.service(&format!("kybern-{name}"), name, args);
        }
        for name in names {
            let host = format!("--hostname-override={name}");
            let args = vec![
                client(&format!("node-{name}")),
                host,
                "--port=0".to_owned(),
                "--healthz-port=0".to_owned(),
                format!("--client-ca-file={}", file("ca.crt")),
                format!("--tls-cert-file={}", file(&format!("kubelet-{name}.crt"))),
                format!("--tls-private-key-file={}", file(&format!("kubelet-{name}.key"))),
            ];
            self.service("kybern-kubelet", &name, args);
        }
    }

    fn service(&mut self, binary: &str, log: &str, args: Vec<String>) {
        let log = self.dir.path().join(format!("{log}.log"));
        self.processes.push(Process::start(&program(binary), args, &log));
    }

    /// Every process runs.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        for process in &mut self.processes {
            let ended = process.ended();
            assert!(ended.is_none(), "a process ended: {ended:?}: {}", process.output());
        }
    }

    fn wait_ready(&mut self) {
        let kubectl = self.kubectl.clone();
        wait_for("the API server to be ready", || {
            self.assert_alive();
            let output = kubectl.run(&["get", "--raw", "/readyz"]);
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
    }

    /// A bare HTTP client of the administrator's.
    pub fn http(&self) -> Http {
        Http::new(&self.pki(), self.port, true)
    }

    /// A bare HTTP client without a certificate.
    pub fn stranger(&self) -> Http {
        Http::new(&self.pki(), self.port, false)
    }

    fn pki(&self) -> PathBuf {
        self.dir.path().join(if self.shape == Shape::Processes { "pki" } else { "data/pki" })
    }

    /// Kills everything but etcd, as a power cut would.
    pub fn crash(&mut self) {
        self.processes.clear();
    }

    /// Kills one of many processes, the API server, and starts another in its place; the others run on.
    pub fn replace_api_server(&mut self) {
        self.processes[0].kill();
        self.processes[0].restart();
        self.wait_ready();
    }

    /// Starts again what has failed, as a service manager does; what each of them said last.
    pub fn restart_failed(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        for process in &mut self.processes {
            if process.ended().is_some_and(|status| !status.success()) {
                said.push(process.output().lines().last().unwrap_or_default().to_owned());
                process.restart();
            }
        }
        said
    }

    /// Starts it again on the same data and port.
    pub fn restart(&mut self) {
        match self.shape {
            Shape::Processes => self.start_processes(),
            _ => self.start_up(),
        }
        self.wait_ready();
    }

    /// Asks every process to end in order, the last that was started first, and gives their exit codes.
    pub fn stop(&mut self) -> Vec<Option<i32>> {
        let end = |mut process: Process| {
            process.signal("TERM");
            process.wait(crate::PATIENCE).code()
        };
        self.processes.drain(..).rev().map(end).collect()
    }

    /// Signals the first process.
    pub fn signal(&self, signal: &str) {
        self.processes[0].signal(signal);
    }

    /// The first process's id.
    pub fn pid(&self) -> u32 {
        self.processes[0].pid()
    }

    /// The embedded store's directory.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("data/store")
    }

    /// Starts the one process once more beside, or in place of, the one that runs, and waits for it to end.
    pub fn try_another(&self) -> (Option<i32>, String) {
        let log = self.dir.path().join("another.log");
        let data = format!("--data-dir={}", self.dir.path().join("data").display());
        let mut process = Process::start(&program("kybern"), ["up", &data, "--secure-port=0"], &log);
        (process.wait(crate::PATIENCE).code(), process.output())
    }

    /// What the processes have printed.
    pub fn output(&self) -> String {
        self.processes.iter().map(Process::output).collect::<Vec<_>>().join("\n")
    }

    /// Resident memory of the first process, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.processes[0].pid())).expect("/proc");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
