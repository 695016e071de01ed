//! The programs as they are deployed: static, optimized, one build for the bench, the images and the tests, in a folder
//! of its own.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{cargo, checkout};

/// What is deployed, and what the bench compares it with or feeds it by. Always built together, and apart from anything
/// else: what that asks of the same crates would be compiled in, too, and each other set would be another build.
const PACKAGES: [&str; 9] = [
    "send",
    "groupme-callback",
    "rabbitmq-consumer",
    "dispatcher",
    "migrate",
    "talkback-host",
    "hello",
    "bridge",
    "talkback-producer",
];

/// The one target whose programs are static with the toolchain that is there: Rust's own libraries for musl would have
/// to be fetched.
const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// A static program needs no libc of its image. It moves itself to its random address before main: packed, the list of
/// places to mend is a twentieth as long to read. `#[inline]` alone is no reason to copy a long function where size is what
/// is asked for: 50 is what LLVM weighs any other with at `s`. That takes 2 % off each program.
const STATIC: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs \
                      -C llvm-args=-inlinehint-threshold=50";

/// Builds what is deployed and gives the folder of the programs.
///
/// # Errors
/// If the build fails.
pub fn build() -> Result<PathBuf> {
    packages(&PACKAGES)
}

/// Builds these packages in the same way and gives the folder of their programs.
///
/// # Errors
/// If the build fails.
pub(crate) fn packages(packages: &[&str]) -> Result<PathBuf> {
    let folder = checkout::target().join("static");
    let mut command = cargo::command(&["build", "--release", "--locked", "--target", TARGET, "--target-dir"]);
    command.arg(&folder).env("RUSTFLAGS", STATIC);
    for package in packages {
        command.args(["-p", package]);
    }
    if !command.status().context("cannot start cargo")?.success() {
        bail!("the build failed");
    }
    Ok(folder.join(TARGET).join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_page_builds_with_the_same_flags() {
        let page = std::fs::read_to_string(checkout::root().join("infra/README.md")).expect("infra/README.md");
        assert!(page.contains(&format!("export RUSTFLAGS=\"{STATIC}\"")), "{STATIC}");
    }
}
