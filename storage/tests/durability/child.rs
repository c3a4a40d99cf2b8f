//! Other processes to kill or to starve: this test program itself, asked to run one of its tests as a child.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DIRECTORY: &str = "KYBERN_STORAGE_CHILD";

/// A child that runs `test` on `directory`, with its input and output in pipes.
pub(crate) fn command(test: &str, directory: &Path, limit_blocks: Option<u32>) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match limit_blocks {
        None => Command::new(program),
        Some(blocks) => {
            let mut shell = Command::new("sh");
            // The soft limit only, so that it can be lifted. A write beyond it fails where its signal is ignored.
            shell.args(["-c", &format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$@\""), "sh"]).arg(program);
            shell
        }
    };
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// In a child, the directory it was given.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}
