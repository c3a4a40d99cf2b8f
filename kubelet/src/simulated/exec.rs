//! Programs that are run in simulated containers: a handful that need nothing but their streams, and a shell for them.
//! All others are missing, as they are from an image without them.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::behaviour::sleep_time;
use super::shell::{self, Separator};
use crate::access::{Place, Streams};

/// How long a program takes to start, about as with a real runtime. Clients count on that: kubectl throws away what
/// comes over a WebSocket before it has made its streams, which it does after it is connected.
const START: Duration = Duration::from_millis(50);
/// What a shell exits with for a program that is not there.
const NOT_FOUND: i32 = 127;
/// Of a process that wrote where nobody reads: 128 and the signal's number.
const BROKEN_PIPE: i32 = 141;
/// A shell that is run by a shell, and so on.
const DEEPEST: usize = 8;
/// Of a line that a shell reads.
const LONGEST_LINE: usize = 4096;
const PROMPT: &str = "/ # ";

/// How a command ended, and whether the shell ends with it.
struct Ended {
    code: i32,
    exits: bool,
}

fn ended(code: i32) -> Ended {
    Ended { code, exits: false }
}

/// Runs a program; its exit code.
pub async fn run(place: &Place, command: &[String], streams: Streams) -> i32 {
    tokio::time::sleep(START).await;
    let mut process = Process { hostname: place.pod.name().to_owned(), streams };
    let program = command.first().map(|word| shell::program(word)).unwrap_or_default();
    if !is_known(program) {
        let missing = format!("exec failed: unable to start container process: exec: {program:?}: executable file not found in $PATH\n");
        let _ = process.complain(&missing).await;
        return NOT_FOUND;
    }
    process.program(command, 0).await.map_or(BROKEN_PIPE, |ended| ended.code)
}

fn is_known(program: &str) -> bool {
    shell::is_shell(program)
        || matches!(program, "true" | ":" | "false" | "echo" | "exit" | "sleep" | "cat" | "hostname" | "pwd" | "date" | "whoami")
}

/// Lines as a terminal wants them ended.
pub fn for_terminal(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect()
}

struct Process {
    hostname: String,
    streams: Streams,
}

impl Process {
    async fn write(&mut self, text: &[u8]) -> std::io::Result<()> {
        let text = if self.streams.tty { for_terminal(text) } else { text.to_vec() };
        put(&mut self.streams.stdout, &text).await
    }

    /// Writes to the stream for errors; a terminal has one stream only.
    async fn complain(&mut self, text: &str) -> std::io::Result<()> {
        if self.streams.tty { self.write(text.as_bytes()).await } else { put(&mut self.streams.stderr, text.as_bytes()).await }
    }

    fn program<'a>(&'a mut self, words: &'a [String], depth: usize) -> BoxFuture<'a, std::io::Result<Ended>> {
        async move {
            let arguments = words.get(1..).unwrap_or_default();
            let program = words.first().map(|word| shell::program(word)).unwrap_or_default();
            match program {
                "" | "true" | ":" => {}
                "false" => return Ok(ended(1)),
                "exit" => return Ok(Ended { code: arguments.first().and_then(|code| code.parse().ok()).unwrap_or(0), exits: true }),
                "echo" => match shell::echo(arguments) {
                    Some((text, true)) => self.complain(&text).await?,
                    Some((text, false)) => self.write(text.as_bytes()).await?,
                    None => {}
                },
                "sleep" => {
                    let time: Option<jiff::SignedDuration> = arguments.iter().map(|word| sleep_time(word)).sum();
                    let Some(time) = time.filter(|_| !arguments.is_empty()) else {
                        self.complain("sleep: a time is expected\n").await?;
                        return Ok(ended(1));
                    };
                    tokio::time::sleep(time.unsigned_abs()).await;
                }
                "cat" if arguments.is_empty() => self.copy().await?,
                "cat" => {
                    self.complain(&format!("cat: can't open '{}': No such file or directory\n", arguments[0])).await?;
                    return Ok(ended(1));
                }
                "hostname" => self.write(format!("{}\n", self.hostname).as_bytes()).await?,
                "pwd" => self.write(b"/\n").await?,
                "whoami" => self.write(b"root\n").await?,
                "date" => self.write(Timestamp::now().strftime("%a %b %e %H:%M:%S UTC %Y\n").to_string().as_bytes()).await?,
                shell if shell::is_shell(shell) && depth < DEEPEST => {
                    let code = match shell::script(arguments) {
                        Some(script) => self.script(script, depth + 1).await?.code,
                        None => self.interactive(depth + 1).await?,
                    };
                    return Ok(ended(code));
                }
                missing => {
                    self.complain(&format!("sh: {missing}: not found\n")).await?;
                    return Ok(ended(NOT_FOUND));
                }
            }
            Ok(ended(0))
        }
        .boxed()
    }

    async fn script(&mut self, script: &str, depth: usize) -> std::io::Result<Ended> {
        let mut code = 0;
        for statement in shell::statements(script) {
            if matches!((statement.separator, code), (Separator::And, 1..) | (Separator::Or, 0)) {
                continue;
            }
            let end = self.program(&statement.words, depth).await?;
            if end.exits {
                return Ok(end);
            }
            code = end.code;
        }
        Ok(ended(code))
    }

    /// Copies input to output until the input ends.
    async fn copy(&mut self) -> std::io::Result<()> {
        let Some(mut stdin) = self.streams.stdin.take() else { return Ok(()) };
        let mut buffer = vec![0; 4096];
        loop {
            let count = stdin.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            self.write(&buffer[..count]).await?;
        }
    }

    /// A shell that reads what to do from its input, line by line.
    async fn interactive(&mut self, depth: usize) -> std::io::Result<i32> {
        let Some(mut stdin) = self.streams.stdin.take() else { return Ok(0) };
        let mut code = 0;
        loop {
            if self.streams.tty {
                self.write(PROMPT.as_bytes()).await?;
            }
            let Some(line) = self.line(&mut stdin).await? else { return Ok(code) };
            let end = self.script(&line, depth).await?;
            if end.exits {
                return Ok(end.code);
            }
            code = end.code;
        }
    }

    /// A line of input; None at its end. A terminal's user sees what they type.
    async fn line(&mut self, stdin: &mut DuplexStream) -> std::io::Result<Option<String>> {
        const END_OF_INPUT: u8 = 4;
        const INTERRUPT: u8 = 3;
        const BACKSPACE: [u8; 2] = [8, 127];
        let tty = self.streams.tty;
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if stdin.read(&mut byte).await? == 0 {
                return Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()));
            }
            match byte[0] {
                b'\n' | b'\r' => {
                    if tty {
                        self.write(b"\n").await?;
                    }
                    return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
                }
                END_OF_INPUT if tty && line.is_empty() => return Ok(None),
                INTERRUPT if tty => {
                    self.write(b"^C\n").await?;
                    return Ok(Some(String::new()));
                }
                erase if tty && BACKSPACE.contains(&erase) && line.pop().is_some() => self.write(b"\x08 \x08").await?,
                other if line.len() < LONGEST_LINE && !BACKSPACE.contains(&other) => {
                    line.push(other);
                    if tty {
                        self.write(&[other]).await?;
                    }
                }
                _ => {}
            }
        }
    }
}

async fn put(stream: &mut Option<DuplexStream>, text: &[u8]) -> std::io::Result<()> {
    match stream {
        Some(stream) => stream.write_all(text).await,
        None => Ok(()),
    }
}
