//! Installing Debian packages: by root, or by sudo, and without letting their services start.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

use crate::{programs, progress::step};

/// invoke-rc.d asks this program before it starts a service, and takes 101 for "forbidden".
const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBID: &str = "#!/bin/sh\n# Put here by Talkback's `cargo xtask` while it installs packages; it takes this away again.\nexit 101\n";

/// Installs these packages.
///
/// # Errors
/// If this is no Debian, if we may not, or if apt fails: then it says exactly what to install.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("install these and run the same command again: {}", packages.join(", "));
    let Some(apt) = programs::find("apt-get") else {
        bail!("there is no apt-get on this machine; {by_hand}");
    };
    let become_root = Root::find().with_context(|| format!("installing needs root or sudo; {by_hand}"))?;
    let _quiet_services = NoServices::start(&become_root)?;
    let run = |arguments: &[&str]| {
        let mut command = become_root.command(&apt);
        // sudo drops the environment, and debconf must not ask anything.
        command.args(["-y", "-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        programs::output(&mut command).map(drop)
    };
    let install: Vec<&str> = ["install", "--no-install-recommends"].iter().chain(packages).copied().collect();
    step(&format!("apt-get install {}", packages.join(" ")), || {
        // Lists that are there may be good; only if they are missing or old is an update worth its time.
        run(&install).or_else(|_| run(&["update"]).and_then(|()| run(&install)))
    })
    .with_context(|| format!("apt-get failed; {by_hand}"))
}

/// How root is reached.
struct Root {
    sudo: Option<PathBuf>,
}

impl Root {
    fn find() -> Option<Root> {
        if geteuid().is_root() {
            return Some(Root { sudo: None });
        }
        Some(Root { sudo: Some(programs::find("sudo")?) })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match &self.sudo {
            None => Command::new("env"),
            Some(sudo) => {
                let mut command = Command::new(sudo);
                // Without a terminal sudo cannot ask for a password; with one it asks there, whatever stdin is.
                command.arg("env");
                command
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]).arg(program);
        command
    }

    /// Writes a program into a place of root's.
    fn write_program(&self, file: &str, text: &str) -> Result<()> {
        use std::io::Write;
        let mut child = self
            .command(Path::new("sh"))
            .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh", file])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes())?;
        }
        if !child.wait()?.success() {
            bail!("cannot write {file}");
        }
        Ok(())
    }
}

/// While this lives, no package's service is started. What was there before is put back.
struct NoServices<'a> {
    root: &'a Root,
    before: Option<String>,
}

impl<'a> NoServices<'a> {
    fn start(root: &'a Root) -> Result<NoServices<'a>> {
        // Ours, left by a run that was killed, is not what to put back.
        let before = fs::read_to_string(POLICY).ok().filter(|text| text != FORBID);
        root.write_program(POLICY, FORBID).context("cannot forbid packages to start services")?;
        Ok(NoServices { root, before })
    }
}

impl Drop for NoServices<'_> {
    fn drop(&mut self) {
        let restored = match &self.before {
            Some(text) => self.root.write_program(POLICY, text),
            None => programs::output(self.root.command(Path::new("rm")).args(["-f", POLICY])).map(drop),
        };
        if let Err(error) = restored {
            crate::progress::say(format!("  {POLICY} could not be put back as it was: {error:#}"));
        }
    }
}
