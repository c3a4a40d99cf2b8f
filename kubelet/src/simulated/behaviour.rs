//! How a simulated container behaves. Annotations on the pod say so, for all its containers or (with the
//! container's name after a dot) for one:
//!
//! | annotation | meaning |
//! | --- | --- |
//! | `simulated.kybern.dev/start-delay: 2s` | time until the container runs |
//! | `simulated.kybern.dev/run-time: 30s` | it ends by itself after so long |
//! | `simulated.kybern.dev/exit-code: "1"` | what it ends with; without a run time, at once |
//! | `simulated.kybern.dev/ready: "false"` | it never gets ready; a duration: it gets ready after so long |
//! | `simulated.kybern.dev/live-for: 1m` | its liveness probe fails after so long |
//! | `simulated.kybern.dev/stop-delay: 5s` | time it takes to end when asked to |
//! | `simulated.kybern.dev/unpullable: "true"` | its image cannot be pulled |
//! | `simulated.kybern.dev/output: ready` | what it writes when it has started, line by line |
//! | `simulated.kybern.dev/output-every: 1s` | it writes these lines one after another, again and again |
//!
//! Without annotations the command tells: `sleep N`, `exit N`, `true`, `false`, alone or in a script for `sh -c`.
//! Images whose names say that they do not exist cannot be pulled.

use jiff::SignedDuration;
use runtime::args::duration;

use super::probe_delays;
use super::shell::{self, Separator, Statement};
use crate::pod::{Container, Kind, Pod, RestartPolicy};

pub(super) const PREFIX: &str = "simulated.kybern.dev";
/// How long a program takes to end when it is asked to.
const STOP_DELAY: SignedDuration = SignedDuration::from_millis(200);
/// How long a program runs of which only is known that it ends.
const BRIEFLY: SignedDuration = SignedDuration::from_secs(1);

/// What a container will do, counted from when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    pub pull_failure: Option<PullFailure>,
    pub start_delay: SignedDuration,
    /// None: it runs until it is stopped.
    pub run_time: Option<SignedDuration>,
    pub exit_code: i32,
    /// From running to started.
    pub started_after: SignedDuration,
    /// From started to ready; None: never.
    pub ready_after: Option<SignedDuration>,
    /// From started to dead, as its liveness probe sees it.
    pub dead_after: Option<SignedDuration>,
    pub stop_delay: SignedDuration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullFailure {
    pub reason: &'static str,
    pub message: String,
}

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ends {
        after: SignedDuration,
        code: i32,
    },
    /// A program that nothing is known of.
    Unknown {
        after: SignedDuration,
    },
    Runs,
}

impl Behaviour {
    pub fn of(pod: &Pod, container: &Container) -> Self {
        let says = |name: &str| pod.annotation(PREFIX, name, &container.name);
        let time = |name: &str| says(name).and_then(|text| duration(text).ok()).and_then(|time| SignedDuration::try_from(time).ok());
        let exit_code = says("exit-code").and_then(|code| code.parse().ok());
        let (run_time, exit_code) = match (time("run-time"), exit_code) {
            (Some(run_time), code) => (Some(run_time), code.unwrap_or(0)),
            (None, Some(code)) => (Some(SignedDuration::ZERO), code),
            (None, None) => by_command(pod, container),
        };
        let (started_after, probed_ready_after) = probe_delays(container);
        let ready_after = match says("ready") {
            Some("false") => None,
            Some("true") | None => Some(probed_ready_after),
            Some(_) => Some(time("ready").unwrap_or(probed_ready_after)),
        };
        let unpullable = says("unpullable") == Some("true");
        Self {
            pull_failure: pull_failure(&container.image, unpullable),
            start_delay: time("start-delay").unwrap_or_default(),
            run_time,
            exit_code,
            started_after,
            ready_after,
            dead_after: time("live-for").filter(|_| container.liveness.is_some()),
            stop_delay: time("stop-delay").unwrap_or(STOP_DELAY),
        }
    }

    /// The behaviour of a container that has started already.
    pub fn without_start_delay(self) -> Self {
        Self { start_delay: SignedDuration::ZERO, pull_failure: None, ..self }
    }
}

fn by_command(pod: &Pod, container: &Container) -> (Option<SignedDuration>, i32) {
    let ends_by_nature = container.kind == Kind::Init || (container.kind == Kind::Main && pod.restart_policy != RestartPolicy::Always);
    match outcome(&container.command) {
        Outcome::Ends { after, code } => (Some(after), code),
        Outcome::Unknown { after } if ends_by_nature => (Some(after + BRIEFLY), 0),
        // The image's own program: that of a job or an init container is made to end.
        Outcome::Runs if container.command.is_empty() && (container.kind == Kind::Init || pod.is_owned_by("Job")) => (Some(BRIEFLY), 0),
        Outcome::Runs | Outcome::Unknown { .. } => (None, 0),
    }
}

fn outcome(command: &[String]) -> Outcome {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let program = words.first().map(|program| shell::program(program));
    match program {
        None => Outcome::Runs,
        Some(program) if shell::is_shell(program) => {
            shell::script(&words).map_or(Outcome::Unknown { after: SignedDuration::ZERO }, of_script)
        }
        Some(_) => of_words(&words),
    }
}

/// A script is read line by line, as far as its commands are known.
fn of_script(script: &str) -> Outcome {
    let mut after = SignedDuration::ZERO;
    let mut code = 0;
    let mut stops_at_failure = false;
    for Statement { separator, words } in &shell::statements(script) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some(first) = words.first() else { continue };
        let skipped = matches!((separator, code), (Separator::And, 1..) | (Separator::Or, 0));
        if skipped {
            continue;
        }
        match (*first, words.get(1)) {
            ("while" | "until", _) => return Outcome::Runs,
            ("set", Some(option)) if option.starts_with('-') && option.contains('e') => stops_at_failure = true,
            ("exit", given) => {
                let code = given.map_or(code, |given| given.parse().unwrap_or(0));
                return Outcome::Ends { after, code };
            }
            _ => match of_words(&words) {
                Outcome::Ends { after: more, code: ended } => {
                    after += more;
                    code = ended;
                }
                Outcome::Unknown { after: more } => return Outcome::Unknown { after: after + more },
                Outcome::Runs => return Outcome::Runs,
            },
        }
        if code != 0 && stops_at_failure {
            break;
        }
    }
    Outcome::Ends { after, code }
}

/// One program with its arguments.
fn of_words(words: &[&str]) -> Outcome {
    let at_once = |code| Outcome::Ends { after: SignedDuration::ZERO, code };
    let program = words.first().map(|program| shell::program(program));
    match (program.unwrap_or_default(), words.get(1)) {
        ("exec" | "time" | "nohup", Some(_)) => of_words(&words[1..]),
        ("sleep", Some(&"infinity" | &"inf")) => Outcome::Runs,
        ("sleep", Some(_)) => {
            let times: Option<Vec<SignedDuration>> = words[1..].iter().map(|word| sleep_time(word)).collect();
            // What a variable holds is not known here.
            let after = times.map_or(BRIEFLY, |times| times.into_iter().sum());
            Outcome::Ends { after, code: 0 }
        }
        ("exit", code) => at_once(code.and_then(|code| code.parse().ok()).unwrap_or(0)),
        ("false", _) => at_once(1),
        (
            "true" | ":" | "echo" | "printf" | "date" | "set" | "export" | "cd" | "mkdir" | "touch" | "cp" | "mv" | "rm" | "ls" | "pwd"
            | "env",
            _,
        ) => at_once(0),
        ("tail", Some(&"-f" | &"-F")) => Outcome::Runs,
        ("", _) => Outcome::Runs,
        // An assignment.
        (first, _) if first.contains('=') => at_once(0),
        (first, _) if first.starts_with('#') => at_once(0),
        _ => Outcome::Unknown { after: SignedDuration::ZERO },
    }
}

/// The argument of `sleep`: seconds, or a number with a unit.
pub(super) fn sleep_time(text: &str) -> Option<SignedDuration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => 1.0,
    };
    let seconds: f64 = number.parse().ok()?;
    SignedDuration::try_from_secs_f64(seconds * factor).ok().filter(|time| !time.is_negative())
}

fn pull_failure(image: &str, unpullable: bool) -> Option<PullFailure> {
    const TELLING: [&str; 16] = [
        "does-not-exist",
        "doesnotexist",
        "does.not.exist",
        "does_not_exist",
        "nonexistent",
        "non-existent",
        "nonexisting",
        "non-existing",
        "not-exist",
        "notexist",
        "not-found",
        "notfound",
        "no-such",
        "nosuch",
        "invalid-image",
        "unpullable",
    ];
    // Tags may have capital letters; repositories may not.
    let repository = image.split('@').next().unwrap_or_default();
    let repository = repository.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(repository, |(repository, _)| repository);
    let (_, path) = repository.split_once('/').unwrap_or(("", repository));
    if image.is_empty() || image.contains(char::is_whitespace) || path.contains(|c: char| c.is_ascii_uppercase()) {
        return Some(PullFailure { reason: "InvalidImageName", message: format!("{image:?} is not the name of an image") });
    }
    let lower = image.to_ascii_lowercase();
    let missing = unpullable || TELLING.iter().any(|word| lower.contains(word));
    missing.then(|| PullFailure { reason: "ErrImagePull", message: format!("the image {image:?} was not found") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(seconds: i64, code: i32) -> Outcome {
        Outcome::Ends { after: SignedDuration::from_secs(seconds), code }
    }

    fn run(words: &[&str]) -> Outcome {
        outcome(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn well_known_commands_end_as_they_say() {
        assert_eq!(run(&["sleep", "5"]), ends(5, 0));
        assert_eq!(run(&["/bin/sleep", "2m"]), ends(120, 0));
        assert_eq!(run(&["sleep", "infinity"]), Outcome::Runs);
        assert_eq!(run(&["true"]), ends(0, 0));
        assert_eq!(run(&["/bin/false"]), ends(0, 1));
        assert_eq!(run(&["exit", "3"]), ends(0, 3));
        assert_eq!(run(&["nginx", "-g", "daemon off;"]), Outcome::Unknown { after: SignedDuration::ZERO });
        assert_eq!(run(&[]), Outcome::Runs);
    }

    #[test]
    fn scripts_are_followed() {
        assert_eq!(run(&["sh", "-c", "echo hello; sleep 3; exit 7"]), ends(3, 7));
        assert_eq!(run(&["/bin/sh", "-ec", "sleep 1 && false && sleep 100"]), ends(1, 1));
        assert_eq!(run(&["bash", "-c", "set -e\nfalse\nsleep 100"]), ends(0, 1));
        assert_eq!(run(&["sh", "-c", "false || sleep 4"]), ends(4, 0));
        assert_eq!(run(&["sh", "-c", "while true; do date; sleep 5; done"]), Outcome::Runs);
        assert_eq!(run(&["sh", "-c", "sleep 2; exec my-server"]), Outcome::Unknown { after: SignedDuration::from_secs(2) });
    }

    #[test]
    fn names_tell_which_images_are_missing() {
        assert!(pull_failure("nginx:1.27", false).is_none());
        assert!(pull_failure("localhost:5000/team/app", false).is_none());
        assert!(pull_failure("nginx:1.27", true).is_some());
        assert_eq!(pull_failure("example.com/does-not-exist:v1", false).map(|f| f.reason), Some("ErrImagePull"));
        assert_eq!(pull_failure("Nginx Latest", false).map(|f| f.reason), Some("InvalidImageName"));
        assert_eq!(pull_failure("example.com/Upper:v1", false).map(|f| f.reason), Some("InvalidImageName"));
    }
}
