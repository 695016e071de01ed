//! Under whose name a server runs. Postgres refuses root, and a broker has no business being root: as root, each
//! runs as an unprivileged account; otherwise as whoever called us.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use nix::unistd::{User, geteuid};

use crate::programs;

/// An account that a server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
    passes: bool,
}

impl Account {
    /// The first of these accounts that exists, or `nobody`; `None` if we are not root and so stay who we are.
    ///
    /// # Errors
    /// If we are root and there is no such account.
    pub fn for_server(names: &[&str]) -> Result<Option<Account>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let user = names
            .iter()
            .chain(&["nobody"])
            .find_map(|name| User::from_name(name).ok().flatten())
            .with_context(|| format!("there is no account to run a server as: none of {names:?} exists"))?;
        Ok(Some(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
            passes: false,
        }))
    }

    /// The same, but its programs may pass through folders that are closed to it.
    #[must_use]
    pub fn passing(self) -> Account {
        Account { passes: true, ..self }
    }
}

/// Gives a file or folder to the account a server runs as.
///
/// # Errors
/// If the owner cannot be changed.
pub fn give(path: &Path, account: Option<&Account>) -> Result<()> {
    let Some(account) = account else { return Ok(()) };
    chown(path, Some(account.uid), Some(account.gid))
        .with_context(|| format!("cannot give {} to {}", path.display(), account.name))
}

/// A command that runs as this account, with `dir` as its working directory, and that is sent `death` (a signal's
/// name) when we die: nothing that we started may outlive us, however we ended.
///
/// # Errors
/// If the account must be changed and there is no `setpriv`.
pub fn command(program: &Path, account: Option<&Account>, dir: &Path, death: &str) -> Result<Command> {
    // std could do all this only by `pre_exec`, which is unsafe.
    let setpriv = programs::find("setpriv");
    let mut command = match (setpriv, account) {
        (None, None) => Command::new(program),
        (None, Some(account)) => {
            anyhow::bail!("`setpriv` (Debian package util-linux) is needed to start a server as {}", account.name)
        }
        (Some(setpriv), account) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", death]);
            if let Some(account) = account {
                command
                    .args(["--reuid", &account.uid.to_string(), "--regid", &account.gid.to_string(), "--clear-groups"])
                    .env("HOME", &account.home)
                    .env("USER", &account.name)
                    .env("LOGNAME", &account.name);
                if account.passes && !reachable(dir) {
                    command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
                }
            }
            command.arg("--").arg(program);
            command
        }
    };
    command.current_dir(dir);
    Ok(command)
}

/// Whether everyone may pass through all the folders above: not in a checkout below /root, say.
fn reachable(dir: &Path) -> bool {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    dir.ancestors().skip(1).all(|dir| dir.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}
