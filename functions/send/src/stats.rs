//! `GET /stats`: how many messages of a time came from where and stand where, how long they waited, what went wrong.
use jiff::{SignedDuration, Timestamp};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use talkback::relay::Relay;
use talkback::store::stats::Stats;

use crate::answer;
use crate::key;
use crate::problem::{Fault, Problem};

/// The time that is told of where none is asked for.
const USUAL: SignedDuration = SignedDuration::from_hours(24);

/// The longest time that can be asked for.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);

/// What happened in a time.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StatsDocument {
    /// Messages that were accepted from then on,
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::moment"))]
    from: String,
    /// and before then.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::moment"))]
    to: String,
    /// How many.
    messages: i64,
    /// How many came from where, most first; the hundred sources with most.
    sources: Vec<OfSource>,
    /// How many stand where, most first.
    states: Vec<InState>,
    /// How long they waited.
    wait: Wait,
    /// Posts to a chat that were tried in that time and did not succeed, of whichever message.
    api_errors: i64,
}

/// How many messages came from a source.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct OfSource {
    /// Its routing key, with its leading `source.`.
    source: String,
    /// How many.
    messages: i64,
}

/// How many messages stand in a state.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct InState {
    /// The verdict, or of an accepted message the state of its delivery that is least far.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::message_state"))]
    state: String,
    /// How many.
    messages: i64,
}

/// How long messages waited: from their acceptance until the chat's first answer that a part of them is posted was
/// written down. Not known of what was not posted, of what its producer posted, and where the answer was lost.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Wait {
    /// Of how many messages it is known.
    messages: i64,
    /// The middle one, in milliseconds, to within 5 %; null where none is known.
    median_ms: Option<i64>,
    /// The longest, in milliseconds.
    worst_ms: Option<i64>,
}

/// Tells of the time from `?from=` until before `?to=`.
///
/// # Errors
/// 400 naming what is no time or none that can be told of, 401, 503.
pub(crate) async fn stats(relay: &Relay, request: &Request) -> Result<Response<Body>, Problem> {
    key::known(&relay.settings.send_keys, key::bearer(request.headers())?)?;
    let (from, to) = span(request.uri().query().unwrap_or_default(), Timestamp::now()).map_err(Problem::faults)?;
    let stats = relay.store.stats(from, to).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "statistics not read");
        Problem::unreadable()
    })?;
    Ok(answer::json(StatusCode::OK, &document(from, to, stats)))
}

fn document(from: Timestamp, to: Timestamp, stats: Stats) -> StatsDocument {
    let sources = stats.sources.into_iter().map(|(source, messages)| OfSource { source, messages });
    let states = stats.states.into_iter().map(|(state, messages)| InState { state, messages });
    StatsDocument {
        from: from.to_string(),
        to: to.to_string(),
        messages: stats.messages,
        sources: sources.collect(),
        states: states.collect(),
        wait: Wait { messages: stats.waited, median_ms: stats.median_ms, worst_ms: stats.worst_ms },
        api_errors: stats.api_errors,
    }
}

/// The time that is asked for.
fn span(query: &str, now: Timestamp) -> Result<(Timestamp, Timestamp), Vec<Fault>> {
    let mut faults = Vec::new();
    let [from, to] = ["from", "to"].map(|name| {
        time(query, name).unwrap_or_else(|what| {
            faults.push((name.to_owned(), what.to_owned()));
            None
        })
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let wrong = |field: &str, what: &str| Err(vec![(field.to_owned(), what.to_owned())]);
    let to = to.unwrap_or(now);
    // The one that was given is the one that is wrong.
    let Some(from) = from.map_or_else(|| to.checked_sub(USUAL).ok(), Some) else {
        return wrong("to", "must not be before 1970");
    };
    let name = if query_value(query, "from").is_some() { "from" } else { "to" };
    match () {
        () if from >= to => wrong("from", "must be before `to`, which is now if it is left out"),
        () if from < Timestamp::UNIX_EPOCH => wrong(name, "must not be before 1970"),
        () if to.duration_since(from) > LONGEST => wrong("from", "must be at most 366 days before `to`"),
        () => Ok((from, to)),
    }
}

/// A time of the query; `None` where it is not there.
fn time(query: &str, name: &str) -> Result<Option<Timestamp>, &'static str> {
    let Some(value) = query_value(query, name) else { return Ok(None) };
    let value = percent_decode_str(value).decode_utf8_lossy();
    match value.parse() {
        Ok(time) if query.split('&').filter(|pair| pair.split('=').next() == Some(name)).count() == 1 => Ok(Some(time)),
        Ok(_) => Err("must be there once"),
        Err(_) => Err("must be a time as RFC 3339 has it, such as 2026-11-20T18:00:00Z"),
    }
}

fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).find(|(n, _)| *n == name).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T18:00:00Z";

    fn asked(query: &str) -> Result<(String, String), Vec<String>> {
        let times = span(query, NOW.parse().unwrap());
        times
            .map(|(from, to)| (from.to_string(), to.to_string()))
            .map_err(|faults| faults.into_iter().map(|(field, _)| field).collect())
    }

    #[test]
    fn what_is_left_out_is_the_last_24_hours() {
        let span = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(asked(""), span("2026-11-19T18:00:00Z", NOW));
        assert_eq!(asked("other=1"), span("2026-11-19T18:00:00Z", NOW));
        assert_eq!(asked("from=2026-11-20T00:00:00-05:00"), span("2026-11-20T05:00:00Z", NOW));
        assert_eq!(asked("to=2026-11-02T00%3A00%3A00%2B00:00"), span("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"));
        // As it is often written, though a form would mean a blank.
        assert_eq!(asked("to=2026-11-02T01:00:00+01:00"), span("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"));
        assert!(asked("from=2025-11-20T18:00:00Z").is_ok(), "a year");
    }

    #[test]
    fn a_wrong_time_is_named() {
        let fields = |fields: &[&str]| Err(fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>());
        for (query, named) in [
            ("from=yesterday", &["from"][..]),
            ("from=", &["from"]),
            ("from", &["from"]),
            ("to=1795197600", &["to"]),
            ("from=x&to=2026-11-20", &["from", "to"]),
            ("from=2026-11-20T18:00:00", &["from"]),
            ("from=2026-11-20T18:00:00Z", &["from"]),
            ("from=2026-11-21T18:00:00Z", &["from"]),
            ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", &["from"]),
            ("from=2025-11-19T17:59:59Z", &["from"]),
            ("from=1969-12-31T00:00:00Z&to=1970-06-01T00:00:00Z", &["from"]),
            ("to=1969-06-01T00:00:00Z", &["to"]),
            ("to=-009999-01-02T01:00:00Z", &["to"]),
            ("from=2026-11-01T00:00:00Z&from=2026-11-02T00:00:00Z", &["from"]),
        ] {
            assert_eq!(asked(query), fields(named), "{query}");
        }
    }
}
