//! Random secrets, and the file in which `up` keeps those it made. The file is TOML, one `NAME = "value"` a line;
//! values are hex, base64 or base64url, so that nothing needs escaping.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes from the system's random source.
///
/// # Errors
/// If the system gives none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().context("the system gives no random bytes")?;
    Ok(bytes)
}

/// 32 random bytes as base64url: 43 characters that stand in a URL or a header as they are.
///
/// # Errors
/// As [`random`].
pub fn token() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// 32 random bytes as base64, as the settings for keys want them.
///
/// # Errors
/// As [`random`].
pub fn key() -> Result<String> {
    Ok(STANDARD.encode(random::<32>()?))
}

/// A password of 24 random bytes in hex: it stands in any URL and any configuration file as it is.
///
/// # Errors
/// As [`random`].
pub fn password() -> Result<String> {
    Ok(hex(&random::<24>()?))
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file that only its owner can read, in one rename: nobody ever finds half of it.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    let beside = file.with_extension("new");
    drop(fs::remove_file(&beside));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
        .and_then(|()| fs::rename(&beside, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The secrets that are kept in one file. No `Debug`: it would print them.
pub struct Secrets {
    file: PathBuf,
    kept: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads the file, if it is there.
    ///
    /// # Errors
    /// If it cannot be read, or a line of it is not `NAME = "value"`; the error has the line's number only.
    pub fn open(file: PathBuf) -> Result<Secrets> {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let mut kept = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line
                .split_once('=')
                .and_then(|(name, value)| Some((name.trim(), value.trim().strip_prefix('"')?.strip_suffix('"')?)))
            else {
                bail!("{} line {}: expected NAME = \"value\"", file.display(), number + 1);
            };
            kept.insert(name.to_owned(), value.to_owned());
        }
        Ok(Secrets { file, kept })
    }

    /// The secret of this name; made and written down if there is none.
    ///
    /// # Errors
    /// If it cannot be made or written down.
    pub fn get_or_make(&mut self, name: &str, make: impl FnOnce() -> Result<String>) -> Result<String> {
        if let Some(value) = self.kept.get(name) {
            return Ok(value.clone());
        }
        let value = make()?;
        self.kept.insert(name.to_owned(), value.clone());
        let lines: String = self.kept.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
        write_private(
            &self.file,
            &format!("# Made by `cargo xtask up`, which reads it again at its next start.\n{lines}"),
        )?;
        Ok(value)
    }

    /// Whether a secret of this name is kept.
    pub fn has(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = std::env::temp_dir().join(format!("xtask-secrets-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("secrets.toml");
        let made = Secrets::open(file.clone()).unwrap().get_or_make("A", token).unwrap();
        let mut again = Secrets::open(file.clone()).unwrap();
        assert_eq!(again.get_or_make("A", || panic!("made twice")).unwrap(), made);
        assert_ne!(again.get_or_make("B", token).unwrap(), made);
        assert_eq!(made.len(), 43);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "A = \"x\"\nB = hunter2\n").unwrap();
        let error = Secrets::open(file).err().unwrap().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        fs::remove_dir_all(dir).unwrap();
    }
}
