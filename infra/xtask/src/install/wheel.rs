//! Programs and libraries that come as Python wheels, installed under `target/tools`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{debian, python};
use crate::{checkout, programs, progress::step};

/// Where pip puts what may share a virtual environment.
pub(super) const SHARED: Place = Place { venv: "venv", wheels: "wheels" };

/// Two folders under `target/tools`: a virtual environment, and where one cannot be made, bare packages.
pub(super) struct Place {
    pub(super) venv: &'static str,
    pub(super) wheels: &'static str,
}

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
        let pip = virtual_environment(&python, &SHARED)?;
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

/// Installs these packages, each of that version, and what they need.
///
/// # Errors
/// If pip fails, or there is no pip to be had.
pub(super) fn packages(place: &Place, packages: &[(&str, &str)]) -> Result<Python> {
    let system = python()?;
    checkout::make(&checkout::tools())?;
    let pip = virtual_environment(&system, place)?;
    let python = match &pip {
        Pip::Own(own) => Python { program: own.clone(), path: None },
        Pip::System(folder) => Python { program: system.clone(), path: Some(folder.clone()) },
    };
    let is_there = |name: &str, version: &str| format!("assert m.version('{name}') == '{version}'");
    let there: Vec<String> = packages.iter().map(|(name, version)| is_there(name, version)).collect();
    let mut ask = python.command();
    ask.args(["-c", &format!("import importlib.metadata as m; {}", there.join("; "))]);
    if !programs::succeeds(&mut ask) {
        let wanted: Vec<String> = packages.iter().map(|(name, version)| format!("{name}=={version}")).collect();
        let wanted_text = wanted.join(" ");
        step(&format!("pip install {wanted_text} into target/tools"), || {
            programs::output(pip.command(&system).args(&wanted))
        })
        .with_context(|| format!("{wanted_text} could not be installed"))?;
    }
    Ok(python)
}

impl Python {
    /// The interpreter, told where its packages are.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.path.as_ref().map(|path| ("PYTHONPATH", path)));
        command
    }
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

fn virtual_environment(python: &Path, place: &Place) -> Result<Pip> {
    let folder = checkout::tools().join(place.venv);
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
        return Ok(Pip::System(checkout::tools().join(place.wheels)));
    }
    // Debian packs `venv` and `ensurepip` apart from Python.
    debian::install(&[("python3-venv", "pip or venv for Python 3")]).with_context(|| format!("{without_venv:#}"))?;
    make()?;
    Ok(Pip::Own(made))
}
