//! Asking cargo to build, and where it put what it built.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{accounts, checkout, install};

/// A cargo command in the workspace. It ends when we are killed.
pub fn command(arguments: &[&str]) -> Command {
    let cargo = install::cargo();
    let root = checkout::root();
    let mut command = accounts::command(&cargo, None, &root, "TERM").unwrap_or_else(|_| Command::new(cargo));
    command.current_dir(root).args(arguments).stdin(Stdio::null());
    // What cargo set for us is about xtask, and would make build scripts of others run anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `cargo build` with these arguments and gives the path of every program it made, by its name. Compiler
/// messages go to standard error as they come.
///
/// # Errors
/// If the build fails.
pub fn build(arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = command(&["build", "--message-format=json-render-diagnostics"]);
    let mut cargo = command.args(arguments).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut programs = BTreeMap::new();
    for line in BufReader::new(cargo.stdout.take().context("no output of cargo")?).lines() {
        if let Some((name, path)) = program(&line?) {
            programs.insert(name, path);
        }
    }
    if !cargo.wait()?.success() {
        bail!("the build failed");
    }
    Ok(programs)
}

/// The program that a line of cargo's JSON output tells of.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let artifact: Value = serde_json::from_str(line).ok()?;
    let path = artifact.get("executable")?.as_str()?;
    Some((artifact.get("target")?.get("name")?.as_str()?.to_owned(), PathBuf::from(path)))
}
