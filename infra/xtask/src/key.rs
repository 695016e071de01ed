//! `cargo xtask key NAME`: makes a key for `POST /send` and `POST /v3/bots/post`. The key is printed once and kept nowhere; what the function
//! is configured with is its hash.

use anyhow::{Context, Result, bail};
use ring::digest::{SHA256, digest};

use crate::{progress::say, secrets};

/// How to call it.
pub const USAGE: &str = "cargo xtask key NAME [--sources 'standard|ups.*'] [--urgent] [--rooms] [--ok200]";

/// What a key may do, beside sending as `standard` at normal priority to the rooms of the routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Patterns of the sources it may name; none: `standard` and `standard.*`.
    pub sources: Vec<String>,
    /// Priority above normal.
    pub urgent: bool,
    /// To name rooms.
    pub rooms: bool,
    /// Is answered 200 instead of 202.
    pub ok200: bool,
}

/// The entry of `TALKBACK_SEND_KEYS` for a key.
pub fn entry(name: &str, key: &str, allowed: &Allowed) -> String {
    let hash = secrets::hex(digest(&SHA256, key.as_bytes()).as_ref());
    let mut entry = format!("{name}:{hash}");
    if !allowed.sources.is_empty() {
        entry += &format!(":{}", allowed.sources.join("|"));
    }
    for (word, given) in [("urgent", allowed.urgent), ("rooms", allowed.rooms), ("ok200", allowed.ok200)] {
        if given {
            entry += &format!(":{word}");
        }
    }
    entry
}

/// Makes a key and prints it with its entry.
///
/// # Errors
/// If the arguments are wrong, or the system gives no random bytes.
pub fn run(arguments: &[String]) -> Result<()> {
    let (name, allowed) = read(arguments)?;
    let key = secrets::token()?;
    say(format!("The key, shown this once; give it to {name}:\n\n    {key}\n"));
    say(format!(
        "Its entry for TALKBACK_SEND_KEYS, after a comma if there are others:\n\n    {}",
        entry(&name, &key, &allowed)
    ));
    Ok(())
}

fn read(arguments: &[String]) -> Result<(String, Allowed)> {
    let mut name = None;
    let mut allowed = Allowed::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--urgent" => allowed.urgent = true,
            "--rooms" => allowed.rooms = true,
            "--ok200" => allowed.ok200 = true,
            "--sources" => {
                let patterns = arguments.next().with_context(|| format!("--sources needs patterns: {USAGE}"))?;
                allowed.sources = patterns.split('|').map(str::to_owned).collect();
            }
            option if option.starts_with('-') => bail!("unknown option {option}: {USAGE}"),
            word if name.is_none() => name = Some(word.to_owned()),
            word => bail!("one name, not also {word}: {USAGE}"),
        }
    }
    let name = name.with_context(|| format!("a key needs a name: {USAGE}"))?;
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        bail!("a name is made of 1 to 64 letters, digits, '-', '_' and '.'");
    }
    if let Some(wrong) = allowed.sources.iter().find(|pattern| !is_pattern(pattern)) {
        bail!("{wrong:?} is no source pattern: words of letters, digits, '-' and '_', or '*' or '#', joined by dots");
    }
    if let Some(wrong) = allowed.sources.iter().find(|pattern| pattern.starts_with("source.")) {
        bail!("{wrong:?}: patterns are written without their leading `source.`");
    }
    if let [word @ ("urgent" | "rooms" | "ok200")] = allowed.sources.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        bail!("a key for the source {word:?} alone would be read as the permission of that name");
    }
    Ok((name, allowed))
}

fn is_pattern(pattern: &str) -> bool {
    pattern.split('.').all(|word| {
        matches!(word, "*" | "#")
            || (!word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn an_entry_holds_the_hash_of_the_key_and_what_it_may_do() {
        let (name, allowed) = read(&words("ups --sources ups.*|standard --urgent --ok200")).unwrap();
        // printf abc | sha256sum
        assert_eq!(
            entry(&name, "abc", &allowed),
            "ups:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:ups.*|standard:urgent:ok200"
        );
        assert!(!entry("x", "abc", &Allowed::default()).contains("standard"));
    }

    #[test]
    fn what_would_break_the_list_of_keys_is_refused() {
        for line in [
            "a:b",
            "a,b",
            "",
            "a b",
            "a --sources x:y",
            "a --sources x,y",
            "a --sources source.x",
            "a --sources urgent",
            "a --sources",
            "a --loud",
        ] {
            assert!(read(&words(line)).is_err(), "{line:?}");
        }
    }
}
