//! The words after `cargo xtask up`.

use anyhow::{Context, Result, bail};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Forget what the servers have stored, and the secrets.
    pub(super) fresh: bool,
    /// Build for speed.
    pub(super) release: bool,
    /// Let cargo-lambda run the functions, and rebuild them when a file changes.
    pub(super) watch: bool,
    /// The port of the functions' URLs.
    pub(super) port: u16,
}

impl Options {
    pub(super) fn read(arguments: &[String]) -> Result<Options> {
        let mut options = Options { fresh: false, release: false, watch: false, port: 9000 };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--fresh" => options.fresh = true,
                "--release" => options.release = true,
                "--watch" => options.watch = true,
                "--port" => {
                    let port = words.next().and_then(|port| port.parse().ok()).filter(|port| *port > 0);
                    options.port =
                        port.with_context(|| format!("--port needs a number from 1 to 65535: {}", super::USAGE))?;
                }
                _ => bail!("unknown option {word}: {}", super::USAGE),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        Options::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_wrong_ones_refused() {
        let given = read("--port 9100 --fresh --release").unwrap();
        assert_eq!(given, Options { fresh: true, release: true, watch: false, port: 9100 });
        assert_eq!(read("").unwrap().port, 9000);
        for line in ["--port", "--port x", "--port 0", "--port 70000", "--sideways", "fresh"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
