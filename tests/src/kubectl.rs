//! The real kubectl, against one cluster.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::Process;
use crate::wait_for;

/// kubectl with a kubeconfig, and a namespace if one was chosen.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: Option<String>,
}

impl Kubectl {
    pub fn new(kubeconfig: PathBuf) -> Self {
        let program = std::env::var_os("KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from);
        Self { program, kubeconfig, namespace: None }
    }

    /// The same, in a namespace of its own, which is made.
    pub fn in_namespace(&self, name: &str) -> Self {
        self.ok(&["create", "namespace", name]);
        let scoped = self.within(name);
        // Pods need their service account.
        scoped.wait_until("the default service account", &["get", "serviceaccount", "default", "-o", "name"], |out| !out.is_empty());
        scoped
    }

    /// The same, in a namespace that is there or will be.
    pub fn within(&self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self.clone() }
    }

    /// Where the server is, and who asks.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", self.kubeconfig.parent().unwrap_or(&self.kubeconfig));
        if let Some(namespace) = &self.namespace {
            command.args(["-n", namespace]);
        }
        command.args(args);
        command
    }

    /// The minor version of kubectl itself: Debian's is 20, and knows less than today's.
    pub fn minor(&self) -> u32 {
        let version = self.json(&["version", "--client"]);
        let minor = version["clientVersion"]["minor"].as_str().expect("a version");
        minor.trim_end_matches('+').parse().expect("a number")
    }

    /// Starts it and lets it run, with its output at hand: a watch.
    pub fn start(&self, args: &[&str], log: &Path) -> Process {
        Process::spawn(self.command(args), log)
    }

    /// `kubectl edit` with a sed script for an editor.
    #[track_caller]
    pub fn edit(&self, object: &str, script: &str) -> String {
        let output = self.command(&["edit", object]).env("KUBE_EDITOR", format!("sed -i {script}")).stdin(Stdio::null()).output();
        let output = output.expect("kubectl: run `make tools`");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "kubectl edit {object}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs it, whatever comes of it.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().expect("kubectl: run `make tools`")
    }

    /// Runs it and expects success; its standard output.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "kubectl {}: {text}{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs it and expects failure; its standard error.
    #[track_caller]
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "kubectl {} should fail: {}", args.join(" "), String::from_utf8_lossy(&output.stdout));
        text
    }

    /// Runs it with this for its input, which may be large.
    pub fn with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl: run `make tools`");
        let mut stdin = child.stdin.take().expect("a pipe");
        std::thread::scope(|scope| {
            // Output comes while the input is still being written. A program may end before it has read all.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().expect("kubectl's output")
        })
    }

    /// `kubectl <args> -f -` with a document.
    pub fn feed_raw(&self, args: &[&str], document: &str) -> Output {
        let mut child = self
            .command(args)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl: run `make tools`");
        child.stdin.take().expect("a pipe").write_all(document.as_bytes()).expect("to write the document");
        child.wait_with_output().expect("kubectl's output")
    }

    #[track_caller]
    pub fn feed(&self, args: &[&str], document: &str) -> String {
        let output = self.feed_raw(args, document);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "kubectl {}: {text}{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        text
    }

    /// An object or list as JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["-o", "json"]);
        serde_json::from_str(&self.ok(&all)).expect("JSON")
    }

    /// Runs it until its output satisfies.
    #[track_caller]
    pub fn wait_until(&self, what: &str, args: &[&str], mut good: impl FnMut(&str) -> bool) -> String {
        wait_for(what, || {
            let output = self.run(args);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && good(&text) {
                Ok(text)
            } else {
                Err(format!("kubectl {}: {text}{}", args.join(" "), String::from_utf8_lossy(&output.stderr)))
            }
        })
    }

    /// Waits until an object is gone.
    #[track_caller]
    pub fn wait_gone(&self, object: &str) {
        self.wait_until(&format!("{object} to be gone"), &["get", object, "--ignore-not-found", "-o", "name"], str::is_empty);
    }

    /// What a jsonpath gives now.
    #[track_caller]
    pub fn value(&self, object: &str, path: &str) -> String {
        self.ok(&["get", object, "-o", &format!("jsonpath={{{path}}}")])
    }

    /// Waits until a jsonpath gives a value.
    #[track_caller]
    pub fn wait_value(&self, object: &str, path: &str, value: &str) {
        let output = format!("jsonpath={{{path}}}");
        self.wait_until(&format!("{object} {path}={value}"), &["get", object, "-o", &output], |out| out == value);
    }
}
