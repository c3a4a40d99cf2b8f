//! [`Policy`]: a level of the pod security standards in one of their versions, as a namespace's labels name it.

use std::fmt;

use super::Labels;
use super::subject::Subject;
use super::{baseline, restricted};

const PREFIX: &str = "pod-security.kubernetes.io/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => return None,
        })
    }
}

/// `v1.<minor>`, or the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Minor(u32),
    Latest,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let plain = minor == "0" || !minor.starts_with('0');
        (plain && minor.bytes().all(|byte| byte.is_ascii_digit())).then(|| minor.parse().ok()).flatten().map(Self::Minor)
    }

    /// Whether the standards of this version have what came with `1.<minor>`.
    pub(super) fn since(self, minor: u32) -> bool {
        match self {
            Self::Latest => true,
            Self::Minor(own) => own >= minor,
        }
    }
}

/// What happens to a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Enforce,
    /// It is noted in the audit log.
    Audit,
    Warn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) level: Level,
    pub(super) version: Version,
}

impl Policy {
    /// A level that does not read is the strictest, so that a typing error opens nothing.
    pub(super) fn of(labels: &Labels, mode: Mode) -> Self {
        let name = match mode {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
            Mode::Warn => "warn",
        };
        let level = labels.get(&format!("{PREFIX}{name}")).map(|text| Level::parse(text));
        let version = labels.get(&format!("{PREFIX}{name}-version")).map(|text| Version::parse(text));
        match (level, version) {
            (Some(None), _) => Self { level: Level::Restricted, version: Version::Latest },
            (level, version) => {
                Self { level: level.flatten().unwrap_or(Level::Privileged), version: version.flatten().unwrap_or(Version::Latest) }
            }
        }
    }

    /// What the pod does that the level does not allow: each with its details in parentheses.
    pub(super) fn violations(&self, subject: &Subject<'_>) -> Vec<String> {
        let mut found = Vec::new();
        if self.level >= Level::Baseline {
            baseline::check(subject, self.version, self.level == Level::Baseline, &mut found);
        }
        if self.level == Level::Restricted {
            restricted::check(subject, self.version, &mut found);
        }
        found
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// The labels that do not read, with why.
pub(super) fn invalid(labels: &Labels) -> Vec<(&str, &str, &'static str)> {
    let mut wrong = Vec::new();
    for name in ["enforce", "audit", "warn"] {
        for (key, value) in labels
            .iter()
            .filter_map(|(key, value)| Some((key, key.strip_prefix(PREFIX)?.strip_prefix(name)?, value)))
            .filter_map(|(key, rest, value)| match rest {
                "" if Level::parse(value).is_none() => Some((key, (value, "must be privileged, baseline or restricted"))),
                "-version" if Version::parse(value).is_none() => Some((key, (value, "must be \"latest\" or \"v1.x\""))),
                _ => None,
            })
        {
            wrong.push((key.as_str(), value.0.as_str(), value.1));
        }
    }
    wrong
}
