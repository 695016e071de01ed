//! A UPS tells that the power failed, that it is back, or that fifteen minutes have passed without it: what its scripts
//! publish, read as people need it at night. Any other event is said by its name.
use super::{Envelope, Format, Machine, Reading, Unreadable, remark};
use crate::alarm::{Alarm, minutes, moment, spoken};
use crate::json::Object;
use crate::text::Text;

pub(super) const FORMAT: Format = Format { name: "ups", takes, read, machine: Some(&MACHINE) };

const MACHINE: Machine =
    Machine { key: "notification.ups", fields: &["ups_name", "event_type", "hostname", "data", "status"] };

fn takes(envelope: &Envelope<'_>, object: &Object) -> bool {
    MACHINE.takes(envelope, object)
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    MACHINE.alarm(envelope, object, write)
}

/// An event that we have words for.
struct Known {
    /// How its names begin, in lower case and without anything between the words: the key says `fifteen` where the
    /// payload says `fifteen_minute_update`.
    name: &'static str,
    title: &'static str,
    /// What its timestamp is: for the follow-up, not when the power went.
    time: &'static str,
}

const KNOWN: [Known; 3] = [
    Known { name: "onbattery", title: "⚡ On battery", time: "Since" },
    Known { name: "offbattery", title: "🔌 Power is back", time: "Since" },
    Known { name: "fifteen", title: "🔋 Still on battery after 15 minutes", time: "At" },
];

fn write(envelope: &Envelope<'_>, object: &Object) -> Text {
    let data = object.object("data");
    let from_key = envelope.key.as_str().strip_prefix("notification.ups.").unwrap_or("").to_owned();
    let names: Vec<String> = [Some(from_key), object.word("event_type")].into_iter().flatten().collect();
    let known = names.iter().find_map(|name| known(name));
    let ups = object.word("ups_name").map(|name| named(&name));
    let title = match (known, names.iter().find(|name| !name.trim().is_empty())) {
        (Some(known), _) => format!("{}: {}", known.title, ups.unwrap_or_else(|| "UPS".to_owned())),
        (None, Some(event)) => format!("⚡ {}: {}", ups.unwrap_or_else(|| "UPS".to_owned()), spoken(event)),
        (None, None) => format!("⚡ {}", ups.unwrap_or_else(|| "UPS".to_owned())),
    };
    let word = |field: &str| data.word(field).or_else(|| object.word(field));
    Alarm::titled(&title)
        .line("Where", object.word("hostname"))
        .line(known.map_or("At", |known| known.time), at(envelope, object))
        .line("Battery left", word("timeleft").map(|left| battery(&left)))
        // For an event that we know the status says the same in other words.
        .line("Status", word("status").filter(|_| known.is_none()))
        .words(word("message").or_else(|| object.word("data")))
        .words(remark(object))
        .text()
}

fn known(name: &str) -> Option<&'static Known> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    KNOWN.iter().find(|known| plain.starts_with(known.name))
}

/// Most are called `UPS-2` already.
fn named(name: &str) -> String {
    if name.to_lowercase().contains("ups") { name.to_owned() } else { format!("UPS {name}") }
}

fn at(envelope: &Envelope<'_>, object: &Object) -> Option<String> {
    object.word("timestamp_utc").map(|told| moment(&told, envelope.zone))
}

/// `apcaccess` says `41.0 Minutes`; a bare number is minutes too. Rounded down: a battery is never said to last longer
/// than it told. What is none of these (`Unavailable`) is said as it came.
fn battery(told: &str) -> String {
    let unit = told.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(told.len());
    let seconds = match told[unit..].trim().to_lowercase().as_str() {
        "" | "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        _ => return told.to_owned(),
    };
    match told[..unit].parse::<f64>().map(|number| number * seconds / 60.0) {
        Ok(number) if number < 1.0 => "less than a minute".to_owned(),
        Ok(number) if number < 100_000.0 => whole(number),
        _ => told.to_owned(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "between 1 and 100,000")]
fn whole(number: f64) -> String {
    minutes(number.floor() as i64)
}
