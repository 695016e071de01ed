//! What is needed only to make, check and try what is deployed.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::debian;
use crate::{programs, progress::say};

/// The program `buildah`.
///
/// # Errors
/// If it is not there and cannot be installed: then it says exactly what to install.
pub fn buildah() -> Result<PathBuf> {
    found_or_installed(
        "buildah",
        "No docker, podman or buildah works here: buildah builds container images, and needs no daemon.",
        ("buildah", "docker, podman or buildah"),
    )
}

/// Sees to it that what is written for servers can be checked by the programs that will read it there. None of them is
/// started as a service.
///
/// # Errors
/// If one is not there and cannot be installed: then it says exactly what to install.
pub fn checkers() -> Result<()> {
    let wanted = [
        ("docker-compose", "it reads infra/compose.yaml as Docker does", ("docker-compose", "docker-compose")),
        ("systemd-analyze", "it reads the units in infra/systemd", ("systemd", "systemd (`systemd-analyze`)")),
        ("nginx", "it reads infra/nginx.conf, and a test sends requests through it", ("nginx", "nginx")),
        ("openssl", "it makes the certificate of that test", ("openssl", "openssl")),
    ];
    let missing = wanted.into_iter().filter(|(name, ..)| programs::find(name).is_none());
    let mut packages = Vec::new();
    for (name, why, package) in missing {
        say(format!("{name} is not here: {why}."));
        packages.push(package);
    }
    if packages.is_empty() {
        return Ok(());
    }
    debian::install(&packages)?;
    for (name, ..) in wanted {
        programs::find(name).with_context(|| format!("it was installed, but no `{name}` is found"))?;
    }
    Ok(())
}

fn found_or_installed(name: &str, why: &str, package: debian::Package) -> Result<PathBuf> {
    if let Some(found) = programs::find(name) {
        return Ok(found);
    }
    say(why);
    debian::install(&[package])?;
    programs::find(name).with_context(|| format!("{} was installed, but no `{name}` is found", package.0))
}
