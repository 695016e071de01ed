//! `cargo xtask bench`: measures the relay beside its peers and its targets, and writes `target/bench/bench.json`.
//! Everything is built as it is deployed: static, optimized, in a folder of its own.

use std::{fs::File, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    cargo, checkout, install,
    progress::{flush, say, step},
};

/// How to call it.
pub const USAGE: &str = "cargo xtask bench [--quick] [ROW…]";

/// What is deployed, and what its start is compared with. Built apart from the bench: what that asks of the same crates
/// would be compiled in, too.
const DEPLOYED: [&str; 8] =
    ["send", "groupme-callback", "rabbitmq-consumer", "dispatcher", "migrate", "hello", "bridge", "talkback-producer"];

/// The one target whose programs are static with the toolchain that is there: Rust's own libraries for musl would have
/// to be fetched.
const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// A static program needs no libc of its image. It moves itself to its random address before main: packed, the list of
/// places to mend is a twentieth as long to read.
const STATIC: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";

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
    let programs = step("build the functions, static and optimized", || build(&DEPLOYED))?;
    let bench = step("build the bench", || build(&["bench"]))?.join("bench");
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

/// Builds these packages and gives the folder of their programs.
fn build(packages: &[&str]) -> Result<PathBuf> {
    let folder = checkout::target().join("bench/build");
    let mut command = cargo::command(&["build", "--release", "--locked", "--target", TARGET, "--target-dir"]);
    command.arg(&folder).env("RUSTFLAGS", STATIC);
    for package in packages {
        command.args(["-p", package]);
    }
    if !command.status().context("cannot start cargo")?.success() {
        bail!("the build failed");
    }
    Ok(folder.join(TARGET).join("release"))
}
