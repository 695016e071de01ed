//! Where things lie in this checkout. Everything that is made lies under its own `target/`, which git and
//! cargo-lambda's watcher ignore: a log outside of it would make the watcher rebuild for ever.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The folder that holds the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    // cargo sets the variable when it runs us; what was compiled in is wrong once a checkout has been moved.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("infra/xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.ancestors().nth(2).map(Path::to_path_buf).unwrap_or(manifest)
}

/// The checkout's own `target/`, also where CARGO_TARGET_DIR points elsewhere: whoever looks for `up.json` knows
/// the checkout, not our environment.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Programs that are installed for this checkout alone.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// What `up` keeps: servers, secrets, logs, `up.json`.
pub fn station() -> PathBuf {
    target().join("talkback")
}

/// What `test` uses; made new each time.
pub fn test_station() -> PathBuf {
    target().join("talkback-test")
}

/// What `chaos` uses, and what it found.
pub fn chaos() -> PathBuf {
    target().join("chaos")
}

/// Makes a folder and its parents. It can be entered, but not listed, by the servers' accounts.
///
/// # Errors
/// If it cannot be made.
pub fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))
        .with_context(|| format!("cannot set the mode of {}", dir.display()))
}
