//! The table at the end, and the verdict.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::record::{FIGURES, Record};
use crate::progress::print;

/// Prints what each attack found in all its rounds.
///
/// # Errors
/// If a round failed, or an attack struck nothing.
pub(super) fn judge(record: &Record) -> Result<()> {
    let sums = record.sums();
    let head: Vec<String> = FIGURES.iter().map(|figure| format!("{figure:>12}")).collect();
    print(format!("\n{:<24}{:>6}{}", "attack", "rounds", head.concat()));
    for sum in &sums {
        let figures: Vec<String> = FIGURES.iter().map(|figure| format!("{:>12}", sum[*figure].to_string())).collect();
        print(format!("{:<24}{:>6}{}", text(&sum["attack"]), sum["rounds"].to_string(), figures.concat()));
    }
    let failed = record.failed();
    for round in &failed {
        let (attack, seed) = (text(&round["attack"]), &round["seed"]);
        print(format!("failed: {attack}, seed {seed}; again: cargo xtask chaos --attack {attack} --again {seed}"));
    }
    let toys: Vec<&str> = sums.iter().filter(|sum| sum["hits"] == json!(0)).map(|sum| text(&sum["attack"])).collect();
    if !toys.is_empty() {
        print(format!("failed: nothing was struck in flight by {}", toys.join(", ")));
    }
    let rounds: u64 = sums.iter().filter_map(|sum| sum["rounds"].as_u64()).sum();
    if !failed.is_empty() || !toys.is_empty() {
        bail!("{rounds} rounds, {} failed, {} attacks struck nothing", failed.len(), toys.len());
    }
    print(format!("{rounds} rounds, 0 failed"));
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
