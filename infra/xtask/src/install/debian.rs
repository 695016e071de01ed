//! Installing Debian packages: by root, or by sudo, and without letting their services start.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::{programs, progress::step};

/// Installs the packages that are its arguments. One script, so that sudo is asked once, and so that the policy is
/// put back by the shell itself, whatever becomes of us meanwhile. invoke-rc.d asks policy-rc.d before it starts a
/// service, and takes 101 for "forbidden".
const SCRIPT: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
saved=$policy.saved-by-talkback
ours="put here by Talkback's cargo xtask while it installs packages"
if [ -e "$policy" ] && ! grep -q "$ours" "$policy"; then mv "$policy" "$saved"; fi
restore() {
    if [ -e "$saved" ]; then mv -f "$saved" "$policy"; else rm -f "$policy"; fi
}
trap restore EXIT
trap 'exit 130' HUP INT TERM
printf '#!/bin/sh\n# %s\nexit 101\n' "$ours" > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt() {
    apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"
}
# Lists that are there may do; only if they are missing or old is an update worth its time.
apt install --no-install-recommends "$@" || { apt update; apt install --no-install-recommends "$@"; }
"#;

/// A package, and what it is where packages have other names.
pub(super) type Package = (&'static str, &'static str);

/// Installs these packages.
///
/// # Errors
/// If this is no Debian, if we may not, or if apt fails: then it says exactly what to install.
pub(super) fn install(packages: &[Package]) -> Result<()> {
    let (packages, elsewhere): (Vec<&str>, Vec<&str>) = packages.iter().copied().unzip();
    if programs::find("apt-get").is_none() {
        bail!("there is no apt-get here: install {}, and run the same command again", elsewhere.join(" and "));
    }
    let by_hand = format!("install these packages and run the same command again: {}", packages.join(" "));
    let mut command = if geteuid().is_root() {
        Command::new("sh")
    } else {
        // With a terminal sudo asks there for a password; without one it fails at once.
        let sudo = programs::find("sudo").with_context(|| format!("installing needs root or sudo; {by_hand}"))?;
        let mut command = Command::new(sudo);
        command.arg("sh");
        command
    };
    command.args(["-c", SCRIPT, "sh"]).args(&packages).current_dir(Path::new("/"));
    step(&format!("apt-get install {}", packages.join(" ")), || programs::output(&mut command).map(drop))
        .with_context(|| format!("apt-get failed; {by_hand}"))
}
