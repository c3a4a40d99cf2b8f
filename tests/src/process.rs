//! A child process that does not outlive the test, with its output at hand for failures.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program. Dropped, it is killed.
pub struct Process {
    command: Command,
    child: Child,
    log: PathBuf,
}

/// A program of this workspace, where cargo puts it beside the tests.
pub fn program(name: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os("KYBERN_BIN_DIR") {
        return PathBuf::from(dir).join(name);
    }
    let mut dir = std::env::current_exe().expect("the test's own path");
    // target/debug/deps/<test> -> target/debug/<name>
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built: run `make test`, or cargo build --workspace --bins", path.display());
    path
}

impl Process {
    /// Starts a program with its output going to `log`.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = S>, log: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(command, log)
    }

    /// Starts a command with its output going to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = output.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = Self::begin(&mut command);
        Self { command, child, log: log.to_owned() }
    }

    fn begin(command: &mut Command) -> Child {
        command.spawn().unwrap_or_else(|e| panic!("cannot start {}: {e}", command.get_program().display()))
    }

    /// Starts it again as it was started, once it has ended.
    pub fn restart(&mut self) {
        self.child = Self::begin(&mut self.command);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status().expect("kill");
        assert!(status.success(), "kill -{signal} {}", self.pid());
    }

    /// Ends it as a power cut would: nothing is flushed.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child's state")
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(started.elapsed() < at_most, "it runs on after {at_most:?}:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
