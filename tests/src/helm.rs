//! The real Helm, against one cluster.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cluster::repository;
use crate::kubectl::Kubectl;

/// Helm in a namespace that is there.
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Helm {
    /// Helm with kubectl's cluster. `HELM` names the program; otherwise it is where `make test` keeps it.
    pub fn new(kubectl: &Kubectl, namespace: &str) -> Self {
        let program = std::env::var_os("HELM").map_or_else(|| repository("tests/.tools/helm"), PathBuf::from);
        Self { program, kubeconfig: kubectl.kubeconfig().to_owned(), namespace: namespace.to_owned() }
    }

    /// Runs it, whatever comes of it.
    pub fn run(&self, args: &[&str]) -> Output {
        let home = self.kubeconfig.parent().unwrap_or(&self.kubeconfig);
        let mut command = Command::new(&self.program);
        command.args(["--namespace", &self.namespace]).args(args).env("KUBECONFIG", &self.kubeconfig).env("HOME", home);
        command.stdin(Stdio::null()).output().expect("helm: run `make test`, which fetches it")
    }

    /// Runs it and expects success; its standard output.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "helm {}: {text}{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs it and expects failure; its standard error.
    #[track_caller]
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "helm {} should fail: {}", args.join(" "), String::from_utf8_lossy(&output.stdout));
        text
    }

    /// The states of a release's revisions, the first first.
    #[track_caller]
    pub fn history(&self, release: &str) -> Vec<String> {
        let all: Value = serde_json::from_str(&self.ok(&["history", release, "-o", "json"])).expect("JSON");
        let status = |revision: &Value| revision["status"].as_str().unwrap_or_default().to_owned();
        all.as_array().into_iter().flatten().map(status).collect()
    }
}

/// One of the charts that the suite brings.
pub fn chart(name: &str) -> String {
    repository("tests/tests/helm/charts").join(name).display().to_string()
}
