//! `!stats`: what happened at the station in a day, a week or a month; or what one sender sent.
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::ban::meant;
use super::words::{count, masked, moment};
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;
use crate::store::stats::{SenderStats, Stats};

/// `!stats [today|week|month]` and `!stats <uid>`
pub const COMMAND: Command = Command {
    name: "stats",
    usage: "!stats [today|week|month|<uid>]",
    purpose: "messages by source and state, how long they waited, API errors; with a uid: what its sender sent",
    grade: Grade::Look,
    publishes: false,
    run,
};

/// The periods: their words, and the midnight so many days before today's from which they are counted.
const PERIODS: [(&str, i32); 3] = [("today", 0), ("week", 6), ("month", 29)];

/// So much is said at most, in characters: one post.
const LONGEST: usize = 900;

/// So many sources are named, and so many characters of each.
const SOURCES: usize = 8;
const SOURCE: usize = 40;

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let word = match asked.words {
        [] => "today",
        [word] => word.as_str(),
        _ => return Ok(Said::usage(&COMMAND)),
    };
    let Some((name, days)) = PERIODS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)) else {
        return sender(asked, word).await;
    };
    let zone = &asked.relay.settings.zone;
    let now = Timestamp::now();
    let since = midnight(&now.to_zoned(zone.clone()), *days).unwrap_or(now);
    // What was accepted while this was typed counts: the database's clock may be ahead.
    let until = now.checked_add(Span::new().minutes(1)).unwrap_or(now);
    let stats = asked.turn.stats(since, until).await?;
    let title = format!("{name}, since {}", moment(since, zone));
    Ok(Said::done(cut(&station(&title, &stats), LONGEST)))
}

/// The midnight with which a day began, so many days before.
fn midnight(now: &Zoned, days: i32) -> Option<Timestamp> {
    let day = now.date().checked_sub(Span::new().days(days)).ok()?;
    Some(day.to_zoned(now.time_zone().clone()).ok()?.timestamp())
}

fn station(title: &str, stats: &Stats) -> String {
    let mut lines = vec![format!("{title}: {}", count(stats.messages, "message"))];
    if stats.messages > 0 {
        let named = stats.sources.iter().take(SOURCES);
        let mut sources: Vec<String> = named
            .clone()
            .map(|(source, n)| format!("{} {n}", cut(source.strip_prefix("source.").unwrap_or(source), SOURCE)))
            .collect();
        let others = stats.messages - named.map(|(_, n)| n).sum::<i64>();
        if others > 0 {
            sources.push(format!("others {others}"));
        }
        lines.push(format!("From: {}", sources.join(", ")));
        let states: Vec<String> = stats.states.iter().map(|(state, n)| format!("{} {n}", spoken(state))).collect();
        lines.push(format!("State: {}", states.join(", ")));
    }
    if let (Some(median), Some(worst)) = (stats.median_ms, stats.worst_ms) {
        lines.push(format!("Wait: median {}, worst {}", wait(median), wait(worst)));
    }
    lines.push(format!("API errors: {}", stats.api_errors));
    lines.join("\n")
}

async fn sender(asked: &Asked<'_>, uid: &str) -> Result<Said, StoreError> {
    let (message, note) = match meant(asked, uid).await? {
        Ok(meant) => meant,
        // No uid of ours is without a digit, or hardly one: that was a word.
        Err(_) if !uid.bytes().any(|b| b.is_ascii_digit()) => return Ok(Said::usage(&COMMAND)),
        Err(said) => return Ok(said),
    };
    let Some((hash, sealed)) = asked.turn.sender(&message.uid).await? else {
        let (uid, source) = (&message.short_uid, &message.source);
        return Ok(Said::none(format!("{uid} came from {source}, and names no sender.{note}")));
    };
    let sender = sealed.and_then(|sealed| asked.relay.open_sender(&message.uid, &sealed));
    let who = sender.map_or_else(|| "somebody who was erased".to_owned(), |sender| masked(&sender.address));
    let stats = asked.turn.sender_stats(&hash).await?;
    let media = asked.turn.sender_media(&hash).await?;
    let pictures: usize = media.iter().map(|(uid, sealed)| asked.relay.count_media(uid, sealed)).sum();
    let quarters = asked.turn.sender_quarters(&hash).await?;
    let zone = &asked.relay.settings.zone;
    let text = format!("{}: {who}\n{}{note}", message.short_uid, of_sender(&stats, pictures, &quarters, zone));
    Ok(Said::done(cut(&text, LONGEST)))
}

fn of_sender(stats: &SenderStats, pictures: usize, quarters: &[(Timestamp, i64)], zone: &TimeZone) -> String {
    let shown = |at: Option<Timestamp>| at.map_or_else(String::new, |at| moment(at, zone));
    let mut text = format!(
        "{}, {}; first {}, last {}\n{} refused, {} sent while banned",
        count(stats.messages, "message"),
        count(i64::try_from(pictures).unwrap_or(i64::MAX), "picture"),
        shown(stats.first),
        shown(stats.last),
        stats.refused,
        stats.banned
    );
    if let Some((hour, n)) = busiest(quarters, zone) {
        text += &format!("\nBusiest from {hour:02}:00 to {:02}:00: {}", (hour + 1) % 24, count(n, "message"));
    }
    text
}

/// The hour of the day, as clocks of the zone show it, in which most messages came, and how many; of equals the earliest.
fn busiest(quarters: &[(Timestamp, i64)], zone: &TimeZone) -> Option<(usize, i64)> {
    let mut hours = [0; 24];
    for (at, n) in quarters {
        *hours.get_mut(usize::try_from(zone.to_datetime(*at).hour()).ok()?)? += n;
    }
    let most = hours.iter().copied().max().filter(|most| *most > 0)?;
    Some((hours.iter().position(|n| *n == most)?, most))
}

fn spoken(state: &str) -> String {
    state.replace('_', " ")
}

/// A wait in the unit in which people would say it.
fn wait(ms: i64) -> String {
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..100_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        100_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(longest - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn a_period_begins_at_midnight_also_over_a_change_of_the_clocks() {
        // Clocks went back on November 1.
        let now: Timestamp = "2026-11-03T01:30:00Z".parse().unwrap();
        let now = now.to_zoned(zone("America/New_York"));
        let since = |days| midnight(&now, days).unwrap().to_string();
        assert_eq!(since(0), "2026-11-02T05:00:00Z");
        assert_eq!(since(6), "2026-10-27T04:00:00Z");
        assert_eq!(since(29), "2026-10-04T04:00:00Z");
    }

    #[test]
    fn the_busiest_hour_is_one_of_the_zones_clocks() {
        let at = |text: &str, n: i64| (text.parse::<Timestamp>().unwrap(), n);
        let quarters = [at("2026-07-01T01:00:00Z", 2), at("2026-12-01T02:45:00Z", 2), at("2026-07-01T05:00:00Z", 3)];
        // Nine in the evening, in summer and in winter.
        assert_eq!(busiest(&quarters, &zone("America/New_York")), Some((21, 4)));
        assert_eq!(busiest(&quarters[2..], &zone("Asia/Kathmandu")), Some((10, 3)), "at a quarter to eleven");
        assert_eq!(busiest(&[], &TimeZone::UTC), None);
    }

    #[test]
    fn waits_are_said_in_the_unit_that_fits() {
        let said = [0, 999, 1049, 99_999, 100_000, 7_200_000, 172_800_000].map(wait);
        assert_eq!(said, ["0 ms", "999 ms", "1.0 s", "99.9 s", "1 min", "2 h", "2 days"]);
    }

    #[test]
    fn however_many_and_long_the_sources_are_it_is_one_short_post() {
        let long = |n: i64| (format!("source.{}", "x".repeat(190)), n);
        let states = crate::delivery::DeliveryState::ALL.map(|state| (state.as_str().to_owned(), i64::MAX / 100));
        let stats = Stats {
            messages: i64::MAX / 2,
            sources: (0..100).map(long).collect(),
            states: states.into(),
            waited: 1,
            median_ms: Some(i64::MAX),
            worst_ms: Some(i64::MAX),
            api_errors: i64::MAX,
        };
        let text = station("month, since Nov 1, 00:00", &stats);
        assert!(text.chars().count() <= LONGEST && text.contains("others "), "{text}");
        assert_eq!(cut("äöü", 2), "ä…");
    }
}
