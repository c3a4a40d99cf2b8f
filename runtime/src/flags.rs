//! The flags that this process runs with, as it tells them to those who ask.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

static FLAGS: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Reads the command line, as `Parser::parse` does, and keeps its flags for [`all`].
pub fn parse<T: CommandFactory + FromArgMatches>() -> T {
    let matches = T::command().get_matches();
    let flags = read(&T::command(), &matches);
    let parsed = T::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // A process reads its command line once.
    let _ = FLAGS.set(flags);
    parsed
}

/// The flags by name, with their values, given or not. Empty where no command line was read.
pub fn all() -> &'static BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    FLAGS.get().unwrap_or(&NONE)
}

/// The flags of a command, or of its subcommand that was called.
fn read(command: &Command, matches: &ArgMatches) -> BTreeMap<String, String> {
    if let Some((name, below)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        return read(command, below);
    }
    let known = command.get_arguments().filter_map(|arg| arg.get_long().map(|long| (long, arg)));
    let told = known.filter(|(long, _)| !matches!(*long, "help" | "version")).map(|(long, arg)| {
        let given = matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
        let values: Vec<_> = given.into_iter().flatten().map(|value| value.to_string_lossy()).collect();
        let is_list = arg.get_value_delimiter().is_some() || matches!(arg.get_action(), clap::ArgAction::Append);
        let shown = if is_list { format!("[{}]", values.join(",")) } else { values.join(",") };
        (long.to_owned(), shown)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_with_their_defaults() {
        let arg = |name: &'static str| clap::Arg::new(name).long(name);
        let sub = Command::new("up")
            .arg(arg("port").default_value("1"))
            .arg(arg("modes").value_delimiter(','))
            .arg(arg("quiet").action(clap::ArgAction::SetTrue));
        let command = Command::new("x").subcommand(sub);
        let matches = command.clone().get_matches_from(["x", "up", "--modes", "a,b"]);
        let told: Vec<_> = read(&command, &matches).into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
        assert_eq!(told, ["modes:[a,b]", "port:1", "quiet:false"]);
    }
}
