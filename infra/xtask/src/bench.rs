//! `cargo xtask bench`: measures the relay beside its peers and its targets, and writes `target/bench/bench.json`.
//! Everything is built as it is deployed: static, optimized, in a folder of its own.

use std::{fs::File, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    checkout, deployed, install,
    progress::{flush, say, step},
};

/// How to call it.
pub const USAGE: &str = "cargo xtask bench [--quick] [ROW…]";

/// Measures everything, or the rows that are named; with `--quick` in small sizes, by which nothing is judged.
///
/// # Errors
/// If something cannot be built, installed, started or measured.
pub fn run(arguments: &[String]) -> Result<()> {
    if let Some(odd) = arguments.iter().find(|word| word.starts_with('-') && *word != "--quick") {
        bail!("{odd} is not known; usage: {USAGE}");
    }
    let dir = checkout::target().join("bench");
    checkout::make(&dir)?;
    let lock = File::create(dir.join("lock")).context("cannot make the lock file")?;
    if lock.try_lock().is_err() {
        bail!("another `cargo xtask bench` runs in this checkout");
    }
    install::servers()?;
    let python = install::apprise()?;
    let programs = step("build the functions, static and optimized", deployed::build)?;
    let bench = step("build the bench", || deployed::packages(&["bench"]))?.join("bench");
    say("  measuring; the machine should have nothing else to do");
    flush(std::time::Duration::from_secs(2));
    let mut command = Command::new(bench);
    command.arg(&dir).arg(&programs).arg(&python.program).args(arguments);
    if let Some(folder) = python.path {
        command.env("PYTHONPATH", folder);
    }
    if !command.status().context("cannot start the bench")?.success() {
        bail!("not everything could be measured");
    }
    Ok(())
}
