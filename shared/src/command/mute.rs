//! `!mute`: what a source sends is held for a while.
use serde_json::json;

use super::words::{for_term, moment};
use super::{Asked, Command, Grade, Running, Said};
use crate::route::Pattern;
use crate::store::StoreError;
use crate::store::mutes::{MOST, NewMute};

/// `!mute <source pattern> [for 2h]`
pub const COMMAND: Command = Command {
    name: "mute",
    usage: "!mute <source pattern> [for 2h]",
    purpose: "holds normal and high messages of these sources; urgent ones are never held; again: changes only the term",
    grade: Grade::Act,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let [typed, rest @ ..] = asked.words else { return Ok(Said::usage(&COMMAND)) };
    let (Ok(pattern), Some((term, []))) = (Pattern::parse(typed), for_term(rest)) else {
        return Ok(Said::usage(&COMMAND));
    };
    // A name that is no key would be shown to everybody, whatever it is.
    if !typed.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-*#".contains(&b)) {
        return Ok(Said::usage(&COMMAND));
    }
    let muted = asked
        .turn
        .mute(&NewMute {
            pattern: typed,
            matches: &matches(&pattern, typed),
            room: asked.room,
            by_sealed: &by(asked, typed, "muted_by_sealed"),
            term: term.map(|term| term.as_secs_f64()),
        })
        .await?;
    let Some(muted) = muted else {
        return Ok(refused(format!("There are {MOST} mutes already: end one first. !mutes lists them.")));
    };
    let until = muted.until.map(|until| moment(until, &asked.relay.settings.zone));
    let until = until.map_or_else(|| "until it is unmuted".to_owned(), |until| format!("until {until}"));
    let author = &asked.author.name;
    let mut text = match muted.again {
        true => format!("{typed} was muted already; {author} changed the term: {until}."),
        false => format!("{author} muted {typed} {until}; urgent messages still come."),
    };
    if muted.held > 0 {
        text += &format!(" Held already: {}.", muted.held);
    }
    Ok(Said::done(text))
}

fn refused(text: String) -> Said {
    Said { outcome: "refused", text }
}

/// The same pattern with `source.` before it, which `!stats` leaves out.
pub(super) fn in_full(typed: &str) -> String {
    format!("source.{typed}")
}

/// A source is meant as it is, or as `!stats` shows it.
fn matches(pattern: &Pattern, typed: &str) -> String {
    let full = Pattern::parse(&in_full(typed)).ok();
    full.map_or_else(|| pattern.to_regex(), |full| format!("(?:{})|(?:{})", pattern.to_regex(), full.to_regex()))
}

/// Who typed it, sealed for that pattern's row.
pub(super) fn by(asked: &Asked<'_>, pattern: &str, column: &'static str) -> Vec<u8> {
    asked.relay.sealed("mutes", column, pattern, json!(asked.author).to_string().as_bytes())
}
