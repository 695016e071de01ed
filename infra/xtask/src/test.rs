//! `cargo xtask test`: all set-up, then every check and every test. The last line that is printed is
//! `N passed, N failed`, over all test programs and doc tests; a check that failed counts as one failure.

mod stages;
mod summary;

use std::{process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result, bail};
use summary::Summary;

use crate::{
    checkout, install,
    progress::{flush, print, step},
    testbed::{Programs, Servers, lock},
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
    let station = checkout::test_station();
    // Two test runs in one checkout would stop each other's servers.
    let _alone = lock(&station, "cargo xtask test")?;
    install::servers()?;
    install::browser()?;
    install::faketime()?;
    install::checkers()?;
    let cargo_lambda = install::cargo_lambda()?;
    let promtool = Some(install::promtool()?);
    // cargo-deny may have to be compiled first, which takes minutes: meanwhile the rest goes on.
    let deny = chosen.is_none().then(|| thread::spawn(install::cargo_deny));
    let aws = chosen.is_none().then(|| thread::spawn(install::aws_tools));
    if chosen.is_none() {
        stages::quick(summary);
    }
    let bin = step("build everything", stages::build)?;
    if chosen.is_none() {
        // A story that needs them builds them itself: here it is done without other stories beside it.
        stages::images(summary);
    }
    let servers = Servers::start(&station)?;
    let environment = servers.environment(&Programs { bin, cargo_lambda, promtool })?;
    stages::tests(environment, chosen.unwrap_or_default(), summary)?;
    drop(servers);
    if let Some(aws) = aws {
        let aws = aws.join().ok().context("the thread that installs AWS's tools ended")??;
        stages::template(&aws, summary)?;
    }
    if let Some(deny) = deny {
        let deny = deny.join().ok().context("the thread that installs cargo-deny ended")??;
        stages::deny(&deny, summary);
    }
    Ok(())
}
