//! `!bans`: who is banned.
use super::words::{moment, page};
use super::{Asked, Command, Grade, Running, Said};
use crate::chat::Author;
use crate::store::StoreError;

/// `!bans [page]`
pub const COMMAND: Command = Command {
    name: "bans",
    usage: "!bans [page]",
    purpose: "who is banned, until when, by whom and why",
    grade: Grade::Look,
    publishes: false,
    run,
};

const A_PAGE: i64 = 6;

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let Some(page) = page(asked.words) else { return Ok(Said::usage(&COMMAND)) };
    let (bans, total) = asked.turn.bans(A_PAGE, (page - 1) * A_PAGE).await?;
    if bans.is_empty() {
        return Ok(Said::none(if page == 1 { "Nobody is banned." } else { "There are not so many bans." }));
    }
    let zone = &asked.relay.settings.zone;
    let lines = bans.iter().map(|ban| {
        let until = ban.until.map_or_else(String::new, |until| format!(" until {}", moment(until, zone)));
        let by = asked.relay.open_ban(ban, "banned_by_sealed").and_then(|by| serde_json::from_str::<Author>(&by).ok());
        let by = by.map_or_else(String::new, |by| format!(", by {}", by.name));
        let reason = asked.relay.open_ban(ban, "reason_sealed");
        let reason = reason.map_or_else(String::new, |reason| format!(": {}", cut(&reason)));
        format!("{} {}{until}{by}{reason}", ban.id, asked.relay.banned_address(ban))
    });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    let pages = (total + A_PAGE - 1) / A_PAGE;
    if pages > 1 {
        text += &format!("\n({page} of {pages}; !bans {})", page % pages + 1);
    }
    Ok(Said::done(text))
}

/// A reason in a list.
fn cut(reason: &str) -> String {
    match reason.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &reason[..at]),
        None => reason.to_owned(),
    }
}
