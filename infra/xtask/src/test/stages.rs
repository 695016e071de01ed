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
    install::Python,
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

/// What runs on AWS: whatever these say of it is a finding, since both are silent, or say that it is valid, where they
/// find nothing. Neither needs an account or the network.
///
/// # Errors
/// The folder that SAM keeps its notes in cannot be written.
pub(super) fn template(python: &Python, summary: &mut Summary) -> Result<()> {
    let folder = crate::checkout::root().join("infra");
    // Beside the home folder of whoever runs this; and SAM that has just looked for a newer version does not look.
    let notes = crate::checkout::tools().join("aws-sam");
    std::fs::create_dir_all(&notes)?;
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let note = serde_json::json!({ "telemetryEnabled": false, "lastVersionCheck": now });
    std::fs::write(notes.join("metadata.json"), note.to_string())?;
    let command = |arguments: &[&str]| {
        let mut command = python.command();
        command.current_dir(&folder).args(arguments).stdin(Stdio::null());
        command.envs([("AWS_DEFAULT_REGION", "us-east-1"), ("SAM_CLI_TELEMETRY", "0"), ("NO_COLOR", "1")]);
        // Whoever has an account is not asked for it, and gets the same answer.
        command.envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]);
        command.env("__SAM_CLI_APP_DIR", &notes);
        command
    };
    let sam = ["-m", "samcli", "validate", "--lint", "--template", "template.yaml"];
    quiet("template (sam validate --lint)", &mut command(&sam), "is a valid SAM Template", summary);
    // What its program does, which is nowhere where no virtual environment can be made; it cannot be run as a module.
    let cfn_lint = ["-c", "import sys; from cfnlint.runner import main; sys.exit(main())", "template.yaml"];
    quiet("template (cfn-lint)", &mut command(&cfn_lint), "", summary);
    Ok(())
}

/// A stage that must succeed, and say nothing but lines with this in them.
fn quiet(what: &str, command: &mut Command, expected: &str, summary: &mut Summary) {
    let done = step(what, || {
        let output = command.output().with_context(|| format!("{what}: cannot be started"))?;
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        let said = findings(&said, expected);
        if !output.status.success() || !said.is_empty() {
            bail!("{what}: {}\n{}", output.status, said.join("\n"));
        }
        Ok(())
    });
    if let Err(error) = done {
        summary.fail(&format!("{error:#}"));
    }
}

/// The lines that say more than that all is well.
fn findings<'a>(said: &'a str, expected: &str) -> Vec<&'a str> {
    let well = |line: &str| line.trim().is_empty() || (!expected.is_empty() && line.trim_end().ends_with(expected));
    said.lines().filter(|line| !well(line)).collect()
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

#[cfg(test)]
mod tests {
    use super::findings;

    #[test]
    fn whatever_a_linter_says_is_a_finding_but_that_all_is_well() {
        let well = "/x/template.yaml is a valid SAM Template\n\n";
        assert!(findings(well, "is a valid SAM Template").is_empty());
        let warned = "W1030 '' does not match\n/x/template.yaml is a valid SAM Template\n";
        assert_eq!(findings(warned, "is a valid SAM Template"), ["W1030 '' does not match"]);
        assert!(findings("", "").is_empty());
        assert_eq!(findings("a note\n", ""), ["a note"]);
    }
}
