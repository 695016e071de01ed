//! Programs that come as Python wheels with one binary in them, installed under `target/tools`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{debian, python};
use crate::{checkout, programs, progress::step};

/// The program, if it was installed before.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    ["venv/bin", "wheels/bin"]
        .iter()
        .map(|folder| checkout::tools().join(folder).join(name))
        .find(|program| programs::is_executable(program))
}

/// Installs a wheel and gives its program.
///
/// # Errors
/// If pip fails, or there is no pip to be had.
pub(super) fn install(name: &str, version: &str) -> Result<PathBuf> {
    let python = python()?;
    checkout::make(&checkout::tools())?;
    step(&format!("pip install {name}=={version} into target/tools"), || {
        let pip = virtual_environment(&python)?;
        programs::output(pip.command(&python).args(["--no-deps", &format!("{name}=={version}")]))
    })
    .with_context(|| format!("{name} could not be installed; install {name} {version} so that it is in PATH"))?;
    find(name).with_context(|| format!("the wheel of {name} has no program of that name"))
}

/// Where pip comes from, and where it puts things.
enum Pip {
    /// A virtual environment of its own.
    Own(PathBuf),
    /// The system's, into a folder: where no virtual environment can be made.
    System(PathBuf),
}

impl Pip {
    fn command(&self, python: &Path) -> Command {
        match self {
            Pip::Own(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
                command
            }
            Pip::System(folder) => {
                let mut command = Command::new(python);
                command.args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--upgrade",
                    "--target",
                ]);
                command.arg(folder);
                command
            }
        }
    }
}

fn virtual_environment(python: &Path) -> Result<Pip> {
    let folder = checkout::tools().join("venv");
    let made = folder.join("bin/python3");
    let make = || {
        // One that was broken off, or whose Python is gone, is made anew.
        drop(fs::remove_dir_all(&folder));
        programs::output(Command::new(python).args(["-m", "venv"]).arg(&folder)).map(drop)
    };
    if programs::succeeds(Command::new(&made).args(["-m", "pip", "--version"])) {
        return Ok(Pip::Own(made));
    }
    let Err(without_venv) = make() else { return Ok(Pip::Own(made)) };
    drop(fs::remove_dir_all(&folder));
    if programs::succeeds(Command::new(python).args(["-m", "pip", "--version"])) {
        return Ok(Pip::System(checkout::tools().join("wheels")));
    }
    // Debian packs `venv` and `ensurepip` apart from Python.
    debian::install(&[("python3-venv", "pip or venv for Python 3")]).with_context(|| format!("{without_venv:#}"))?;
    make()?;
    Ok(Pip::Own(made))
}
