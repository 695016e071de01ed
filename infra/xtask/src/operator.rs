//! `cargo xtask replay`, `resume`, `import`, `erase` and `export`: what is done to a relay's database by hand. The settings are those of
//! the environment, as the functions have them; where `DATABASE_URL` is not set, those of what `up` runs.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cargo, checkout, secrets};

/// How to send messages again.
pub const REPLAY: &str = "cargo xtask replay UID|--failed";

/// How to open a room that was paused.
pub const RESUME: &str = "cargo xtask resume ROOM";

/// How to record what only a log tells.
pub const IMPORT: &str = "cargo xtask import FILE";

/// How to remove a person.
pub const ERASE: &str = "cargo xtask erase NUMBER";

/// How to read what was said.
pub const EXPORT: &str = "cargo xtask export --from TIME --to TIME [--reveal]";

/// How to find out what is wrong.
pub const DOCTOR: &str = "cargo xtask doctor [--url URL]";

/// Where `up` leaves the settings of its functions; only its owner can read it.
fn file() -> PathBuf {
    checkout::station().join("environment.json")
}

/// Leaves the settings of the functions for us.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn remember(environment: &BTreeMap<String, String>) -> Result<()> {
    secrets::write_private(&file(), &serde_json::to_string(environment)?)
}

/// Runs the operator's program with this word before the arguments.
///
/// # Errors
/// If it does not compile or says no; it has said why.
pub fn run(word: &str, arguments: &[String]) -> Result<()> {
    let arguments = match (word, arguments) {
        // The program runs at the root of the checkout.
        ("import", [file]) => {
            vec![fs::canonicalize(file).with_context(|| format!("cannot read {file}"))?.display().to_string()]
        }
        ("replay" | "resume" | "erase", [_]) | ("export" | "doctor", _) => arguments.to_vec(),
        ("replay", _) => bail!("usage: {REPLAY}"),
        ("resume", _) => bail!("usage: {RESUME}"),
        ("erase", _) => bail!("usage: {ERASE}"),
        _ => bail!("usage: {IMPORT}"),
    };
    let mut command = cargo::command(&["run", "--quiet", "--locked", "-p", "operator", "--", word]);
    command.args(&arguments);
    if std::env::var_os("DATABASE_URL").is_none()
        && let Ok(text) = fs::read_to_string(file())
    {
        command.envs(serde_json::from_str::<BTreeMap<String, String>>(&text)?);
    }
    if !command.status().context("cannot start cargo")?.success() {
        match word {
            "doctor" => bail!("not all is well: see above"),
            _ => bail!("nothing more was done"),
        }
    }
    Ok(())
}
