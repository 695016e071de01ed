//! The words after `cargo xtask chaos`.

use anyhow::{Context, Result, bail};

use super::{ATTACKS, Attack, USAGE};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// What the seeds of all rounds follow from.
    pub(super) seed: u64,
    pub(super) rounds: usize,
    /// Which attacks.
    pub(super) attacks: Vec<&'static Attack>,
    /// One round of this seed, told again.
    pub(super) again: Option<u64>,
    /// Forget the rounds that were done before.
    pub(super) fresh: bool,
}

impl Options {
    pub(super) fn read(arguments: &[String]) -> Result<Options> {
        let mut options = Options { seed: 1, rounds: 50, attacks: ATTACKS.iter().collect(), again: None, fresh: false };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<u64> {
                let number = words.next().and_then(|number| number.parse().ok());
                number.with_context(|| format!("{word} needs a number: {USAGE}"))
            };
            match word.as_str() {
                "--seed" => options.seed = number()?,
                "--rounds" => options.rounds = usize::try_from(number()?).context("so many rounds")?,
                "--again" => options.again = Some(number()?),
                "--fresh" => options.fresh = true,
                "--attack" => {
                    let name = words.next().map_or("", String::as_str);
                    options.attacks.retain(|attack| attack.name == name);
                    if options.attacks.is_empty() {
                        let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
                        bail!("--attack needs one of: {}", names.join(", "));
                    }
                }
                _ => bail!("unknown option {word}: {USAGE}"),
            }
        }
        if options.again.is_some() && options.attacks.len() > 1 {
            bail!("--again needs --attack: {USAGE}");
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
        let usual = read("").unwrap();
        assert_eq!((usual.rounds, usual.attacks.len(), usual.fresh), (50, ATTACKS.len(), false));
        let given = read("--seed 7 --rounds 1000 --attack freeze --fresh").unwrap();
        assert_eq!((given.seed, given.rounds, given.attacks[0].name, given.fresh), (7, 1000, "freeze", true));
        assert_eq!(read("--attack kill --again 99").unwrap().again, Some(99));
        for line in ["--seed", "--seed x", "--rounds -1", "--attack", "--attack x", "--again 5", "--sideways", "kill"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
