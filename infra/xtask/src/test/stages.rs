//! The stages of a test run. A stage that fails does not hide the results of those after it.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::summary::Summary;
use crate::{
    cargo, images,
    progress::{print, step},
};

/// Form, lints and documentation.
pub(super) fn quick(summary: &mut Summary) {
    stage("form (cargo fmt)", &mut cargo::command(&["fmt", "--all", "--check"]), summary);
    stage(
        "lints (cargo clippy)",
        &mut cargo::command(&["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        summary,
    );
    stage(
        "documentation (cargo doc)",
        cargo::command(&["doc", "--quiet", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
        summary,
    );
}

/// What may be compiled in.
pub(super) fn deny(deny: &Path, summary: &mut Summary) {
    let mut check = Command::new(deny);
    check.current_dir(crate::checkout::root()).args(["--log-level", "error", "--locked"]);
    check.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]).stdin(Stdio::null());
    stage("dependencies (cargo deny)", &mut check, summary);
}

fn stage(what: &str, command: &mut Command, summary: &mut Summary) {
    let done = step(what, || match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{what}: {status}"),
        Err(error) => bail!("{what}: {error}"),
    });
    if done.is_err() {
        summary.fail(what);
    }
}

/// What is deployed, built as it is deployed, and its container images.
pub(super) fn images(summary: &mut Summary) {
    if let Err(error) = images::build() {
        summary.fail(&format!("container images: {error:#}"));
    }
}

/// Builds every program, and gives the folder they are in.
pub(super) fn build() -> Result<PathBuf> {
    let programs = cargo::build(&["--workspace", "--bins", "--locked"])?;
    let send = programs.get("send").context("the build made no program `send`")?;
    Ok(send.parent().context("a program without a folder")?.to_path_buf())
}

/// Runs all tests, or those that the words choose, and counts.
pub(super) fn tests(environment: Vec<(&'static str, OsString)>, words: &[String], summary: &mut Summary) -> Result<()> {
    print("  … tests");
    let mut cargo = cargo::command(&["test", "--locked", "--workspace", "--no-fail-fast", "--"])
        .args(words)
        .envs(environment)
        // The lines that are counted are read without colours.
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    for line in BufReader::new(cargo.stdout.take().context("no output of cargo")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        summary.read(&line);
        print(line);
    }
    let succeeded = cargo.wait()?.success();
    summary.finish(succeeded);
    Ok(())
}
