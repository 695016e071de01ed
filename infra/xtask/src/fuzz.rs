//! `cargo xtask fuzz`: cargo-fuzz asks the properties of tests/properties of whatever it can think of, a minute each.
//! Without a nightly toolchain nothing is fuzzed, and that is a failure: it says how to get one.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    checkout, install, programs,
    progress::{say, step},
};

/// How to call it.
pub const USAGE: &str = "cargo xtask fuzz [TARGET…] [--seconds N]";

/// How long each is fuzzed unless told.
const SECONDS: u64 = 60;

/// Runs the named fuzzers, or all.
///
/// # Errors
/// If one found something; if there is no nightly toolchain, no C++ compiler or no cargo-fuzz, with what to install.
pub fn run(arguments: &[String]) -> Result<()> {
    let all = targets()?;
    let (chosen, seconds) = read(arguments, &all)?;
    let toolchain = nightly()?;
    let cargo_fuzz = install::cargo_fuzz()?;
    let fuzz = Fuzz { rustup: rustup()?, toolchain, cargo_fuzz };
    step("build the fuzzers", || fuzz.build())?;
    let mut found = Vec::new();
    for target in &chosen {
        let mut runs = None;
        let what = format!("fuzz {target} for {seconds} s");
        if let Err(finding) = step(&what, || fuzz.one(target, seconds).map(|count| runs = Some(count))) {
            say(format!("{finding:#}"));
            found.push(target.as_str());
        }
        if let Some(runs) = runs {
            say(format!("    {runs} inputs, and the property held of each"));
        }
    }
    if !found.is_empty() {
        bail!("a property does not hold: {}", found.join(", "));
    }
    Ok(())
}

/// Which targets, and for how long.
fn read(arguments: &[String], all: &[String]) -> Result<(Vec<String>, u64)> {
    let (mut chosen, mut seconds) = (Vec::new(), SECONDS);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
            seconds = number.with_context(|| format!("--seconds wants a number of seconds; usage: {USAGE}"))?;
        } else if all.contains(word) {
            chosen.push(word.clone());
        } else {
            bail!("`{word}` is no target: there is {}; usage: {USAGE}", all.join(", "));
        }
    }
    Ok((if chosen.is_empty() { all.to_vec() } else { chosen }, seconds))
}

/// The fuzzers that there are.
fn targets() -> Result<Vec<String>> {
    let folder = checkout::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.ok()?.path().file_stem().map(|name| name.to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    Ok(names)
}

fn rustup() -> Result<PathBuf> {
    programs::find("rustup").context(
        "nothing was fuzzed: it needs a nightly toolchain, and rustup is not here to find one; get it at https://rustup.rs, \
         then: rustup toolchain install nightly --profile minimal",
    )
}

/// A nightly toolchain that works, and what is compiled beside it.
fn nightly() -> Result<String> {
    let rustup = rustup()?;
    let installed = programs::output(Command::new(&rustup).args(["toolchain", "list"])).unwrap_or_default();
    let works = |name: &&str| programs::succeeds(Command::new(&rustup).args(["run", name, "cargo", "--version"]));
    let names = installed.lines().filter_map(|line| line.split_whitespace().next());
    let nightly = names.filter(|name| name.starts_with("nightly")).find(works).map(str::to_owned);
    let nightly = nightly.context(
        "nothing was fuzzed: it needs a nightly toolchain; install one, and run the same command again: \
         rustup toolchain install nightly --profile minimal",
    )?;
    if programs::find("c++").is_none() {
        bail!("nothing was fuzzed: libFuzzer is C++, and no `c++` is here; install g++ or clang, and run this again");
    }
    Ok(nightly)
}

struct Fuzz {
    rustup: PathBuf,
    toolchain: String,
    cargo_fuzz: PathBuf,
}

impl Fuzz {
    /// cargo-fuzz, told to use our folders. None of our code is unsafe: without a sanitizer it tries several times as
    /// many inputs, and what is looked for are properties that do not hold.
    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.rustup);
        command.args(["run", &self.toolchain]).arg(&self.cargo_fuzz).args(["fuzz", word, "--sanitizer", "none"]);
        command.arg("--fuzz-dir").arg(checkout::root().join("fuzz")).arg("--target-dir").arg(folder(""));
        // What cargo set for us is about another toolchain.
        command.current_dir(checkout::root()).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").stdin(Stdio::null());
        command
    }

    fn build(&self) -> Result<()> {
        programs::output(&mut self.command("build")).map(drop)
    }

    /// Fuzzes one; gives how many inputs were tried.
    fn one(&self, target: &str, seconds: u64) -> Result<u64> {
        let [work, artifacts] = ["work", "artifacts"].map(|name| folder(name).join(target));
        for dir in [&work, &artifacts] {
            checkout::make(dir)?;
        }
        let log = folder("").join(format!("{target}.log"));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = self.command("run");
        // New inputs go to the first folder; the second is the one that is committed.
        command.arg(target).arg(&work).arg(checkout::root().join("fuzz/corpus").join(target)).args([
            "--".to_owned(),
            format!("-max_total_time={seconds}"),
            "-max_len=8192".to_owned(),
            "-timeout=20".to_owned(),
            format!("-artifact_prefix={}/", artifacts.display()),
        ]);
        let errors = file.try_clone().context("cannot write the log")?;
        let ended = command.stdout(file).stderr(errors).status().context("cannot start rustup")?;
        let said = fs::read(&log).unwrap_or_default();
        if !ended.success() {
            bail!("{}\n    {}", programs::last_lines(&said, 12), advice(target, &said));
        }
        runs(&said).with_context(|| format!("it ended without saying how much it tried: see {}", log.display()))
    }
}

/// A folder of what fuzzing makes.
fn folder(name: &str) -> PathBuf {
    checkout::target().join("fuzz").join(name)
}

/// What to do with what was found.
fn advice(target: &str, said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let found = text.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path.trim()));
    match found.map(Path::new) {
        Some(path) => format!(
            "keep it, so that it is asked in every `cargo xtask test`: cp {} fuzz/corpus/{target}/WHAT-IT-IS",
            path.display()
        ),
        None => "no input was kept: it ended for another reason".to_owned(),
    }
}

/// The count in `Done 127687 runs in 61 second(s)`.
fn runs(said: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(said);
    let done = text.lines().rev().find_map(|line| line.strip_prefix("Done "))?;
    done.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn targets_and_seconds_are_read_in_any_order() {
        let all = words(&["event", "text"]);
        assert_eq!(read(&[], &all).unwrap(), (all.clone(), 60));
        assert_eq!(read(&words(&["--seconds", "5", "text"]), &all).unwrap(), (words(&["text"]), 5));
        for wrong in [&["txet"][..], &["--seconds"], &["--seconds", "0"], &["text", "--seconds", "x"]] {
            assert!(read(&words(wrong), &all).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_libfuzzer_says_is_understood() {
        assert_eq!(runs(b"#2 INITED\nDone 127687 runs in 61 second(s)\n"), Some(127_687));
        assert_eq!(runs(b"==1== ERROR: libFuzzer: deadly signal\n"), None);
        let said = b"artifact_prefix='x/'; Test unit written to x/crash-1\nBase64: AA==\n";
        assert!(advice("text", said).contains("cp x/crash-1 fuzz/corpus/text/"));
    }
}
