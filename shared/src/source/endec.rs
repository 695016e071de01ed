//! The emergency-alert decoder: which alert, where, from when until when, and the alert's own words, never cut.
use super::{Envelope, Format, Machine, Reading, Unreadable, remark};
use crate::alarm::{Alarm, local_moment, minutes, moment, span};
use crate::json::Object;
use crate::text::Text;

pub(super) const FORMAT: Format = Format { name: "endec", takes, read, machine: Some(&MACHINE) };

const MACHINE: Machine = Machine { key: "notification.wbor-endec", fields: &["eas_data", "message_text"] };

/// Codes of events that are tests: what comes each week must not look like a tornado.
const TESTS: [&str; 6] = ["DMO", "NAT", "NPT", "NST", "RMT", "RWT"];

fn takes(envelope: &Envelope<'_>, object: &Object) -> bool {
    MACHINE.takes(envelope, object)
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    MACHINE.alarm(envelope, object, write)
}

fn write(envelope: &Envelope<'_>, object: &Object) -> Text {
    let alert = object.first_object("eas_data");
    let code = alert.word("event");
    // The decoder calls an event that is not in its table so.
    let name = alert.word("event_name").filter(|name| name != "Unknown");
    let sign = if code.as_ref().is_some_and(|code| TESTS.contains(&code.as_str())) { "🔔" } else { "🚨" };
    let title = match (name, code) {
        (Some(name), _) => format!("{sign} {name}"),
        (None, Some(code)) => format!("{sign} Emergency alert {code}"),
        (None, None) => format!("{sign} Emergency alert"),
    };
    let (time, when) = valid(envelope, object, &alert);
    Alarm::titled(&title)
        .line("Where", places(&alert))
        .line(time, when)
        .line("From", sender(&alert))
        .paragraph(object.lines("message_text").or_else(|| alert.word("raw_header")))
        .words(object.lines("eas_data"))
        .words(remark(object))
        .text()
}

/// The places by name; by code where the decoder knew no name.
fn places(alert: &Object) -> Option<String> {
    let names = alert.words("locs");
    let places = if names.is_empty() { alert.words("raw_locs") } else { names };
    Some(places.join("; ")).filter(|places| !places.is_empty())
}

/// From when until when, and what to call it.
fn valid(envelope: &Envelope<'_>, object: &Object, alert: &Object) -> (&'static str, Option<String>) {
    let zone = envelope.zone;
    let start = alert.word("start_utc");
    let lasts = lasts(alert);
    if let (Some(start), Some(lasts)) = (&start, lasts)
        && let Some(span) = span(start, lasts, zone)
    {
        return ("Valid", Some(span));
    }
    let said = start.map(|start| moment(&start, zone));
    let said = said.or_else(|| alert.word("timestamp_local").map(|local| local_moment(&local, zone)));
    match (said, lasts) {
        (Some(since), Some(lasts)) => ("Valid", Some(format!("{since}, for {}", minutes(lasts)))),
        (Some(since), None) => ("Since", Some(since)),
        (None, _) => ("Received", object.word("timestamp_processed_utc").map(|at| moment(&at, zone))),
    }
}

/// For how many minutes it holds; the header has hours and minutes in four digits.
fn lasts(alert: &Object) -> Option<i64> {
    let told = alert.word("duration_minutes").and_then(|told| told.parse().ok());
    let header = || {
        let raw = alert.word("duration_raw").filter(|raw| raw.len() == 4)?.parse::<i64>().ok()?;
        Some(raw / 100 * 60 + raw % 100)
    };
    told.or_else(header).filter(|minutes| *minutes > 0)
}

/// Who gave the alert, and the station that sent it.
fn sender(alert: &Object) -> Option<String> {
    let org = alert.word("org").or_else(|| alert.word("org_raw"));
    match (org, alert.word("sender")) {
        (Some(org), Some(station)) => Some(format!("{org} ({station})")),
        (org, station) => org.or(station),
    }
}
