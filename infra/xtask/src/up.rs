//! `cargo xtask up`: the whole relay on this machine. Everything that it starts it also stops; everything that it
//! makes lies under `target/talkback`.

mod functions;
mod lines;
mod options;
mod pace;
mod record;
mod runtime_api;
mod settings;
mod station;

use std::{fs::File, path::PathBuf};

use anyhow::{Context, Result, bail};
use options::Options;
use serde_json::Value;
use station::Station;

use crate::{checkout, install, interrupt, pids::Ledger, ports, progress::say};

/// How to call it.
pub const USAGE: &str = "cargo xtask up [--fresh] [--release] [--watch] [--port N]";

/// The file in which the addresses of what runs are.
pub fn record_file() -> PathBuf {
    record::file()
}

/// The addresses of what runs.
///
/// # Errors
/// If nothing runs.
pub(crate) fn record() -> Result<Value> {
    let record = std::fs::read_to_string(record_file()).context("nothing runs here: start `cargo xtask up` first")?;
    serde_json::from_str(&record).context("up.json is damaged")
}

/// A link to the bridge that was built for what runs. (Built alone, for `publish`, it would be built anew: with other
/// packages beside it, its dependencies have other features.)
pub fn bridge_file() -> PathBuf {
    checkout::station().join("bridge")
}

/// Runs the relay until it is told to stop.
///
/// # Errors
/// If something cannot be set up, or something other than a function dies; then everything is stopped.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let _alone = lock()?;
    interrupt::listen()?;
    record::remove();
    let dir = checkout::station();
    let ledger = Ledger::open(dir.join("pids"))?;
    if !ports::is_free(options.port) {
        bail!("port {} is in use: stop what listens there, or choose another with --port N", options.port);
    }
    if options.fresh {
        wipe()?;
    }
    install::servers()?;
    let cargo_lambda = install::cargo_lambda()?;
    interrupt::check()?;

    let mut station = Station::new(options, ledger);
    let done = station.start(&cargo_lambda).and_then(|addresses| {
        addresses.write()?;
        addresses.announce();
        lines::show();
        station.watch_over()
    });
    record::remove();
    lines::hide();
    if interrupt::asked() {
        say("stopping");
    }
    station.stop();
    if interrupt::asked() {
        say("stopped");
        return Ok(());
    }
    done
}

/// One `up` in a checkout: two would share data and stop each other's programs.
fn lock() -> Result<File> {
    let dir = checkout::station();
    checkout::make(&dir)?;
    let file = File::create(dir.join("lock")).context("cannot make the lock file")?;
    if file.try_lock().is_err() {
        bail!("`cargo xtask up` runs in this checkout already; its addresses are in {}", record::file().display());
    }
    Ok(file)
}

/// Forgets the data of the servers, and the secrets: a fresh start is one without a past.
fn wipe() -> Result<()> {
    let dir = checkout::station();
    for name in ["postgres", "rabbitmq"] {
        let dir = dir.join(name);
        if dir.exists() {
            // What a killed `up` left running must be stopped before its folder goes.
            Ledger::open(dir.join("pids"))?;
            std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
    }
    drop(std::fs::remove_file(dir.join("secrets.toml")));
    Ok(())
}
