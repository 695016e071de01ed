//! The routing key that a payload tells of itself, where no header names one: the last answer of four, and good enough
//! for every payload we know (see `events/`).
use crate::json::{self, Object};
use crate::route::RoutingKey;

/// Who may know, in the order they are asked; the first answer counts.
const TELLERS: [fn(&Object) -> Option<String>; 5] = [record, twilio, alarm, named, standard];

/// The routing key a payload tells of itself; `None` if it is no JSON object or tells nothing.
#[must_use]
pub fn key_from_body(body: &[u8]) -> Option<RoutingKey> {
    let object = Object::new(json::parse(body).ok()?)?;
    let told = TELLERS.iter().find_map(|tell| tell(&object))?;
    RoutingKey::parse(&told).ok()
}

/// A producer's own call to GroupMe: only such a payload has a bot id. Asked first, because the rest of it may look
/// like any other message, and that would be posted once more.
fn record(object: &Object) -> Option<String> {
    object.get("bot_id")?;
    let source = object.word("source").unwrap_or_default();
    let kind = object.word("type").unwrap_or_default();
    let called = object.get("code").or(object.get("statuscode")).is_some();
    if source == "groupme.callback" {
        Some("source.groupme.callback".to_owned())
    } else if kind == "img" || object.get("raw_img").is_some() {
        Some("source.groupme.img".to_owned())
    } else if kind == "log" || called {
        Some("source.groupme.msg".to_owned())
    } else {
        None
    }
}

/// Twilio's front end; bans name no source.
fn twilio(object: &Object) -> Option<String> {
    if object.get("ban_number").is_some() {
        return Some("source.twilio.ban".to_owned());
    }
    if object.get("unban_number").is_some() {
        return Some("source.twilio.unban".to_owned());
    }
    let incoming = object.get("From").is_some() && object.word("SmsStatus").as_deref() == Some("received");
    match (object.word("source").as_deref(), object.word("type")) {
        (Some("twilio"), Some(kind)) => Some(format!("source.twilio.{kind}")),
        (None | Some("twilio"), None) if incoming => Some("source.twilio.sms.incoming".to_owned()),
        _ => None,
    }
}

/// The station's machines: UPS, emergency-alert decoder, studio failsafe. Each has an exchange of its own.
fn alarm(object: &Object) -> Option<String> {
    // The scripts of the UPS name the key in the payload. Only their own counts: a record's key in this place must not
    // keep an alarm from being posted.
    let own = object.word("routing_key").filter(|key| key.starts_with("notification.ups."));
    if own.is_some() || object.get("ups_name").is_some() {
        let event = || object.word("event_type").map_or(String::new(), |event| format!(".{event}"));
        return own.or_else(|| Some(format!("notification.ups{}", event())));
    }
    if object.get("eas_data").is_some() || object.word("source").as_deref() == Some("wbor-endec") {
        return Some("notification.wbor-endec".to_owned());
    }
    let failsafe = object.get("source_application").is_some()
        && (object.get("active_source").is_some() || object.word("event_type").as_deref() == Some("source_change"));
    failsafe.then(|| "notification.failsafe-status".to_owned())
}

/// Anything that names its source: a whole key, or the words after `source.`.
fn named(object: &Object) -> Option<String> {
    let source = object.word("source")?;
    if is_whole(&source) {
        return Some(source);
    }
    let kind = object.word("type").map(|kind| format!(".{kind}")).unwrap_or_default();
    Some(format!("source.{source}{kind}"))
}

/// Whether it is a key as it stands; of other names only the words after `source.` are told.
fn is_whole(name: &str) -> bool {
    name.starts_with("source.") || name.starts_with("notification.")
}

/// The source that a record names: a whole key, or the words after `source.`. What GroupMe is called there names none.
pub(crate) fn source_named(name: &str) -> Option<RoutingKey> {
    if is_whole(name) {
        return RoutingKey::parse(name).ok();
    }
    if name.starts_with("groupme") {
        return None;
    }
    RoutingKey::parse(&format!("source.{name}")).ok()
}

/// What a record calls a source: without its `source.`, as the station's programs do, unless that would name another.
#[must_use]
pub fn name_of(source: &str) -> &str {
    let short = source.strip_prefix("source.");
    short.filter(|name| source_named(name).is_some_and(|key| key.as_str() == source)).unwrap_or(source)
}

/// Something to say, without a name.
fn standard(object: &Object) -> Option<String> {
    let says = ["body", "text", "images"].iter().any(|field| object.get(field).is_some());
    says.then(|| "source.standard".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_calls_each_source_so_that_it_is_found_again() {
        for (source, name) in [
            ("source.standard", "standard"),
            ("source.twilio.sms.incoming", "twilio.sms.incoming"),
            ("notification.ups.onbattery", "notification.ups.onbattery"),
            ("source.notification.ups", "source.notification.ups"),
            ("source.source.ups", "source.source.ups"),
            ("source.groupme.other", "source.groupme.other"),
        ] {
            assert_eq!(name_of(source), name);
            assert_eq!(source_named(name).unwrap().as_str(), source);
        }
        assert_eq!(source_named("groupme.callback"), None);
        assert_eq!(source_named(&"x".repeat(250)), None);
    }
}
