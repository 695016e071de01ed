//! `cargo xtask test`: all set-up, then every check and every test. The last line that is printed is
//! `N passed, N failed`, over all test programs and doc tests; a check that failed counts as one failure.

mod stages;
mod summary;

use std::{
    fs::{self, File},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use summary::Summary;

use crate::{
    checkout, install,
    progress::{flush, print, step},
    servers::{Postgres, PostgresOptions, RabbitMq, RabbitMqOptions},
};

/// How to call it.
pub const USAGE: &str = "cargo xtask test [-- FILTER AND OPTIONS OF THE TEST PROGRAMS]";

/// Runs everything. With words after `--` only the tests are run, and only those that the words choose.
pub fn run(arguments: &[String]) -> ExitCode {
    let mut summary = Summary::default();
    if let Err(error) = all(arguments, &mut summary) {
        summary.fail(&format!("{error:#}"));
    }
    for failure in summary.failures() {
        print(format!("failed: {failure}"));
    }
    print(summary.line());
    flush(Duration::from_secs(600));
    if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all(arguments: &[String], summary: &mut Summary) -> Result<()> {
    let chosen = match arguments {
        [] => None,
        [dashes, words @ ..] if dashes == "--" => Some(words),
        _ => bail!("usage: {USAGE}"),
    };
    let _alone = lock()?;
    install::servers()?;
    install::browser()?;
    let cargo_lambda = install::cargo_lambda()?;
    // cargo-deny may have to be compiled first, which takes minutes: meanwhile the rest goes on.
    let deny = chosen.is_none().then(|| thread::spawn(install::cargo_deny));
    if chosen.is_none() {
        stages::quick(summary);
    }
    let bin = step("build everything", stages::build)?;
    let servers = Servers::start()?;
    stages::tests(&servers, &bin, &cargo_lambda, chosen.unwrap_or_default(), summary)?;
    drop(servers);
    if let Some(deny) = deny {
        let deny = deny.join().ok().context("the thread that installs cargo-deny ended")??;
        stages::deny(&deny, summary);
    }
    Ok(())
}

/// Two test runs in one checkout would stop each other's servers.
fn lock() -> Result<File> {
    let dir = checkout::test_station();
    checkout::make(&dir)?;
    let file = File::create(dir.join("lock")).context("cannot make the lock file")?;
    if file.try_lock().is_err() {
        bail!("another `cargo xtask test` runs in this checkout");
    }
    Ok(file)
}

/// The servers that tests share; each test makes a database and a virtual host of its own in them.
struct Servers {
    postgres: Postgres,
    rabbitmq: RabbitMq,
}

impl Servers {
    fn start() -> Result<Servers> {
        let dir = checkout::test_station();
        let fresh = |name: &str| {
            let dir = dir.join(name);
            // What a killed run left must be stopped before its folder goes.
            drop(crate::pids::Ledger::open(dir.join("pids")));
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", dir.display()))
                }
                _ => Ok(dir),
            }
        };
        let postgres = step("start Postgres for the tests", || {
            // No power cut is tested with this one: without waiting for the disk, a database per test costs
            // tens of milliseconds. Tests that kill a Postgres start their own, with all its safety.
            let settings = [("fsync", "off"), ("max_connections", "400")];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            Postgres::start(&fresh("postgres")?, PostgresOptions { settings, ..PostgresOptions::default() })
        })?;
        let rabbitmq = step("start RabbitMQ for the tests", || {
            RabbitMq::start(&fresh("rabbitmq")?, RabbitMqOptions { management: true, ..RabbitMqOptions::default() })
        })?;
        Ok(Servers { postgres, rabbitmq })
    }
}
