//! The audit policy (`audit.k8s.io/v1` Policy): which requests are recorded, in how much detail, and at which stages.
//! Rules are tried in order, and the first that fits decides; what none fits is not recorded.

use std::path::Path as FilePath;

use api::strategy::UserInfo;
use machinery::field::{Error, Errors, Path};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Attributes;
use crate::auth::authorize::ResourceAccess;

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    None,
    /// Who, what, when, and what came of it.
    Metadata,
    /// And the object in the request.
    Request,
    /// And that in the answer.
    RequestResponse,
}

const LEVELS: [(&str, Level); 4] =
    [("None", Level::None), ("Metadata", Level::Metadata), ("Request", Level::Request), ("RequestResponse", Level::RequestResponse)];

impl Level {
    fn named(name: &str) -> Option<Self> {
        LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }

    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }
}

/// When an event is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    /// The answer's head is sent, and its body will take long (watches and the like).
    ResponseStarted,
    ResponseComplete,
    Panic,
}

const STAGES: [(&str, Stage); 4] = [
    ("RequestReceived", Stage::RequestReceived),
    ("ResponseStarted", Stage::ResponseStarted),
    ("ResponseComplete", Stage::ResponseComplete),
    ("Panic", Stage::Panic),
];

impl Stage {
    pub fn name(self) -> &'static str {
        STAGES.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages(u8);

impl Stages {
    fn named(names: &[String]) -> Self {
        let bits = STAGES.iter().enumerate().filter(|(_, (known, _))| names.iter().any(|name| name == known));
        Self(bits.fold(0, |set, (bit, _)| set | 1 << bit))
    }

    fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn contains(self, stage: Stage) -> bool {
        self.0 & 1 << stage as u8 != 0
    }
}

/// How a request is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub level: Level,
    /// At these stages nothing is recorded.
    pub omitted: Stages,
    pub omit_managed_fields: bool,
}

/// A policy that has been validated.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    verdict: Verdict,
    fits: RuleFile,
}

/// Why a policy file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("cannot read the audit policy {path}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} does not read as an audit policy: {why}")]
    Parse { path: String, why: String },
    #[error("{path} is a {found}, not a Policy of audit.k8s.io/v1")]
    Kind { path: String, found: String },
    #[error("the audit policy {path} is invalid: {why}")]
    Invalid { path: String, why: String },
    /// A policy that records nothing is taken for a mistake.
    #[error("the audit policy {path} has no rules")]
    Empty { path: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyFile {
    api_version: String,
    kind: String,
    rules: Option<Vec<RuleFile>>,
    omit_stages: Option<Vec<String>>,
    omit_managed_fields: bool,
    #[serde(rename = "metadata")]
    _metadata: Value,
    #[serde(flatten)]
    unknown: serde_json::Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RuleFile {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, Value>,
}

impl Policy {
    /// Reads a policy file, YAML or JSON.
    ///
    /// # Errors
    /// A file that is none, or that breaks one of the rules for policies.
    pub fn read(file: &FilePath) -> Result<Self, PolicyError> {
        let path = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| PolicyError::Read { path: path.clone(), source })?;
        Self::parse(&path, &text)
    }

    fn parse(path: &str, text: &str) -> Result<Self, PolicyError> {
        let path = path.to_owned();
        let file: PolicyFile =
            serde_yaml::from_str(text).map_err(|error| PolicyError::Parse { path: path.clone(), why: error.to_string() })?;
        if (file.api_version.as_str(), file.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            let found = format!("{:?} of {:?}", file.kind, file.api_version);
            return Err(PolicyError::Kind { path, found });
        }
        let unknown = file.unknown();
        if !unknown.is_empty() {
            // As upstream: what is not understood does not keep a server from starting.
            tracing::warn!(%path, fields = unknown.join(", "), "the audit policy has fields that are not known");
        }
        let errors = file.validate();
        if !errors.is_empty() {
            let why = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Err(PolicyError::Invalid { path, why });
        }
        let omitted = Stages::named(file.omit_stages.as_deref().unwrap_or_default());
        let compile = |rule: RuleFile| {
            let verdict = Verdict {
                level: Level::named(&rule.level).unwrap_or_default(),
                omitted: omitted.union(Stages::named(&rule.omit_stages)),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(file.omit_managed_fields),
            };
            Rule { verdict, fits: rule }
        };
        let rules: Vec<Rule> = file.rules.unwrap_or_default().into_iter().map(compile).collect();
        if rules.is_empty() { Err(PolicyError::Empty { path }) } else { Ok(Self { rules }) }
    }

    /// How a request of `user` is recorded. None: the caller is not known.
    pub fn judge(&self, user: Option<&UserInfo>, attributes: &Attributes<'_>) -> Verdict {
        let rule = self.rules.iter().find(|rule| rule.fits.user(user) && rule.fits.attributes(attributes));
        rule.map(|rule| rule.verdict).unwrap_or_default()
    }
}

/// Whether a list allows a value; an empty one allows all.
fn open(list: &[String], value: &str) -> bool {
    list.is_empty() || list.iter().any(|one| one == value)
}

impl RuleFile {
    fn user(&self, user: Option<&UserInfo>) -> bool {
        let name = user.map_or(self.users.is_empty(), |user| open(&self.users, &user.name));
        let in_group = |user: &UserInfo| user.groups.iter().any(|group| self.user_groups.contains(group));
        name && (self.user_groups.is_empty() || user.is_some_and(in_group))
    }

    fn attributes(&self, attributes: &Attributes<'_>) -> bool {
        let verb = match attributes {
            Attributes::Resource(access) => access.verb,
            Attributes::Path { verb, .. } => verb,
        };
        if !open(&self.verbs, verb) {
            return false;
        }
        match attributes {
            Attributes::Resource(access) if !self.namespaces.is_empty() || !self.resources.is_empty() => {
                open(&self.namespaces, access.namespace) && (self.resources.is_empty() || self.resources.iter().any(|one| one.fits(access)))
            }
            Attributes::Path { path, .. } if !self.paths.is_empty() => self.paths.iter().any(|pattern| path_fits(pattern, path)),
            // A rule for the one is not for the other; one for neither is for all.
            _ => self.namespaces.is_empty() && self.resources.is_empty() && self.paths.is_empty(),
        }
    }
}

fn path_fits(pattern: &str, path: &str) -> bool {
    pattern == "*" || pattern == path || pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*'))
}

impl GroupResources {
    fn fits(&self, access: &ResourceAccess<'_>) -> bool {
        let names = || open(&self.resource_names, access.name);
        let whole = |pattern: &str| match access.subresource {
            None => pattern == access.resource,
            Some(sub) => pattern.split_once('/') == Some((access.resource, sub)),
        };
        let resource = |pattern: &String| {
            let parts = pattern.split_once('/');
            pattern == "*"
                || whole(pattern)
                || parts.is_some_and(|(any, sub)| any == "*" && access.subresource == Some(sub))
                // As upstream has it, all subresources of a resource take in the resource itself.
                || parts == Some((access.resource, "*"))
        };
        (self.group == "*" || self.group == access.group) && (self.resources.is_empty() || names() && self.resources.iter().any(resource))
    }
}

impl PolicyFile {
    /// The fields that no policy has.
    fn unknown(&self) -> Vec<String> {
        let mut all: Vec<String> = self.unknown.keys().cloned().collect();
        for (i, rule) in self.rules.iter().flatten().enumerate() {
            all.extend(rule.unknown.keys().map(|key| format!("rules[{i}].{key}")));
            for (j, one) in rule.resources.iter().enumerate() {
                all.extend(one.unknown.keys().map(|key| format!("rules[{i}].resources[{j}].{key}")));
            }
        }
        all
    }

    fn validate(&self) -> Errors {
        let mut errors = Errors::new();
        check_stages(self.omit_stages.as_deref().unwrap_or_default(), &Path::new("omitStages"), &mut errors);
        for (i, rule) in self.rules.iter().flatten().enumerate() {
            rule.validate(&Path::new("rules").index(i), &mut errors);
        }
        errors
    }
}

impl RuleFile {
    fn validate(&self, path: &Path, errors: &mut Errors) {
        if self.level.is_empty() {
            errors.push(Error::required(&path.child("level"), "a rule says how much is recorded"));
        } else if Level::named(&self.level).is_none() {
            errors.push(Error::not_supported(&path.child("level"), self.level.as_str(), &LEVELS.map(|(name, _)| name)));
        }
        let paths = path.child("nonResourceURLs");
        for (i, pattern) in self.paths.iter().enumerate().filter(|(_, pattern)| *pattern != "*") {
            if !pattern.starts_with('/') {
                errors.push(Error::invalid(&paths.index(i), pattern, "a path begins with '/'"));
            }
            if pattern.trim_end_matches('*').len() + 1 < pattern.len() || pattern.trim_end_matches('*').contains('*') {
                errors.push(Error::invalid(&paths.index(i), pattern, "'*' is for the end of a path only"));
            }
        }
        for one in &self.resources {
            one.validate(&path.child("resources"), errors);
        }
        check_stages(&self.omit_stages, &path.child("omitStages"), errors);
        let is_for_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if is_for_resources && !self.paths.is_empty() {
            errors.push(Error::invalid(&paths, &self.paths, "a rule is for resources or for other paths, not for both"));
        }
    }
}

impl GroupResources {
    fn validate(&self, path: &Path, errors: &mut Errors) {
        if !matches!(self.group.as_str(), "" | "*") {
            let wrong = machinery::names::dns1123_subdomain(&self.group, false);
            errors.extend(wrong.into_iter().map(|why| Error::invalid(&path.child("group"), &self.group, why)));
        }
        if !self.resource_names.is_empty() && self.resources.is_empty() {
            errors.push(Error::invalid(&path.child("resourceNames"), &self.resource_names, "names are of resources, which must be given"));
        }
    }
}

fn check_stages(names: &[String], path: &Path, errors: &mut Errors) {
    for (i, name) in names.iter().enumerate().filter(|(_, name)| !STAGES.iter().any(|(known, _)| known == name)) {
        let known = STAGES.map(|(name, _)| name).join(", ");
        errors.push(Error::invalid(&path.index(i), name, format!("stages are {known}")));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(rules: &str) -> Result<Policy, PolicyError> {
        Policy::parse("policy", &format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}"))
    }

    fn access<'a>(verb: &'a str, resource: &'a str, subresource: Option<&'a str>, namespace: &'a str, name: &'a str) -> Attributes<'a> {
        Attributes::Resource(ResourceAccess { verb, resource, subresource, namespace, name, ..ResourceAccess::default() })
    }

    fn level(rule: &str, attributes: &Attributes<'_>) -> Level {
        let user = UserInfo { name: "ann".into(), groups: vec!["dev".into(), "ops".into()], ..UserInfo::default() };
        parse(&format!("rules:\n- {{level: Metadata, {rule}}}")).unwrap().judge(Some(&user), attributes).level
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = parse(
            "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
             - {level: None, users: [ann]}\n- {level: Request, omitStages: [Panic], omitManagedFields: false}\n",
        )
        .unwrap();
        let ann = UserInfo { name: "ann".into(), ..UserInfo::default() };
        let path = Attributes::Path { verb: "get", path: "/version" };
        assert_eq!(policy.judge(Some(&ann), &path).level, Level::None);
        let other = policy.judge(None, &path);
        assert_eq!((other.level, other.omit_managed_fields), (Level::Request, false));
        assert!(other.omitted.contains(Stage::RequestReceived) && other.omitted.contains(Stage::Panic));
        assert!(!other.omitted.contains(Stage::ResponseComplete));
        assert_eq!(parse("rules: [{level: Metadata, users: [bob]}]").unwrap().judge(Some(&ann), &path), Verdict::default());
    }

    #[test]
    fn rules_fit_by_users_verbs_and_what_is_asked_for() {
        let pod = access("get", "pods", None, "a", "p");
        let log = access("get", "pods", Some("log"), "a", "p");
        let path = Attributes::Path { verb: "get", path: "/healthz/etcd" };
        for (rule, attributes, fits) in [
            ("userGroups: [ops]", &pod, true),
            ("userGroups: [root]", &pod, false),
            ("verbs: [list]", &pod, false),
            ("namespaces: [a]", &pod, true),
            ("namespaces: ['']", &pod, false),
            ("namespaces: [a]", &path, false),
            ("resources: [{group: ''}]", &log, true),
            ("resources: [{group: apps}]", &pod, false),
            ("resources: [{group: '*', resources: ['*']}]", &log, true),
            ("resources: [{resources: [pods]}]", &pod, true),
            ("resources: [{resources: [pods]}]", &log, false),
            ("resources: [{resources: [pods/log]}]", &log, true),
            ("resources: [{resources: ['pods/*']}]", &log, true),
            ("resources: [{resources: ['pods/*']}]", &pod, true),
            ("resources: [{resources: ['*/log']}]", &log, true),
            ("resources: [{resources: ['*/log']}]", &pod, false),
            ("resources: [{resources: [pods], resourceNames: [q]}]", &pod, false),
            ("resources: [{resources: [pods], resourceNames: [p]}]", &pod, true),
            ("nonResourceURLs: ['/healthz*']", &path, true),
            ("nonResourceURLs: ['/healthz']", &path, false),
            ("nonResourceURLs: ['*']", &pod, false),
        ] {
            assert_eq!(level(rule, attributes) == Level::Metadata, fits, "{rule} of {attributes:?}");
        }
        // Rules for certain callers say nothing of those who are not known.
        assert_eq!(parse("rules: [{level: Metadata, userGroups: [a]}]").unwrap().judge(None, &pod).level, Level::None);
    }

    #[test]
    fn policies_are_validated() {
        assert!(matches!(parse("rules: []"), Err(PolicyError::Empty { .. })));
        assert!(matches!(Policy::parse("p", "kind: Policy\nrules: [{level: None}]"), Err(PolicyError::Kind { .. })));
        assert!(matches!(parse("rules: 1"), Err(PolicyError::Parse { .. })));
        assert!(parse("rules: [{level: None, levels: x}]").is_ok(), "unknown fields are told, and no more");
        for (rules, field) in [
            ("rules: [{}]", "rules[0].level"),
            ("rules: [{level: All}]", "rules[0].level"),
            ("rules: [{level: None, nonResourceURLs: [x]}]", "rules[0].nonResourceURLs[0]"),
            ("rules: [{level: None, nonResourceURLs: ['/a*b']}]", "rules[0].nonResourceURLs[0]"),
            ("rules: [{level: None, nonResourceURLs: ['/a**']}]", "rules[0].nonResourceURLs[0]"),
            ("rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]", "rules[0].nonResourceURLs"),
            ("rules: [{level: None, resources: [{group: rbac/v1}]}]", "rules[0].resources.group"),
            ("rules: [{level: None, resources: [{resourceNames: [a]}]}]", "rules[0].resources.resourceNames"),
            ("omitStages: [Soon]\nrules: [{level: None}]", "omitStages[0]"),
        ] {
            let error = parse(rules).unwrap_err();
            assert!(matches!(&error, PolicyError::Invalid { why, .. } if why.starts_with(&format!("{field}: "))), "{rules}: {error}");
        }
    }
}
