//! `!ban`: who sent that message is heard no more.
use super::words::{count, for_term, masked, moment};
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;
use crate::store::look_up::Found;

/// `!ban <uid> [for 7d] [reason…]`
pub const COMMAND: Command = Command {
    name: "ban",
    usage: "!ban <uid> [for 7d] [reason…]",
    purpose: "bans the sender of that message, and withdraws what of theirs waits; again: changes only the term",
    grade: Grade::Act,
    publishes: false,
    run,
};

/// What is said of a call that cannot be taken back.
pub(super) const IN_THE_AIR: &str = " A part of it is being posted at this moment, and may still appear.";

/// So much of a reason is kept.
const REASON: usize = 200;

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let [uid, rest @ ..] = asked.words else { return Ok(Said::usage(&COMMAND)) };
    let Some((term, reason)) = for_term(rest) else { return Ok(Said::usage(&COMMAND)) };
    let (message, note) = match meant(asked, uid).await? {
        Ok(meant) => meant,
        Err(said) => return Ok(said),
    };
    let reason: String = reason.join(" ").chars().take(REASON).collect();
    let Some((hash, sealed)) = asked.turn.sender(&message.uid).await? else {
        return Ok(Said::none(format!(
            "That message has no sender: it came from {}, which cannot be banned.",
            message.source
        )));
    };
    // Who was erased is known by the hash, which is all that a ban needs.
    let sender = sealed.and_then(|sealed| asked.relay.open_sender(&message.uid, &sealed));
    let address = sender.as_ref().map(|sender| sender.address.as_str());
    let banned = asked.relay.ban(asked.turn, (&hash, address), asked.author, &reason, term).await?;
    let until = banned.until.map(|until| moment(until, &asked.relay.settings.zone));
    let until = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
    let who = address.map_or_else(|| "somebody who was erased".to_owned(), masked);
    let (author, id) = (&asked.author.name, banned.id);
    let mut text = match banned.again {
        true => format!("{who} was banned already (ban {id}); {author} changed the term: {until}."),
        false => format!("{author} banned {who} {until} (ban {id})."),
    };
    if banned.withdrawn > 0 {
        let waited = count(i64::try_from(banned.withdrawn).unwrap_or(i64::MAX), "queued delivery");
        text += &format!(" Withdrawn: {waited}.");
    }
    if banned.in_the_air {
        text += IN_THE_AIR;
    }
    Ok(Said::done(text + &note))
}

/// The message that is meant by what was typed: the most recent of several, which is said; or what is answered.
pub(super) async fn meant(asked: &Asked<'_>, uid: &str) -> Result<Result<(Found, String), Said>, StoreError> {
    let mut found = asked.relay.store.find(uid, None).await?;
    // A whole uid means itself; what several producers call theirs does not.
    if let Some(whole) = found.iter().position(|found| found.uid == uid) {
        found.swap(0, whole);
        found.truncate(1);
    }
    let several = found.len();
    Ok(match found.into_iter().next() {
        None => Err(Said::none("I know no message with that uid.")),
        Some(one) if several == 1 => Ok((one, String::new())),
        Some(latest) => {
            let when = moment(latest.accepted_at, &asked.relay.settings.zone);
            let note = format!(" ({several} messages have that uid: this is about the most recent, of {when}.)");
            Ok((latest, note))
        }
    })
}
