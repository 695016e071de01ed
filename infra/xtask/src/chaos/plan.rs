//! Which rounds there are: the attacks in turn, each round with a seed of its own that follows from the one given.

use super::Attack;

/// One attack with one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) attack: &'static Attack,
    pub(super) seed: u64,
    /// How many rounds of this attack come before it.
    pub(super) number: usize,
}

/// So many rounds, in their order. In each turn those that must be alone come last, so that the others find company.
pub(super) fn plan(attacks: &[&'static Attack], seed: u64, rounds: usize) -> Vec<Round> {
    let turns = rounds.div_ceil(attacks.len().max(1));
    let mut plan = Vec::new();
    for number in 0..turns {
        let left = rounds - plan.len();
        let mut turn: Vec<&'static Attack> = attacks.iter().take(left).copied().collect();
        turn.sort_by_key(|attack| attack.alone);
        plan.extend(turn.into_iter().map(|attack| Round { attack, seed: seed_of(seed, attack.name, number), number }));
    }
    plan
}

/// A number of at most ten digits, which people can copy: FNV-1a over all that it follows from, folded.
fn seed_of(base: u64, attack: &str, number: usize) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    for byte in base.to_le_bytes().iter().chain(attack.as_bytes()).chain(&number.to_le_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash >> 32) ^ (hash & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::chaos::ATTACKS;

    #[test]
    fn attacks_take_turns_and_a_longer_plan_begins_with_the_shorter_one() {
        let attacks: Vec<&'static Attack> = ATTACKS.iter().collect();
        let long = plan(&attacks, 1, 5 * attacks.len() + 1);
        assert_eq!(long.len(), 5 * attacks.len() + 1);
        for attack in ATTACKS {
            let rounds = long.iter().filter(|round| round.attack == attack).count();
            assert!((5..=6).contains(&rounds), "{}: {rounds}", attack.name);
        }
        let seeds: HashSet<u64> = long.iter().map(|round| round.seed).collect();
        assert_eq!(seeds.len(), long.len());
        assert!(plan(&attacks, 1, attacks.len()).iter().all(|round| long.contains(round)));
        assert_ne!(plan(&attacks, 2, 1)[0].seed, long[0].seed);
    }
}
