//! A function as a process: the release binary, with a Runtime API of its own.
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use nix::sys::signal::Signal;
use xtask::accounts;
use xtask::children::Child;
use xtask::pids::Ledger;

use crate::runtime_api::RuntimeApi;

/// A function that runs. It is ended when this is dropped.
pub(crate) struct Function {
    child: Child,
    api: RuntimeApi,
}

/// The longest that an invocation may take: what the schedule and the mapping are given.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

impl Function {
    /// Starts a program and waits until it asks for an event. Its log goes into a file, as Lambda would take it.
    pub(crate) async fn start(
        name: &str,
        program: &Path,
        environment: &BTreeMap<String, String>,
        log: &Path,
        ledger: &Ledger,
    ) -> Result<Self> {
        let api = RuntimeApi::start().await?;
        let mut command = accounts::command(program, None, Path::new("/"), "KILL")?;
        surround(&mut command, name, environment, &api);
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdout(out.try_clone()?).stderr(out);
        let function = Self { child: Child::start(name, command, Signal::SIGTERM, ledger)?, api };
        function.api.first_poll().await.with_context(|| format!("{name}; see {}", log.display()))?;
        Ok(function)
    }

    /// Invokes it and waits for its answer.
    pub(crate) async fn invoke(&self, event: Bytes) -> Result<Bytes> {
        self.api.invoke(event, LIMIT).await.context(self.child.name().to_owned())
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        // It may have ended by itself.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), Signal::SIGKILL);
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }
}

/// How long a program takes from its start to its first question for an event, in milliseconds.
pub(crate) async fn time_to_first_poll(
    name: &str,
    program: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<f64> {
    let api = RuntimeApi::start().await?;
    let mut command = Command::new(program);
    surround(&mut command, name, environment, &api);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let polled = api.first_poll().await;
    child.kill()?;
    child.wait()?;
    Ok(polled?.duration_since(start).as_secs_f64() * 1e3)
}

fn surround(command: &mut Command, name: &str, environment: &BTreeMap<String, String>, api: &RuntimeApi) {
    command
        .env_clear()
        .envs(environment)
        .env("AWS_LAMBDA_RUNTIME_API", api.address())
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
}
