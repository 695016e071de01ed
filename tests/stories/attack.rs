//! An attack: a story that follows from a seed, and a reckoning at its end. `cargo xtask test` runs each with a few seeds;
//! `cargo xtask chaos` runs it again and again, one seed a round, and reads what was found from a file.
use std::path::PathBuf;

use serde_json::json;

/// What one round of an attack found.
#[derive(Default)]
pub struct Tally {
    /// Messages that were said.
    pub messages: usize,
    /// Kills and faults that struck while a call or a statement was in flight.
    pub hits: usize,
    pub lost: usize,
    pub doubled: usize,
    pub disordered: usize,
    /// Calls without a row, or with a wrong one.
    pub unrecorded: usize,
    /// Whatever else must not be, each in words.
    pub others: Vec<String>,
    /// The figures and each fault, and where logs lie.
    pub told: String,
}

impl Tally {
    fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.disordered + self.unrecorded == 0 && self.others.is_empty()
    }
}

/// The seed of the round that `cargo xtask chaos` wants, and where it reads what was found.
fn wanted() -> Option<(u64, PathBuf)> {
    let seed = std::env::var("TALKBACK_CHAOS_SEED").ok()?;
    let report = std::env::var_os("TALKBACK_CHAOS_REPORT").expect("TALKBACK_CHAOS_REPORT is set with the seed");
    Some((seed.parse().expect("TALKBACK_CHAOS_SEED is a number"), report.into()))
}

/// Whether times are measured: where many tests run at once, how long something takes says nothing.
pub fn measures() -> bool {
    wanted().is_some()
}

/// Runs an attack: with these seeds, of which at least one must have struck something in mid-flight; or, for `cargo xtask
/// chaos`, with the one that it names: there the rounds of an attack are summed before that is asked.
///
/// # Panics
/// If anything was lost, doubled, disordered or not recorded; the text has the seed.
#[expect(clippy::print_stdout, reason = "who tells the story reads its figures")]
pub async fn attack(name: &str, seeds: &[u64], round: impl AsyncFn(u64) -> Tally) {
    if let Some((seed, report)) = wanted() {
        let tally = round(seed).await;
        let Tally { messages, hits, lost, doubled, disordered, unrecorded, .. } = tally;
        let found = json!({
            "attack": name, "seed": seed, "messages": messages, "hits": hits, "lost": lost, "doubled": doubled,
            "disordered": disordered, "unrecorded": unrecorded, "others": tally.others,
        });
        std::fs::write(report, found.to_string()).expect("the report can be written");
        assert!(tally.is_clean(), "{name}, seed {seed}: {}\n{}", tally.told, tally.others.join("\n"));
        return;
    }
    let mut hits = 0;
    for seed in seeds {
        let tally = round(*seed).await;
        println!("{name}, seed {seed}: {}", tally.told);
        assert!(tally.is_clean(), "{name}, seed {seed}: {}\n{}", tally.told, tally.others.join("\n"));
        hits += tally.hits;
    }
    assert!(hits > 0, "a toy: {name} struck nothing with the seeds {seeds:?}");
}
