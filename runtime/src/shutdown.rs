//! The end of a process. A signal (SIGTERM, SIGINT) asks for an orderly one; a second signal ends it at once. A
//! critical task that ends by itself ends the process too: half a service is worse than none.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::LogArgs;
use crate::logs;

/// The exit code after a second signal, as a shell reports an interrupted program.
const ABORTED: i32 = 130;

/// Asks everything that holds its token to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A shutdown that the process's signals ask for.
    ///
    /// # Errors
    /// Where the system lets no signal handler be set.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = shutdown.token.clone();
        tokio::spawn(async move {
            for first in [true, false] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if first {
                    tracing::info!("shutting down; a second signal ends the process at once");
                    token.cancel();
                } else {
                    std::process::exit(ABORTED);
                }
            }
        });
        Ok(shutdown)
    }

    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    pub fn begin(&self) {
        self.token.cancel();
    }
}

/// A critical task ended though nobody had asked it to.
#[derive(Debug, thiserror::Error)]
#[error("{task} ended: {why}")]
pub struct Died {
    pub task: &'static str,
    pub why: String,
}

/// Tasks that must all run for the process to be worth running.
pub struct Tasks {
    shutdown: CancellationToken,
    running: JoinSet<Result<(), Died>>,
}

impl Tasks {
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { shutdown, running: JoinSet::new() }
    }

    /// Starts a task that ends only after shutdown has begun.
    pub fn critical(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.fallible(name, async move {
            task.await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Starts a task that ends only after shutdown has begun, or with an error.
    pub fn fallible<E: std::fmt::Display>(&mut self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            match task.await {
                Err(error) => Err(Died { task: name, why: error.to_string() }),
                Ok(()) if shutdown.is_cancelled() => Ok(()),
                Ok(()) => Err(Died { task: name, why: "it should have run on".to_owned() }),
            }
        });
    }

    /// Waits until all tasks have ended. The first that dies begins the shutdown of the others.
    ///
    /// # Errors
    /// The first death.
    pub async fn wait(mut self) -> Result<(), Died> {
        let mut first = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let ended = match ended {
                Ok(ended) => ended,
                Err(panicked) => Err(Died { task: "a task", why: panicked.to_string() }),
            };
            if let Err(died) = ended {
                tracing::error!(%died, "a critical task died: shutting down");
                self.shutdown.cancel();
                if first.is_ok() {
                    first = Err(died);
                }
            }
        }
        first
    }
}

/// The frame of a `main`: logs, an asynchronous runtime, signals, and the error that ended it in words.
pub fn main<F>(logs: &LogArgs, service: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    logs::start(logs);
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let shutdown = Shutdown::on_signals()?;
            service(shutdown).await
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_death_ends_the_others() {
        let token = CancellationToken::new();
        let mut tasks = Tasks::new(token.clone());
        let others = token.clone();
        tasks.critical("patient", async move { others.cancelled().await });
        tasks.critical("mortal", async {});
        let died = tasks.wait().await;
        assert!(died.is_err_and(|died| died.task == "mortal"));
        assert!(token.is_cancelled());
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_is_no_death() {
        let token = CancellationToken::new();
        let mut tasks = Tasks::new(token.clone());
        let asked = token.clone();
        tasks.critical("patient", async move { asked.cancelled().await });
        token.cancel();
        assert!(tasks.wait().await.is_ok());
    }
}
