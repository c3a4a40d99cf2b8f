//! The systemd units and the compose file: every command that they give is one that the binaries take, and every
//! file that they name is one that `kybern pki` makes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use kybern_tests::cluster::repository;
use kybern_tests::process::program;
use serde_json::Value;
use tempfile::TempDir;

const NODE: &str = "node-a";
/// Where units and containers find what `kybern pki` makes.
const PKI: [&str; 2] = ["/etc/kybern/pki/", "/pki/"];

fn units() -> Vec<PathBuf> {
    let files = std::fs::read_dir(repository("deploy/systemd")).unwrap().map(|file| file.unwrap().path());
    let units: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "service")).collect();
    assert!(units.len() >= 5, "{units:?}");
    units
}

fn compose() -> Value {
    let text = std::fs::read(repository("deploy/compose.yaml")).unwrap();
    machinery::yaml::parse(&text).unwrap().value
}

/// The commands of the units, as lists of words.
fn of_units() -> Vec<Vec<String>> {
    let command = |unit: &PathBuf| {
        let text = std::fs::read_to_string(unit).unwrap().replace("\\\n", " ");
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("ExecStart").to_owned();
        command.split_whitespace().map(|word| word.replace("%H", NODE)).collect()
    };
    units().iter().map(command).collect()
}

/// The commands of the containers that run our image.
fn of_containers() -> Vec<Vec<String>> {
    let words = |service: &Value| -> Vec<String> {
        service["command"].as_array().expect("a command").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let compose = compose();
    let services = compose["services"].as_object().expect("services").values();
    services.filter(|service| service["build"].is_object()).map(words).collect()
}

fn all() -> Vec<Vec<String>> {
    let (units, containers) = (of_units(), of_containers());
    assert!(containers.len() >= 4, "{containers:?}");
    [units, containers].concat()
}

/// The flags that a program takes, by its help.
fn flags(words: &[String]) -> BTreeSet<String> {
    let name = Path::new(&words[0]).file_name().unwrap().to_str().unwrap();
    let mut help = Command::new(program(name));
    // Its one word that is no flag names what it shall do.
    help.args(words[1..].iter().filter(|word| !word.starts_with('-'))).arg("--help");
    let output = help.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let first_word = |line: &str| line.split_whitespace().find(|word| word.starts_with("--")).map(str::to_owned);
    text.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(first_word).collect()
}

#[test]
fn every_flag_exists() {
    for words in all() {
        let known = flags(&words);
        for word in words.iter().filter(|word| word.starts_with('-')) {
            let flag = word.split('=').next().unwrap();
            assert!(known.contains(flag), "{} does not take {flag}; it takes {known:?}", words[0]);
        }
    }
}

#[test]
fn every_identity_is_made() {
    let dir = TempDir::new().unwrap();
    let pki = format!("--dir={}", dir.path().display());
    let made = Command::new(program("kybern"))
        .args(["pki", &pki, "--server=https://apiserver:6443", "--hosts=apiserver", &format!("--nodes={NODE}")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let commands = all();
    let values = commands.iter().flatten().filter_map(|word| word.split_once('=')).map(|(_, value)| value);
    let named: BTreeSet<&str> = values.filter_map(|value| PKI.iter().find_map(|place| value.strip_prefix(place))).collect();
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        assert!(dir.path().join(name).is_file(), "{name} is not among what kybern pki makes");
    }
}

#[test]
fn what_containers_need_is_declared() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for other in service["depends_on"].as_array().into_iter().flatten() {
            assert!(services.contains_key(other.as_str().unwrap()), "{name} depends on {other}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|v| !v.starts_with('.')) {
            assert!(compose["volumes"].get(volume.split(':').next().unwrap()).is_some(), "{name} mounts {volume}");
        }
    }
    let image = std::fs::read_to_string(repository("deploy/Dockerfile")).unwrap();
    for words in of_containers() {
        assert!(image.contains(&format!("target/release/{}", words[0])), "{} is not in the image", words[0]);
    }
}

/// What systemd itself says of the units, where it is installed.
#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("no systemd-analyze: not checked");
        return;
    }
    let dir = TempDir::new().unwrap();
    let built = program("kybern").parent().unwrap().display().to_string();
    let copy = |unit: PathBuf| {
        // It wants to see the programs.
        let text = std::fs::read_to_string(&unit).unwrap().replace("/usr/local/bin", &built);
        let copy = dir.path().join(unit.file_name().unwrap());
        std::fs::write(&copy, text).unwrap();
        copy
    };
    let copies: Vec<PathBuf> = units().into_iter().map(copy).collect();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&copies).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("kybern")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}
