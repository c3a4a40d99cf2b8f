//! What a simulated container writes, and when: what the annotation `simulated.kybern.dev/output` says, line by line, all
//! at once or (`output-every: 1s`) one after another, again and again; or else what `echo` in its command says. Nothing is
//! kept: lines are computed from when the container was started.

use bytes::Bytes;
use jiff::SignedDuration;
use runtime::args::duration;

use super::behaviour::{PREFIX, sleep_time};
use super::shell::{self, Separator, Statement};
use crate::access::Source;
use crate::pod::{Container, Pod};

/// A loop that waits for nothing is slowed down to this.
const SHORTEST_ROUND: SignedDuration = SignedDuration::from_millis(100);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub after: SignedDuration,
    pub source: Source,
    pub text: Bytes,
}

/// All that a container will ever write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    first: Vec<Said>,
    /// Said in each round, counted from its begin; empty where nothing is repeated.
    again: Vec<Said>,
    /// When the first round begins, and how long each takes.
    rounds_from: SignedDuration,
    round: SignedDuration,
}

impl Output {
    pub fn of(pod: &Pod, container: &Container) -> Self {
        let says = |name: &str| pod.annotation(PREFIX, name, &container.name);
        if let Some(text) = says("output") {
            let every = says("output-every").and_then(|text| duration(text).ok()).and_then(|time| SignedDuration::try_from(time).ok());
            return Self::of_text(text, every);
        }
        Self::of_command(&container.command)
    }

    fn of_text(text: &str, every: Option<SignedDuration>) -> Self {
        let said = |after, line: &str| Said { after, source: Source::Stdout, text: Bytes::from(format!("{line}\n")) };
        let Some(every) = every.map(|every| every.max(SHORTEST_ROUND)) else {
            return Self { first: text.lines().map(|line| said(SignedDuration::ZERO, line)).collect(), ..Self::default() };
        };
        let again: Vec<Said> = (0..).zip(text.lines()).map(|(number, line)| said(every.saturating_mul(number), line)).collect();
        let round = every.saturating_mul(i32::try_from(again.len()).unwrap_or(i32::MAX));
        Self { again, round, ..Self::default() }
    }

    fn of_command(command: &[String]) -> Self {
        let Some(program) = command.first() else { return Self::default() };
        let statements = match shell::script(command).filter(|_| shell::is_shell(program)) {
            Some(script) => shell::statements(script),
            None => vec![Statement { separator: Separator::Always, words: command.to_vec() }],
        };
        let mut output = Self::default();
        let mut now = SignedDuration::ZERO;
        let mut code = 0;
        let mut in_loop = false;
        for Statement { separator, mut words } in statements {
            if words[0] == "do" {
                words.remove(0);
            }
            let Some(first) = words.first() else { continue };
            if matches!((separator, code), (Separator::And, 1..) | (Separator::Or, 0)) {
                continue;
            }
            code = 0;
            match shell::program(first) {
                "echo" => output.say(now, in_loop, shell::echo(&words[1..])),
                "sleep" => now += words[1..].iter().filter_map(|word| sleep_time(word)).sum::<SignedDuration>(),
                "false" => code = 1,
                "while" | "until" if !in_loop => {
                    // What is looped for as long as something holds is looped for ever here.
                    in_loop = true;
                    output.rounds_from = now;
                }
                "done" if in_loop => break,
                "exit" => break,
                _ => {}
            }
        }
        output.round = (now - output.rounds_from).max(SHORTEST_ROUND);
        for said in &mut output.again {
            said.after -= output.rounds_from;
        }
        output
    }

    fn say(&mut self, after: SignedDuration, in_loop: bool, said: Option<(String, bool)>) {
        let Some((text, to_errors)) = said else { return };
        let source = if to_errors { Source::Stderr } else { Source::Stdout };
        let lines = text.split_inclusive('\n').map(|line| Said { after, source, text: Bytes::copy_from_slice(line.as_bytes()) });
        if in_loop { self.again.extend(lines) } else { self.first.extend(lines) }
    }

    /// A line by its number; None after the last.
    pub fn line(&self, number: usize) -> Option<Said> {
        if let Some(said) = self.first.get(number) {
            return Some(said.clone());
        }
        let beyond = number - self.first.len();
        let said = self.again.get(beyond.checked_rem(self.again.len())?)?;
        let rounds = i32::try_from(beyond / self.again.len()).ok()?;
        Some(Said { after: self.rounds_from + self.round.checked_mul(rounds)? + said.after, ..said.clone() })
    }

    /// How many lines are written before `after`.
    pub fn count_before(&self, after: SignedDuration) -> usize {
        let first = self.first.iter().filter(|said| said.after < after).count();
        let looping = after - self.rounds_from;
        if self.again.is_empty() || looping.is_negative() || looping.is_zero() {
            return first;
        }
        let rounds = looping.as_millis() / self.round.as_millis().max(1);
        let rounds = i32::try_from(rounds).unwrap_or(i32::MAX);
        let rest = looping - self.round.saturating_mul(rounds);
        let begun = self.again.iter().filter(|said| said.after < rest).count();
        first + usize::try_from(rounds).unwrap_or(0).saturating_mul(self.again.len()) + begun
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(script: &str) -> Output {
        Output::of_command(&["sh", "-c", script].map(str::to_owned))
    }

    fn lines(output: &Output, most: usize) -> Vec<(i64, String)> {
        let all = (0..most).map_while(|number| output.line(number));
        all.map(|said| (said.after.as_secs(), String::from_utf8_lossy(&said.text).trim_end().to_owned())).collect()
    }

    fn pairs(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
        expected.iter().map(|(after, text)| (*after, (*text).to_owned())).collect()
    }

    #[test]
    fn scripts_write_what_they_echo() {
        assert_eq!(lines(&of("echo a; sleep 2; echo \"b; c\"; exit 3; echo d"), 9), pairs(&[(0, "a"), (2, "b; c")]));
        assert_eq!(lines(&of("false && echo a; false || echo b"), 9), pairs(&[(0, "b")]));
        assert_eq!(lines(&Output::of_command(&["echo", "x", "y"].map(str::to_owned)), 9), pairs(&[(0, "x y")]));
        assert_eq!(of("echo oh >&2").line(0).unwrap().source, Source::Stderr);
        assert_eq!(Output::of_command(&[]).line(0), None);
    }

    #[test]
    fn loops_write_for_ever() {
        let output = of("echo begin; sleep 5; while true; do echo tick; sleep 2; echo tock; done");
        assert_eq!(lines(&output, 5), pairs(&[(0, "begin"), (5, "tick"), (7, "tock"), (7, "tick"), (9, "tock")]));
        assert_eq!(output.count_before(SignedDuration::from_millis(6_500)), 2);
        assert_eq!(output.count_before(SignedDuration::from_millis(7_500)), 4);
        assert_eq!(output.count_before(SignedDuration::from_secs(5)), 1);
        let year = output.count_before(SignedDuration::from_hours(24 * 365));
        assert!(output.line(year).is_some() && year > 30_000_000);
    }

    #[test]
    fn annotations_say_what_is_written() {
        let output = Output::of_text("a\nb", Some(SignedDuration::from_secs(3)));
        assert_eq!(lines(&output, 4), pairs(&[(0, "a"), (3, "b"), (6, "a"), (9, "b")]));
        assert_eq!(lines(&Output::of_text("a\nb", None), 9), pairs(&[(0, "a"), (0, "b")]));
    }
}
