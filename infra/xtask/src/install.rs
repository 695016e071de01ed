//! What the project needs beside Rust: found, or installed after saying what and why.

mod debian;
mod deployment;
mod wheel;

pub use deployment::{buildah, checkers};
pub use wheel::Python;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    checkout, programs,
    progress::{say, step},
    servers::{postgres, rabbitmq},
};

/// The version of cargo-lambda that the local set-up was tried with.
const CARGO_LAMBDA: &str = "1.9.2";
/// The version of Apprise that the relay is measured beside.
const APPRISE: &str = "2.2.0";
/// The version of AWS's SAM that infra/template.yaml is validated by.
const AWS_SAM_CLI: &str = "1.170.0";
/// The version of cfn-lint that it is linted by.
const CFN_LINT: &str = "1.58.0";
/// The version of cargo-deny whose configuration deny.toml is.
const CARGO_DENY: &str = "0.20.2";
/// The version of cargo-fuzz that `cargo xtask fuzz` was tried with.
const CARGO_FUZZ: &str = "0.13.2";

/// Sees to it that PostgreSQL and RabbitMQ are installed.
///
/// # Errors
/// If they are not and cannot be: then it says exactly what to install.
pub fn servers() -> Result<()> {
    let mut packages = Vec::new();
    if postgres::find().is_none() {
        say("PostgreSQL is not here (no `initdb` of version 13 or later): every message and every call is kept in it.");
        packages.push(("postgresql", "PostgreSQL 13 or later (`initdb`, `postgres` and `psql` in PATH)"));
    }
    if rabbitmq::find().is_none() {
        say("RabbitMQ is not here (no `rabbitmq-server`): the station's programs speak to Talkback over it.");
        packages.push(("rabbitmq-server", "RabbitMQ 3.10 or later (`rabbitmq-server` and Erlang's `epmd` in PATH)"));
    }
    if packages.is_empty() {
        return Ok(());
    }
    say("Their own services will not be started: `cargo xtask` runs private ones, on ports of their own.");
    debian::install(&packages)?;
    postgres::find().context("PostgreSQL was installed, but no `initdb` of version 13 or later is found")?;
    rabbitmq::find().context("RabbitMQ was installed, but `rabbitmq-server` and `epmd` are not found")?;
    Ok(())
}

/// Sees to it that Chromium and its driver are installed.
///
/// # Errors
/// If they are not and cannot be: then it says exactly what to install.
pub fn browser() -> Result<()> {
    let mut packages = Vec::new();
    if programs::find("chromium").is_none() {
        say("Chromium is not here: the page of the simulated chat is tested in a real browser.");
        packages.push(("chromium", "Chromium (`chromium` in PATH)"));
    }
    if programs::find("chromedriver").is_none() {
        say("chromedriver is not here: with it a test presses and types in Chromium.");
        packages.push(("chromium-driver", "Chromium's driver of the same version (`chromedriver` in PATH)"));
    }
    if packages.is_empty() {
        return Ok(());
    }
    debian::install(&packages)?;
    for name in ["chromium", "chromedriver"] {
        programs::find(name).with_context(|| format!("Chromium was installed, but no `{name}` is found"))?;
    }
    Ok(())
}

/// Sees to it that faketime is installed.
///
/// # Errors
/// If it is not and cannot be: then it says exactly what to install.
pub fn faketime() -> Result<()> {
    if programs::find("faketime").is_some() {
        return Ok(());
    }
    say("faketime is not here: with it a test gives two functions clocks that are ten minutes apart.");
    debian::install(&[("faketime", "libfaketime (`faketime` in PATH)")])?;
    programs::find("faketime").context("faketime was installed, but no `faketime` is found").map(drop)
}

/// Prometheus's `promtool`, which judges metrics and alarms.
///
/// # Errors
/// If it is not there and cannot be installed: then it says exactly what to install.
pub fn promtool() -> Result<PathBuf> {
    if let Some(found) = programs::find("promtool") {
        return Ok(found);
    }
    say("promtool is not here: with it Prometheus itself judges our metrics and alarms.");
    debian::install(&[("prometheus", "Prometheus 2.42 or later (`promtool` in PATH)")])?;
    programs::find("promtool").context("Prometheus was installed, but no `promtool` is found")
}

/// The program `cargo-lambda`, installed under `target/tools` if it is nowhere else.
///
/// # Errors
/// If it is not there and cannot be installed: then it says exactly what to install.
pub fn cargo_lambda() -> Result<PathBuf> {
    if let Some(found) = programs::find("cargo-lambda") {
        return Ok(found);
    }
    if let Some(found) = wheel::find("cargo-lambda") {
        return Ok(found);
    }
    say("cargo-lambda is not here: it is the local Lambda that calls the functions over HTTP, as AWS does.");
    wheel::install("cargo-lambda", CARGO_LAMBDA)
}

/// A Python that has Apprise.
///
/// # Errors
/// If it cannot be installed.
pub fn apprise() -> Result<Python> {
    wheel::packages(&wheel::SHARED, &[("apprise", APPRISE)])
}

/// A Python that has AWS's SAM and cfn-lint, as its modules `samcli` and `cfnlint`. Apart from other packages: SAM asks
/// for exact versions of what it needs.
///
/// # Errors
/// If they cannot be installed.
pub fn aws_tools() -> Result<Python> {
    let place = wheel::Place { venv: "aws", wheels: "aws-wheels" };
    wheel::packages(&place, &[("aws-sam-cli", AWS_SAM_CLI), ("cfn-lint", CFN_LINT)])
}

/// The program `cargo-deny`, compiled under `target/tools` if it is nowhere else.
///
/// # Errors
/// If it is not there and does not compile.
pub fn cargo_deny() -> Result<PathBuf> {
    let tools = checkout::tools();
    let ours = tools.join("bin/cargo-deny");
    if programs::is_executable(&ours) {
        return Ok(ours);
    }
    if let Some(found) = programs::find("cargo-deny").filter(|deny| reads_our_configuration(deny)) {
        return Ok(found);
    }
    say("cargo-deny is not here: it checks what may be compiled in (bans, licenses, sources).");
    say("Its wheel on PyPI is too old for this Cargo.lock, so it is compiled once, into target/tools.");
    compile("cargo-deny", CARGO_DENY)
}

/// The program `cargo-fuzz`, compiled under `target/tools` if it is nowhere else.
///
/// # Errors
/// If it is not there and does not compile.
pub fn cargo_fuzz() -> Result<PathBuf> {
    let ours = checkout::tools().join("bin/cargo-fuzz");
    if programs::is_executable(&ours) {
        return Ok(ours);
    }
    if let Some(found) = programs::find("cargo-fuzz") {
        return Ok(found);
    }
    say("cargo-fuzz is not here: it builds fuzzers with libFuzzer and runs them.");
    compile("cargo-fuzz", CARGO_FUZZ)
}

/// Compiles a program from crates.io into `target/tools`.
fn compile(name: &str, version: &str) -> Result<PathBuf> {
    let tools = checkout::tools();
    let build = tools.join(format!("build-{name}"));
    step(&format!("compile {name} {version} (some minutes)"), || {
        // Beside the rest of a test run, and after it.
        programs::output(
            Command::new("nice")
                .arg(cargo())
                .args(["install", "--quiet", "--locked", name, "--version", version, "--root"])
                .arg(&tools)
                .arg("--target-dir")
                .arg(&build),
        )
    })?;
    // What it was compiled from has no further use, and is large.
    drop(std::fs::remove_dir_all(&build));
    Ok(tools.join("bin").join(name))
}

/// Older versions stop at tables of deny.toml that they do not know.
fn reads_our_configuration(deny: &std::path::Path) -> bool {
    programs::output(Command::new(deny).arg("--version")).is_ok_and(|said| {
        let mut numbers =
            said.trim().trim_start_matches("cargo-deny ").split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        (numbers.next(), numbers.next()) >= (Some(0), Some(18))
    })
}

/// The cargo that runs us.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The Python that wheels are installed with.
fn python() -> Result<PathBuf> {
    let Some(python) = programs::find("python3") else {
        bail!(
            "Python 3 is needed to install wheels: install `python3` (instead of cargo-lambda's, cargo-lambda itself)"
        );
    };
    Ok(python)
}
