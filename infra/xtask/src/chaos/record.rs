//! What was found so far: a line a round in `rounds.jsonl` under the run's seed, and the sums in `chaos.json`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{ATTACKS, plan::Round, round::Found};
use crate::progress::print;

/// The figures of a round, in the words of the report.
pub(super) const FIGURES: [&str; 6] = ["messages", "hits", "lost", "doubled", "disordered", "unrecorded"];

/// The rounds of one seed.
pub(super) struct Record {
    file: PathBuf,
    /// Where the sums are written.
    sums: PathBuf,
    rounds: Vec<Value>,
}

impl Record {
    /// Reads what an earlier run with these programs has found. What was found with others is about others: then it
    /// begins anew.
    pub(super) fn open(dir: &Path, sums: &Path, programs: &BTreeMap<String, PathBuf>, fresh: bool) -> Result<Record> {
        let programs = digest(programs)?;
        let file = dir.join("rounds.jsonl");
        let text = if fresh { String::new() } else { fs::read_to_string(&file).unwrap_or_default() };
        // A line that a killed run could not end is no round.
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let same = lines.next().is_some_and(|first| first["programs"] == json!(programs));
        if !text.is_empty() && !same {
            print("  the programs have changed since the rounds of this seed: it begins anew");
        }
        let rounds: Vec<Value> = if same { lines.collect() } else { Vec::new() };
        let record = Record { file, sums: sums.to_path_buf(), rounds };
        if !same {
            super::anew(dir)?;
        }
        let mut whole = format!("{}\n", json!({ "programs": programs }));
        record.rounds.iter().for_each(|round| whole += &format!("{round}\n"));
        replace(&record.file, &whole)?;
        record.sum()?;
        Ok(record)
    }

    /// Whether this round is done.
    pub(super) fn has(&self, round: &Round) -> bool {
        self.rounds
            .iter()
            .any(|done| done["attack"] == json!(round.attack.name) && done["number"] == json!(round.number))
    }

    /// Adds a round that has ended.
    pub(super) fn add(&mut self, round: &Round, found: &Found) -> Result<()> {
        let mut line = found.figures.clone();
        line["attack"] = json!(round.attack.name);
        line["number"] = json!(round.number);
        line["seed"] = json!(round.seed);
        line["seconds"] = json!(found.took.as_secs_f32());
        line["fault"] = json!(found.fault);
        let mut file = fs::OpenOptions::new().append(true).open(&self.file).context("cannot write what was found")?;
        file.write_all(format!("{line}\n").as_bytes()).context("cannot write what was found")?;
        self.rounds.push(line);
        self.sum()
    }

    /// The sums of each attack that had a round.
    pub(super) fn sums(&self) -> Vec<Value> {
        let of = |attack: &str| {
            let rounds = || self.rounds.iter().filter(|round| round["attack"] == json!(attack));
            let mut sums = json!({ "attack": attack, "rounds": rounds().count() });
            for figure in FIGURES {
                sums[figure] = json!(rounds().map(|round| round[figure].as_u64().unwrap_or(0)).sum::<u64>());
            }
            sums
        };
        let all = ATTACKS.iter().map(|attack| of(attack.name));
        all.filter(|sums| sums["rounds"] != json!(0)).collect()
    }

    /// The rounds of an attack that failed, each as it was written down.
    pub(super) fn failed(&self) -> Vec<&Value> {
        self.rounds.iter().filter(|round| !round["fault"].is_null()).collect()
    }

    fn sum(&self) -> Result<()> {
        let sums = self.sums();
        let lines: Vec<String> = sums.iter().map(Value::to_string).collect();
        replace(&self.sums, &format!("[{}]\n", lines.join(",\n ")))
    }
}

/// Writes a file so that whoever reads it finds the old text or the new one.
fn replace(file: &Path, text: &str) -> Result<()> {
    let making = file.with_extension("new");
    fs::write(&making, text)
        .and_then(|()| fs::rename(&making, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// What tells these programs from others.
fn digest(programs: &BTreeMap<String, PathBuf>) -> Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for (name, path) in programs {
        context.update(name.as_bytes());
        context.update(&fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chaos::plan::plan;

    fn found(hits: u64, lost: u64) -> Found {
        Found {
            figures: json!({ "messages": 90, "hits": hits, "lost": lost, "doubled": 0, "disordered": 0, "unrecorded": 0 }),
            fault: (lost > 0).then(|| "something was lost".to_owned()),
            took: Duration::from_secs(11),
            output: PathBuf::new(),
        }
    }

    #[test]
    fn a_run_goes_on_where_it_was_killed_unless_its_programs_are_others() {
        let dir = std::env::temp_dir().join(format!("xtask-chaos-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (program, sums) = (dir.join("send"), dir.join("chaos.json"));
        fs::write(&program, "one").unwrap();
        let programs: BTreeMap<String, PathBuf> = [("send".to_owned(), program.clone())].into();
        let open = |fresh| Record::open(&dir.join("seed-1"), &sums, &programs, fresh).unwrap();
        let attacks: Vec<_> = ATTACKS.iter().collect();
        let rounds = plan(&attacks, 1, attacks.len() + 1);

        let mut record = open(false);
        record.add(&rounds[0], &found(3, 0)).unwrap();
        record.add(&rounds[attacks.len()], &found(2, 1)).unwrap();
        drop(record);
        // Killed in the middle of a line.
        let mut file = fs::OpenOptions::new().append(true).open(dir.join("seed-1/rounds.jsonl")).unwrap();
        file.write_all(b"{\"attack\": \"ki").unwrap();

        let record = open(false);
        assert!(record.has(&rounds[0]) && record.has(&rounds[attacks.len()]) && !record.has(&rounds[1]));
        assert_eq!(record.failed().len(), 1);
        let written: Value = serde_json::from_str(&fs::read_to_string(&sums).unwrap()).unwrap();
        let first = json!([{
            "attack": rounds[0].attack.name, "rounds": 2, "messages": 180, "hits": 5, "lost": 1, "doubled": 0,
            "disordered": 0, "unrecorded": 0,
        }]);
        assert_eq!(written, first);

        assert!(!open(true).has(&rounds[0]));
        open(false).add(&rounds[0], &found(1, 0)).unwrap();
        fs::write(&program, "another").unwrap();
        assert!(!open(false).has(&rounds[0]));
        fs::remove_dir_all(dir).unwrap();
    }
}
