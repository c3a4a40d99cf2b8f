//! The real kubectl, against one cluster.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

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
        let scoped = Self { namespace: Some(name.to_owned()), ..self.clone() };
        // Pods need their service account.
        scoped.wait_until("the default service account", &["get", "serviceaccount", "default", "-o", "name"], |out| !out.is_empty());
        scoped
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

    /// Waits until a jsonpath gives a value.
    #[track_caller]
    pub fn wait_value(&self, object: &str, path: &str, value: &str) {
        let output = format!("jsonpath={{{path}}}");
        self.wait_until(&format!("{object} {path}={value}"), &["get", object, "-o", &output], |out| out == value);
    }
}
