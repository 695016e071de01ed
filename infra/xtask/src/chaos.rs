//! `cargo xtask chaos`: the attacks of `tests/stories`, again and again. A round is one attack with one seed, in one
//! process of the stories' program; rounds take the attacks in turn, some side by side. What each found is kept, so
//! that a run that was stopped or killed goes on where it was, and is summed in `target/chaos/chaos.json`.

mod attacks;
mod options;
mod plan;
mod record;
mod round;
mod table;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, bail};

use self::{
    options::Options,
    plan::{Round, plan},
    record::Record,
    round::{Found, Stage},
};
use crate::{
    cargo, checkout, install, interrupt,
    progress::{print, step},
    testbed::{Programs, Servers, lock},
};

pub use attacks::{ATTACKS, Attack};

/// How to call it.
pub const USAGE: &str = "cargo xtask chaos [--seed N] [--rounds N] [--attack NAME [--again SEED]] [--fresh]";

/// Runs rounds until there are as many as were asked for.
///
/// # Errors
/// If anything was lost, doubled, disordered or not recorded, if a round ended otherwise than it should, or if an
/// attack has struck nothing in all its rounds; if the programs do not build; if it was stopped.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let dir = checkout::chaos();
    let _alone = lock(&dir, "cargo xtask chaos")?;
    interrupt::listen()?;
    install::servers()?;
    install::faketime()?;
    let cargo_lambda = install::cargo_lambda()?;
    let built = step("build everything", || cargo::build(&["--workspace", "--bins", "--test", "stories", "--locked"]))?;
    interrupt::check()?;
    let programs = dir.join("programs");
    let built = keep(&built, &programs)?;
    let stories = built.get("stories").context("the build made no program `stories`")?.clone();
    let perform = |rounds: Vec<Round>, to: &str, record: Option<&mut Record>| {
        let servers = Servers::start(&dir.join("servers"))?;
        let environment = servers.environment(&Programs { bin: programs, cargo_lambda, promtool: None })?;
        let stage = Stage { stories, environment, servers, dir: dir.join(to), keeps: record.is_none() };
        play(&stage, rounds, record)
    };
    if let Some(seed) = options.again {
        let round = Round { attack: options.attacks[0], seed, number: 0 };
        let found = perform(vec![round], "again", None)?.context("the round did not end")?;
        print(fs::read_to_string(&found.output).unwrap_or_default());
        return if found.is_good() { Ok(()) } else { bail!("the round failed") };
    }
    let name = format!("seed-{}", options.seed);
    let mut record = Record::open(&dir.join(&name), &dir.join("chaos.json"), &built, options.fresh)?;
    let mut rounds = plan(&options.attacks, options.seed, options.rounds);
    rounds.retain(|round| !record.has(round));
    if rounds.len() < options.rounds {
        let done = options.rounds - rounds.len();
        print(format!("  {done} of {} rounds were done before; --fresh begins anew", options.rounds));
    }
    if !rounds.is_empty() {
        perform(rounds, &name, Some(&mut record))?;
    }
    table::judge(&record)
}

/// Plays rounds, side by side where they may be. Those that are not for the record end with the only one.
fn play(stage: &Stage, rounds: Vec<Round>, mut record: Option<&mut Record>) -> Result<Option<Found>> {
    let (count, most) = (rounds.len(), most_beside());
    let (mut done, mut running, mut alone) = (0, 0, false);
    let mut rounds = rounds.into_iter().peekable();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let mut broken: Result<()> = Ok(());
        loop {
            while broken.is_ok() && !interrupt::asked() {
                let fits = |round: &Round| running == 0 || running < most && !alone && !round.attack.alone;
                let Some(round) = rounds.next_if(fits) else { break };
                running += 1;
                alone = round.attack.alone;
                let tell = tell.clone();
                scope.spawn(move || drop(tell.send((round.clone(), stage.play(&round)))));
            }
            if running == 0 {
                break;
            }
            let (round, found) = told.recv().context("a round ended without a word")?;
            running -= 1;
            match found {
                // It was broken off with us, and says nothing.
                Ok(None) => {}
                Ok(Some(found)) => {
                    done += 1;
                    print(format!("  {done:>4}/{count} {}", found.line(&round)));
                    let Some(record) = &mut record else { return Ok(Some(found)) };
                    broken = record.add(&round, &found);
                }
                Err(error) => broken = Err(error),
            }
        }
        broken.and_then(|()| interrupt::check().context("the same command goes on from here")).map(|()| None)
    })
}

/// Copies the programs to a folder of ours: who builds meanwhile changes nothing of what is attacked.
fn keep(built: &BTreeMap<String, PathBuf>, to: &Path) -> Result<BTreeMap<String, PathBuf>> {
    anew(to)?;
    let copy = |(name, path): (&String, &PathBuf)| {
        let kept = to.join(name);
        fs::copy(path, &kept).with_context(|| format!("cannot copy {}", path.display()))?;
        Ok((name.clone(), kept))
    };
    // xtask itself is no part of what is attacked.
    built.iter().filter(|(name, _)| *name != "xtask").map(copy).collect()
}

/// How many rounds run at a time: two a core, since each waits for much of its time; and no more than one Postgres has
/// connections for.
fn most_beside() -> usize {
    thread::available_parallelism().map_or(2, |cores| 2 * cores.get()).min(6)
}

/// Makes an empty folder.
fn anew(dir: &Path) -> Result<()> {
    drop(fs::remove_dir_all(dir));
    checkout::make(dir)
}
