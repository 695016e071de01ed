//! `cargo xtask openapi`: makes `infra/openapi.yaml` anew. A test of `send` makes the document, since only tests know
//! of schemas, and leaves it under `target/`; here it is put in its place.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{cargo, checkout, progress::print};

/// How to call it.
pub const USAGE: &str = "cargo xtask openapi";

/// The test that makes the document.
const TEST: &str = "openapi::the_file_says_what_the_types_say";

/// Makes the file anew and says whether that changed it.
///
/// # Errors
/// If `send` or its tests do not compile, or a file cannot be read or written.
pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: {USAGE}");
    }
    let made = checkout::target().join("openapi.yaml");
    match fs::remove_file(&made) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", made.display()));
        }
        _ => {}
    }
    // It fails where the file is stale: that is what we are here for, and what it printed would mislead.
    let tested = cargo::command(&["test", "--quiet", "--locked", "-p", "send", "--lib", "--no-run"])
        .status()
        .context("cannot start cargo")?;
    if !tested.success() {
        bail!("the tests of `send`, which make the document, do not compile");
    }
    let tested = cargo::command(&["test", "--quiet", "--locked", "-p", "send", "--lib", "--", "--exact", TEST])
        .output()
        .context("cannot start cargo")?;
    let Ok(document) = fs::read(&made) else {
        bail!("no document was made\n{}", String::from_utf8_lossy(&tested.stdout));
    };
    let file = checkout::root().join("infra/openapi.yaml");
    if fs::read(&file).is_ok_and(|before| before == document) {
        print("infra/openapi.yaml says what the types say; nothing to change.");
        return Ok(());
    }
    fs::write(&file, document).with_context(|| format!("cannot write {}", file.display()))?;
    print("infra/openapi.yaml is made anew; look at what changed: git diff infra/openapi.yaml");
    Ok(())
}
