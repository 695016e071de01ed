//! Wires the host: arguments, log, settings, signals.
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use talkback::config::Settings;
use talkback_host::Host;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

const USAGE: &str = "\
talkback-host             serve, consume and dispatch until SIGTERM or SIGINT
talkback-host migrate     bring the database and the broker to this version, and end
talkback-host --version

Settings are environment variables; the README of Talkback has them in a table.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match words.as_slice() {
        [] => Command::Run,
        ["migrate"] => Command::Migrate,
        ["--version"] => return say(concat!("talkback-host ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "-h"] => return say(USAGE),
        _ => {
            // Nothing can be said where stderr is closed.
            let _ = write!(std::io::stderr(), "{USAGE}");
            return ExitCode::from(2);
        }
    };
    talkback::tls::install_ring();
    talkback::telemetry::init("talkback-host");
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error.as_ref() as &dyn std::error::Error, "the host cannot go on");
            ExitCode::FAILURE
        }
    }
}

enum Command {
    Run,
    Migrate,
}

fn run(command: Command) -> Result<()> {
    let host = Host::new(Settings::from_env()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let done = LocalSet::new().block_on(&runtime, async {
        match command {
            Command::Migrate => host.migrate().await.map(drop),
            Command::Run => {
                let (mut terminated, mut interrupted) =
                    (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
                let stop = host.stop();
                tokio::task::spawn_local(async move {
                    tokio::select! {
                        _ = terminated.recv() => {}
                        _ = interrupted.recv() => {}
                    }
                    tracing::info!("stopping");
                    stop.order();
                });
                host.run(|address| tracing::info!(%address, "listening")).await
            }
        }
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    done
}

fn say(text: &str) -> ExitCode {
    if std::io::stdout().write_all(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
