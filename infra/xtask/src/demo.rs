//! `cargo xtask demo`: sends one of everything that can arrive, as it lies in `events/`, to what `cargo xtask up` runs,
//! and says for each what it is and what to look for.

mod event;
mod fresh;
mod table;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use event::{Event, Outcome};
use fresh::{Fresh, Here};
use serde_json::Value;
use table::{EXHIBITS, Exhibit};

use crate::{checkout, http, progress::print, up};

/// How to call it.
pub const USAGE: &str = "cargo xtask demo [NAME OF A FILE IN events/]…";

/// Sends everything, or what is named.
///
/// # Errors
/// If `up` does not run or speaks in a real chat, a name is unknown, or something is refused.
pub fn run(arguments: &[String]) -> Result<()> {
    let chosen = choose(arguments)?;
    let record = up::record()?;
    let here = Here::read(&record)?;
    let found_before = findings(&here.page)?;
    let mut fresh = Fresh::new(here);
    let (mut refused, count) = (Vec::new(), chosen.len());
    print(format!("{count} of events/ go to the relay; look at {}\n", fresh.here().page));
    for exhibit in chosen {
        print(format!("{}: {} {}", exhibit.name, exhibit.what, exhibit.look));
        let event = Event::read(&events().join(format!("{}.json", exhibit.name)), &mut fresh)?;
        match event.send(&record) {
            Ok(Outcome::Taken(what)) => print(format!("    {what}\n")),
            Ok(Outcome::Refused(why)) => {
                print(format!("    REFUSED: {why}\n"));
                refused.push(exhibit.name);
            }
            Err(error) => {
                print(format!("    FAILED: {error:#}\n"));
                refused.push(exhibit.name);
            }
        }
    }
    summarize(fresh.here(), count, found_before);
    if refused.is_empty() { Ok(()) } else { bail!("refused: {}", refused.join(", ")) }
}

fn choose(arguments: &[String]) -> Result<Vec<&'static Exhibit>> {
    if arguments.is_empty() {
        return Ok(EXHIBITS.iter().collect());
    }
    let name = |argument: &String| {
        let name = argument.rsplit('/').next().unwrap_or(argument).trim_end_matches(".json");
        let exhibit = EXHIBITS.iter().find(|exhibit| exhibit.name == name);
        exhibit.with_context(|| {
            let names: Vec<&str> = EXHIBITS.iter().map(|exhibit| exhibit.name).collect();
            format!("there is no {name:?}: {USAGE}\nnames: {}", names.join(" "))
        })
    };
    arguments.iter().map(name).collect()
}

fn events() -> std::path::PathBuf {
    checkout::root().join("events")
}

/// How many things the simulator has found wrong so far.
fn findings(page: &str) -> Result<usize> {
    let answer =
        http::get(&format!("{page}_sim/findings"), Duration::from_secs(5)).context("the page does not answer")?;
    let findings: Vec<Value> = serde_json::from_str(&answer.body).context("the page is not the simulator's")?;
    Ok(findings.len())
}

fn summarize(here: &Here, count: usize, found_before: usize) {
    print(format!("{count} sent. The room fills at its pace, one post in a second: {}", here.page));
    let record = up::record_file();
    let record = record.strip_prefix(checkout::root()).unwrap_or(&record).display().to_string();
    print("What is not in the page, with the reason: what was rejected, and what has another verdict than `accepted`.");
    print(format!(
        "    psql \"$(sed -n 's/.*\"database_url\": \"\\(.*\\)\".*/\\1/p' {record})\" \\\n      \
         -c 'select at, source, reason, detail from rejected order by at' \\\n      \
         -c \"select accepted_at, source, short_uid, verdict, verdict_reason from messages where verdict <> 'accepted' order by 1\""
    ));
    let found = findings(&here.page).unwrap_or(found_before).saturating_sub(found_before);
    if found > 0 {
        print(format!("The page has found {found} things wrong meanwhile; its badge lists them."));
    }
}
