//! What there is to see: one line for each file in `events/`, in the order in which they are sent.

/// An event and what to look for.
pub(super) struct Exhibit {
    /// The file, without `.json`.
    pub(super) name: &'static str,
    /// What it is, as a sentence.
    pub(super) what: &'static str,
    /// What to look for, as another.
    pub(super) look: &'static str,
}

/// A line of the table.
const fn show(name: &'static str, what: &'static str, look: &'static str) -> Exhibit {
    Exhibit { name, what, look }
}

/// All that there is. Pairs stand in the order in which their second is a duplicate.
pub(super) const EXHIBITS: &[Exhibit] = &[
    show("http-health", "Is the relay well?", "`{\"status\":\"ok\"}` in the answer, nothing in the page."),
    show(
        "http-send",
        "A script sends by HTTP.",
        "In the page: \"Signal lost on the main stream\", in quotes, its short uid below.",
    ),
    show(
        "http-bots-post",
        "AzuraCast's webhook posts as if this were GroupMe; its bot_id is a send key.",
        "In the page: what is playing now, \"Só Danço Samba\".",
    ),
    show(
        "http-callback",
        "GroupMe tells of a line that a member typed, `!ping`.",
        "In the page: pong (without the `!ping`: GroupMe alone was told it).",
    ),
    show("standard", "A message of a program, over RabbitMQ.", "In the page: \"The transmitter link is back.\""),
    show(
        "standard-bare",
        "A message from a shell, without uid or source.",
        "In the page: its words, with a uid that we gave it.",
    ),
    show(
        "standard-numeric-uid",
        "The other spelling, `text` for the words, and a number for a uid.",
        "In the page: its words, and the number below.",
    ),
    show(
        "standard-half-a-surrogate-pair",
        "Half an emoji, as Python writes it.",
        "In the page: \"cut short\" and one replacement character.",
    ),
    show(
        "standard-pictures",
        "A camera's pictures, no words, one address empty.",
        "In the page: two pictures, then a line that counts them.",
    ),
    show(
        "standard-all-fields",
        "A message that names a room that is not configured.",
        "Nothing in the page: kept, with the verdict `rejected`.",
    ),
    show("twilio-sms-incoming", "A listener's text.", "In the page: \"Who sang that last one?\" with a heart."),
    show(
        "twilio-sms-incoming-pictures",
        "A listener's picture and film, no words.",
        "In the page: a picture, a line that counts it, and a notice about the film.",
    ),
    show(
        "twilio-sms-incoming-empty",
        "A listener's text that says nothing.",
        "Nothing in the page: `no_body` among the rejected.",
    ),
    show(
        "twilio-sms-outgoing",
        "What the station texted a listener.",
        "Nothing in the page: blocked by its route, stored sealed.",
    ),
    show("twilio-call-events", "A phone call ended.", "Nothing in the page: blocked by its route."),
    show("twilio-voice-intelligence", "A transcript is ready.", "Nothing in the page: blocked by its route."),
    show("twilio-ban", "A manager bans a number.", "Nothing in the page, until `!bans` is typed there."),
    show("twilio-unban", "A manager lets a banned number in again.", "Nothing in the page: `!bans` lists it no more."),
    show(
        "ups-onbattery",
        "The power fails.",
        "In the page, before whatever waits: ⚡ which UPS, where, since when, and how long its battery lasts.",
    ),
    show("ups-fifteen", "The UPS has run on its battery for 15 minutes.", "In the page: 🔋 that it still does."),
    show(
        "ups-fifteen-update",
        "The same of another UPS, in summer time and other words.",
        "In the page: 🔋 the time with EDT.",
    ),
    show("ups-offbattery", "The power is back.", "In the page: 🔌 that it is."),
    show(
        "ups-summer",
        "A power failure in summer, by a UPS that cannot tell how long its battery lasts.",
        "In the page: ⚡ the time with EDT, and \"Unavailable\".",
    ),
    show(
        "ups-odd-fields",
        "A UPS that fills its fields with what does not belong there.",
        "In the page: ⚡ an alarm all the same, with what can be read.",
    ),
    show("ups-body-only", "Words to the exchange of the UPS, in no format of a UPS.", "In the page: the words."),
    show(
        "ups-says-nothing",
        "A UPS that says neither what nor where.",
        "Nothing in the page: `no_body` among the rejected.",
    ),
    show(
        "emergency-alert",
        "A weekly test of the emergency-alert system.",
        "In the page: 🔔 what, where, from when to when, from whom, and its text.",
    ),
    show("emergency-alert-summer", "A tornado warning.", "In the page: 🚨 likewise, and what to do."),
    show(
        "emergency-alert-without-header",
        "An alert of which only the text is known.",
        "In the page: 🚨 the text, and when it came.",
    ),
    show(
        "failsafe-status",
        "The studio failsafe switched to source B.",
        "In the page: 🔀 what is on the air now, and what was before.",
    ),
    show("failsafe-status-back", "And back to source A, during a show.", "In the page: 🔀 the show with its name."),
    show(
        "groupme-msg",
        "The record of a post that a producer made itself.",
        "Nothing in the page: a message with the verdict `already_sent`, and a row in api_calls.",
    ),
    show(
        "groupme-msg-picture",
        "The record of a picture that a producer posted itself.",
        "Nothing in the page: a message with the verdict `already_sent`.",
    ),
    show("groupme-img", "The record of an upload.", "Nothing in the page: a row in api_calls."),
    show(
        "groupme-callback",
        "The record of a callback that another program got.",
        "Nothing in the page: a row in api_calls.",
    ),
    show(
        "groupme-dashboard",
        "The record of what a manager typed in the dashboard.",
        "Nothing in the page: blocked by its route.",
    ),
    show(
        "producer-already-sent",
        "The station's producer says that it has posted this.",
        "Nothing in the page: verdict `already_sent`.",
    ),
    show(
        "producer-original",
        "A producer that would post by itself, were it not answered in time.",
        "In the page: \"The transmitter link is back.\"",
    ),
    show(
        "producer-record",
        "A producer that had no answer in time says that it has posted its message.",
        "Nothing in the page: a row in api_calls.",
    ),
    show("standard-empty", "A message that says nothing.", "Nothing in the page: `no_body` among the rejected."),
    show("standard-bad-uid", "A uid with spaces.", "Nothing in the page: `bad_uid` among the rejected."),
    show("not-an-object", "JSON, but a list.", "Nothing in the page: `not_an_object` among the rejected."),
    show("not-json", "No JSON at all.", "Nothing in the page: `not_json` among the rejected."),
    show(
        "amazon-mq-listener-text",
        "Lambda's event with the same listener's text: it came by another door already.",
        "Nothing new in the page: a duplicate (sent alone it is shown).",
    ),
    show(
        "amazon-mq-headers-null",
        "Amazon MQ's event where there are no headers.",
        "Nothing in the page: `no_key` among the rejected, twice.",
    ),
    show(
        "amazon-mq-priority-null",
        "Amazon MQ's event where there is no priority.",
        "Nothing in the page: `no_key` among the rejected.",
    ),
    show(
        "amazon-mq-expiration-number",
        "Amazon MQ's event where a number stands for a text.",
        "Nothing in the page: `no_key` among the rejected.",
    ),
    show(
        "migrate",
        "The function that sets up database and broker.",
        "`\"applied\":[]` in the answer: nothing was left to do.",
    ),
    show("schedule", "The minute's tick.", "Nothing in the page, unless something was due."),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::demo::{
        event::Event,
        events,
        fresh::{Fresh, Here},
    };

    #[test]
    fn every_event_is_shown_once_and_can_be_sent() {
        let here = Here::read(&serde_json::json!({
            "chat_url": "http://127.0.0.1:1/", "callback_url": "/x", "send_key": "k", "group_id": "1",
        }));
        let mut fresh = Fresh::new(here.unwrap());
        let mut shown = BTreeSet::new();
        for Exhibit { name, what, look } in EXHIBITS {
            assert!(shown.insert((*name).to_owned()), "{name} is shown twice");
            assert!(what.ends_with(['.', '?']) && look.trim_end_matches('"').ends_with('.'), "{name}: two sentences");
            let event = Event::read(&events().join(format!("{name}.json")), &mut fresh);
            assert!(event.is_ok(), "{name}: {:?}", event.err());
        }
        let files = fs::read_dir(events()).unwrap().flatten().map(|file| file.path());
        let names = files.map(|file| file.file_stem().unwrap().to_string_lossy().into_owned());
        // Replies are what we say to producers: they never arrive here.
        let files: BTreeSet<String> = names.filter(|name| !name.starts_with("producer-reply-")).collect();
        let missing: Vec<_> = files.difference(&shown).collect();
        assert!(missing.is_empty(), "give these a line in infra/xtask/src/demo/table.rs: {missing:?}");
    }
}
