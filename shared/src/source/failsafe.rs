//! The studio failsafe: which source is on the air now, and which was before. That the board fell silent is what people
//! must know; who was on, if the payload says, is whom they call.
use serde_json::Value;

use super::{Envelope, Format, Machine, Reading, Unreadable, remark};
use crate::alarm::{Alarm, moment, spoken};
use crate::json::Object;
use crate::text::Text;

pub(super) const FORMAT: Format = Format { name: "failsafe", takes, read, machine: Some(&MACHINE) };

const MACHINE: Machine = Machine {
    key: "notification.failsafe-status",
    fields: &["active_source", "previous_active_source", "event_type", "pin_name", "current_pin_state"],
};

fn takes(envelope: &Envelope<'_>, object: &Object) -> bool {
    MACHINE.takes(envelope, object)
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    MACHINE.alarm(envelope, object, write)
}

fn write(envelope: &Envelope<'_>, object: &Object) -> Text {
    let now = object.word("active_source").map(|word| source(&word));
    // Its other events are told by name; they change nothing on the air.
    let (changes, others): (Vec<String>, Vec<String>) =
        object.word("event_type").into_iter().partition(|event| event == "source_change");
    let event = others.first();
    let title = match (event, &now) {
        (Some(event), _) => format!("🔀 Studio failsafe: {}", spoken(event)),
        (None, Some(now)) => format!("🔀 On the air now: {now}"),
        (None, None) if changes.is_empty() => "🔀 Studio failsafe".to_owned(),
        (None, None) => "🔀 Studio failsafe: another source is on the air".to_owned(),
    };
    let pin = [object.word("pin_name"), level(object)].into_iter().flatten().collect::<Vec<_>>();
    let details = object.object("details");
    Alarm::titled(&title)
        .line("On the air", now.clone().filter(|_| event.is_some()))
        .line("Before", object.word("previous_active_source").map(|word| source(&word)))
        // The pin says which source it is where the payload does not.
        .line("Pin", Some(pin.join(" ")).filter(|_| now.is_none()))
        .line(
            if event.is_none() { "Since" } else { "At" },
            object.word("timestamp_utc").map(|told| moment(&told, envelope.zone)),
        )
        .line("Show", show(&details))
        .words(object.word("details"))
        .words(remark(object))
        .text()
}

/// The state of the pin as its notifier words it, whichever of these it tells.
fn level(object: &Object) -> Option<String> {
    match object.get("current_pin_state")? {
        Value::Bool(high) => Some(*high),
        Value::Number(number) => number.as_u64().filter(|level| *level <= 1).map(|level| level == 1),
        _ => None,
    }
    .map(|high| if high { "HIGH" } else { "LOW" }.to_owned())
    .or_else(|| object.word("current_pin_state"))
}

/// The inputs of the device are called A and B.
fn source(word: &str) -> String {
    if word.chars().count() == 1 { format!("source {word}") } else { word.to_owned() }
}

/// What should be on, and with whom: the playlist that the notifier looked up.
fn show(details: &Object) -> Option<String> {
    let title = details.object("playlist").word("title");
    let host = details.object("persona").word("name");
    match (title, host) {
        (Some(title), Some(host)) => Some(format!("{title}, with {host}")),
        (title, host) => title.or(host),
    }
}
