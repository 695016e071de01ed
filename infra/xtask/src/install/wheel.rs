//! Programs and libraries that come as Python wheels, installed under `target/tools`.

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

/// A Python interpreter that has what was installed for it.
pub struct Python {
    /// The interpreter.
    pub program: PathBuf,
    /// Where it must be told to look for it, if it would not find it by itself.
    pub path: Option<PathBuf>,
}

/// Installs a library and what it needs.
///
/// # Errors
/// If pip fails, or there is no pip to be had.
pub(super) fn library(name: &str, version: &str) -> Result<Python> {
    let system = python()?;
    checkout::make(&checkout::tools())?;
    let pip = virtual_environment(&system)?;
    let python = match &pip {
        Pip::Own(own) => Python { program: own.clone(), path: None },
        Pip::System(folder) => Python { program: system.clone(), path: Some(folder.clone()) },
    };
    let there = format!("import importlib.metadata as m; assert m.version('{name}') == '{version}'");
    let mut ask = Command::new(&python.program);
    ask.envs(python.path.as_ref().map(|path| ("PYTHONPATH", path))).args(["-c", &there]);
    if !programs::succeeds(&mut ask) {
        step(&format!("pip install {name}=={version} into target/tools"), || {
            programs::output(pip.command(&system).arg(format!("{name}=={version}")))
        })
        .with_context(|| format!("{name} could not be installed"))?;
    }
    Ok(python)
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
