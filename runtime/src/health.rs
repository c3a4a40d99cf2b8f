//! Health checks by name, answered as Kubernetes answers `/livez`, `/readyz` and `/healthz`: `ok`, or (on
//! failure, or with `?verbose`) a line for each check. `?exclude=<name>` leaves checks out.

use std::fmt::Write;
use std::sync::Arc;

use http::StatusCode;
use parking_lot::RwLock;

use crate::slis::Slis;

/// The question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Should the process be restarted?
    Livez,
    /// Should it be sent work?
    Readyz,
    /// The old name of the first.
    Healthz,
}

impl Probe {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Healthz => "healthz",
        }
    }

    /// The probe of a path's first segment.
    pub fn of(segment: &str) -> Option<Self> {
        [Self::Livez, Self::Readyz, Self::Healthz].into_iter().find(|probe| probe.name() == segment)
    }
}

type CheckFn = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Which probes ask a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Always,
    /// Its failure is a reason to restart the process, and none to send it no work.
    ByLiveness,
    /// Its failure is a reason to send the process no work, and none to restart it.
    ByReadiness,
}

#[derive(Clone)]
struct Check {
    name: &'static str,
    asked: Asked,
    check: CheckFn,
}

impl Check {
    fn is_asked(&self, probe: Probe) -> bool {
        match self.asked {
            Asked::Always => true,
            Asked::ByLiveness => probe != Probe::Readyz,
            Asked::ByReadiness => probe == Probe::Readyz,
        }
    }
}

/// The checks of a process. Clones share them.
#[derive(Clone)]
pub struct Health {
    checks: Arc<RwLock<Vec<Check>>>,
    slis: Slis,
}

impl Default for Health {
    fn default() -> Self {
        let health = Self { checks: Arc::default(), slis: Slis::default() };
        health.always("ping", || Ok(()));
        health
    }
}

/// An answer to a probe: plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: StatusCode,
    pub text: String,
}

impl Health {
    /// Adds a check that every probe asks. No check must block.
    pub fn always(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.add(name, Asked::Always, check);
    }

    /// Adds a check whose failure means that the process should be restarted.
    pub fn vital(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.add(name, Asked::ByLiveness, check);
    }

    /// Adds a check whose failure means that the process should get no work for now.
    pub fn ready(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.add(name, Asked::ByReadiness, check);
    }

    fn add(&self, name: &'static str, asked: Asked, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.write().push(Check { name, asked, check: Arc::new(check) });
    }

    /// The names of the checks that a probe asks.
    pub fn names(&self, probe: Probe) -> Vec<&'static str> {
        self.checks.read().iter().filter(|check| check.is_asked(probe)).map(|check| check.name).collect()
    }

    /// Whether all checks pass.
    pub fn is_ready(&self) -> bool {
        self.answer(Probe::Readyz, None, "").code == StatusCode::OK
    }

    /// Answers `/<probe>?<query>`, or `/<probe>/<name>` for one check.
    pub fn answer(&self, probe: Probe, name: Option<&str>, query: &str) -> Answer {
        let checks: Vec<Check> = self.checks.read().iter().filter(|check| check.is_asked(probe)).cloned().collect();
        match name {
            Some(name) => one(&checks, name),
            None => all(&checks, probe, query, &self.slis),
        }
    }

    /// What probes have found so far, as `/metrics/slis` shows it. Checks that were asked alone are not in it.
    pub fn slis(&self) -> String {
        self.slis.encode()
    }
}

fn one(checks: &[Check], name: &str) -> Answer {
    let Some(check) = checks.iter().find(|check| check.name == name) else {
        return Answer { code: StatusCode::NOT_FOUND, text: "404 page not found\n".to_owned() };
    };
    match (check.check)() {
        Ok(()) => Answer { code: StatusCode::OK, text: "ok".to_owned() },
        Err(why) => Answer { code: StatusCode::INTERNAL_SERVER_ERROR, text: format!("internal server error: {why}\n") },
    }
}

fn all(checks: &[Check], probe: Probe, query: &str, slis: &Slis) -> Answer {
    let (mut verbose, mut excluded) = (false, Vec::new());
    for parameter in query.split('&') {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("verbose", _) => verbose = true,
            ("exclude", name) => excluded.push(name),
            _ => {}
        }
    }
    let mut text = String::new();
    let mut failed = Vec::new();
    // Writing to a String does not fail.
    for check in checks {
        let _ = if excluded.contains(&check.name) {
            writeln!(text, "[+]{} excluded: ok", check.name)
        } else if let Err(why) = (check.check)() {
            slis.observe(check.name, probe, false);
            failed.push(check.name);
            tracing::info!(check = check.name, why, "a health check failed");
            writeln!(text, "[-]{} failed: reason withheld", check.name)
        } else {
            slis.observe(check.name, probe, true);
            writeln!(text, "[+]{} ok", check.name)
        };
    }
    let unknown: Vec<String> =
        excluded.iter().filter(|name| checks.iter().all(|check| check.name != **name)).map(|name| format!("{name:?}")).collect();
    if !unknown.is_empty() {
        let _ = writeln!(text, "warn: some health checks cannot be excluded: no matches for {}", unknown.join(", "));
    }
    if !failed.is_empty() {
        let _ = writeln!(text, "{} check failed", probe.name());
        return Answer { code: StatusCode::INTERNAL_SERVER_ERROR, text };
    }
    if !verbose {
        return Answer { code: StatusCode::OK, text: "ok".to_owned() };
    }
    let _ = writeln!(text, "{} check passed", probe.name());
    Answer { code: StatusCode::OK, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let health = Health::default();
        health.ready("etcd", || Err("away".to_owned()));
        health
    }

    #[test]
    fn a_failed_check_fails_readiness_but_not_liveness() {
        assert_eq!(health().answer(Probe::Livez, None, "").text, "ok");
        assert_eq!(health().answer(Probe::Healthz, None, "").text, "ok");
        assert_eq!((health().names(Probe::Livez), health().names(Probe::Readyz)), (vec!["ping"], vec!["ping", "etcd"]));
        let answer = health().answer(Probe::Readyz, None, "");
        assert_eq!(answer.code, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.text, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n");
    }

    #[test]
    fn probes_are_counted_by_check_and_result() {
        let health = health();
        health.answer(Probe::Readyz, None, "");
        health.answer(Probe::Readyz, None, "exclude=etcd");
        health.answer(Probe::Readyz, Some("etcd"), "");
        let text = health.slis();
        for line in [
            r#"kubernetes_healthcheck{name="ping",type="readyz"} 1"#,
            r#"kubernetes_healthcheck{name="etcd",type="readyz"} 0"#,
            r#"kubernetes_healthchecks_total{name="ping",type="readyz",status="success"} 2"#,
            r#"kubernetes_healthchecks_total{name="etcd",type="readyz",status="error"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn checks_can_be_left_out_and_asked_alone() {
        let answer = health().answer(Probe::Readyz, None, "verbose&exclude=etcd");
        assert_eq!(answer.text, "[+]ping ok\n[+]etcd excluded: ok\nreadyz check passed\n");
        assert_eq!(health().answer(Probe::Readyz, Some("ping"), "").text, "ok");
        assert_eq!(health().answer(Probe::Readyz, Some("etcd"), "").code, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(health().answer(Probe::Readyz, Some("none"), "").code, StatusCode::NOT_FOUND);
    }
}
