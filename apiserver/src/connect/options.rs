//! The options of `log`, `exec`, `attach` and `portforward`: checked, and written as kubelets read them.

use form_urlencoded::Serializer;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;
use machinery::field::{Error, Path};
use machinery::{GroupKind, Status, status};

use crate::http::query::Query;

/// `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub container: Option<String>,
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    /// Whether one of the streams was asked for, which a feature allows that is not on by default.
    names_stream: bool,
    /// The kubelet's certificate is not to be verified.
    pub any_kubelet: bool,
}

impl LogOptions {
    /// Reads the options of the log of the pod `name`.
    ///
    /// # Errors
    /// 400 for what does not parse, 422 for what makes no sense.
    pub fn of(query: &Query<'_>, name: &str) -> status::Result<Self> {
        let is = |parameter| query.boolean(parameter).unwrap_or(false);
        let since_time = query.given("sinceTime");
        let since_time =
            since_time.map(|text| text.parse::<Timestamp>().map_err(|_| Status::bad_request(format!("sinceTime: {text:?} is no time"))));
        let options = Self {
            container: query.given("container"),
            follow: is("follow"),
            previous: is("previous"),
            timestamps: is("timestamps"),
            since_seconds: query.number("sinceSeconds")?,
            since_time: since_time.transpose()?,
            tail_lines: query.number("tailLines")?,
            limit_bytes: query.number("limitBytes")?,
            names_stream: query.given("stream").is_some(),
            any_kubelet: is("insecureSkipTLSVerifyBackend"),
        };
        let errors = options.errors();
        if errors.is_empty() { Ok(options) } else { Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), name, &errors)) }
    }

    fn errors(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut at_least = |name: &str, value: Option<i64>, least: i64| {
            if let Some(value) = value.filter(|value| *value < least) {
                errors.push(Error::invalid(&Path::new(name), value, format!("must be at least {least}")));
            }
        };
        at_least("tailLines", self.tail_lines, 0);
        at_least("limitBytes", self.limit_bytes, 1);
        at_least("sinceSeconds", self.since_seconds.filter(|_| self.since_time.is_none()), 1);
        if self.since_seconds.is_some() && self.since_time.is_some() {
            errors.push(Error::forbidden(&Path::new("[]"), "sinceSeconds and sinceTime cannot be combined"));
        }
        if self.names_stream {
            errors.push(Error::forbidden(&Path::new("stream"), "may not be specified"));
        }
        errors
    }

    /// The query of a kubelet's `/containerLogs`.
    pub fn for_kubelet(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (name, set) in [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)] {
            if set {
                query.append_pair(name, "true");
            }
        }
        for (name, number) in [("sinceSeconds", self.since_seconds), ("tailLines", self.tail_lines), ("limitBytes", self.limit_bytes)] {
            if let Some(number) = number {
                query.append_pair(name, &number.to_string());
            }
        }
        if let Some(time) = self.since_time {
            query.append_pair("sinceTime", &time.to_string());
        }
        query.finish()
    }
}

/// The query of a kubelet's `/exec` and `/attach`. Attaching means its output unless the caller says otherwise.
pub fn remote_command(action: &str, query: &Query<'_>) -> String {
    let by_default = action == "attach";
    let mut written = Serializer::new(String::new());
    for (name, kubelets, default) in
        [("stdin", "input", false), ("stdout", "output", by_default), ("stderr", "error", by_default), ("tty", "tty", false)]
    {
        if query.boolean(name).unwrap_or(default) {
            written.append_pair(kubelets, "1");
        }
    }
    if action == "exec" {
        query.all("command").for_each(|word| _ = written.append_pair("command", word));
    }
    written.finish()
}

/// The query of a kubelet's `/portForward`.
///
/// # Errors
/// 400 for what is no port.
pub fn port_forward(query: &Query<'_>) -> status::Result<String> {
    let mut ports = Vec::new();
    for text in query.all("ports").flat_map(|list| list.split(',')).filter(|text| !text.is_empty()) {
        let port: u16 = text.parse().map_err(|_| Status::bad_request(format!("{text:?} is no port")))?;
        ports.push(port.to_string());
    }
    let mut written = Serializer::new(String::new());
    if !ports.is_empty() {
        written.append_pair("port", &ports.join(","));
    }
    Ok(written.finish())
}

/// The container that is meant: the named one, or the only one.
///
/// # Errors
/// 400 for a container that the pod does not have, and for none where it has several.
pub fn container<'s>(pod: &str, spec: &'s PodSpec, named: Option<&str>) -> status::Result<&'s str> {
    let initial = spec.init_containers.iter().flatten().map(|container| &container.name);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.name);
    let mut all = initial.chain(spec.containers.iter().map(|container| &container.name)).chain(ephemeral).map(String::as_str);
    match (named.filter(|name| !name.is_empty()), spec.containers.as_slice()) {
        (Some(name), _) => {
            all.find(|one| *one == name).ok_or_else(|| Status::bad_request(format!("container {name} is not valid for pod {pod}")))
        }
        (None, [only]) => Ok(&only.name),
        (None, _) => {
            let all: Vec<&str> = all.collect();
            Err(Status::bad_request(format!("a container of pod {pod} must be named, which is one of: [{}]", all.join(" "))))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn log(query: &str) -> Result<String, u16> {
        LogOptions::of(&Query::parse(Some(query)), "p").map(|options| options.for_kubelet()).map_err(|status| status.code)
    }

    #[test]
    fn options_of_logs_are_checked_and_passed_on() {
        assert_eq!(log("").as_deref(), Ok(""));
        assert_eq!(log("follow=true&tailLines=0&sinceSeconds=5").as_deref(), Ok("follow=true&sinceSeconds=5&tailLines=0"));
        assert_eq!(log("sinceTime=2026-01-02T03:04:05Z").as_deref(), Ok("sinceTime=2026-01-02T03%3A04%3A05Z"));
        for wrong in ["tailLines=-1", "limitBytes=0", "sinceSeconds=0", "stream=All", "stream=Stdout"] {
            assert_eq!(log(wrong), Err(422), "{wrong}");
        }
        assert_eq!(log("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z"), Err(422));
        for wrong in ["tailLines=x", "sinceTime=yesterday", "limitBytes=99999999999999999999"] {
            assert_eq!(log(wrong), Err(400), "{wrong}");
        }
    }

    #[test]
    fn streams_and_commands_are_passed_on_as_kubelets_read_them() {
        let query = Query::parse(Some("command=sh&command=-c&command=echo+a%26b&stdin=true&stdout=1&stderr=false&container=c"));
        assert_eq!(remote_command("exec", &query), "input=1&output=1&command=sh&command=-c&command=echo+a%26b");
        assert_eq!(remote_command("attach", &Query::parse(Some("tty=true"))), "output=1&error=1&tty=1");
        assert_eq!(port_forward(&Query::parse(Some("ports=80&ports=443"))).unwrap(), "port=80%2C443");
        assert_eq!(port_forward(&Query::parse(Some("ports=99999"))).map_err(|status| status.code), Err(400));
    }
}
