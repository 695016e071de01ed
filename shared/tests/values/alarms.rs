//! Alarms as people read them, to the letter; and that no odd field loses one.
use proptest::prelude::*;
use serde_json::{Value, json};
use talkback::source::{Reading, Unreadable, read};

use crate::events::{Event, message, names, reading};

/// Each alarm in `events/` and what the room is told of it.
const SAID: [(&str, &str); 12] = [
    (
        "emergency-alert",
        "🔔 Required Weekly Test\n\
         Where: Cumberland, ME\n\
         Valid: Fri Nov 20, 12:00 to 12:30 EST\n\
         From: National Weather Service (KGYX/NWS)\n\n\
         The National Weather Service has issued a Required Weekly Test for Cumberland, ME.",
    ),
    (
        "emergency-alert-summer",
        "🚨 Tornado Warning\n\
         Where: Cumberland, ME; Sagadahoc, ME\n\
         Valid: Sat Aug 1, 23:44 EDT to Sun Aug 2, 00:29 EDT\n\
         From: National Weather Service (KGYX/NWS)\n\n\
         The National Weather Service in Gray has issued a Tornado Warning.\n\n\
         At 11:41 PM EDT a tornado was seen near Freeport, moving east at 30 mph.\n\n\
         Take cover now. Move to a basement or an inner room on the lowest floor.",
    ),
    (
        "emergency-alert-without-header",
        "🚨 Emergency alert\n\
         Received: Fri Nov 20, 12:00 EST\n\n\
         Boil water in Brunswick until further notice.",
    ),
    ("failsafe-status", "🔀 On the air now: source B\nBefore: source A\nSince: Fri Nov 20, 12:30 EST"),
    (
        "failsafe-status-back",
        "🔀 On the air now: source A\n\
         Before: source B\n\
         Since: Sat Jul 4, 12:05 EDT\n\
         Show: Polar Mornings, with DJ Example",
    ),
    ("ups-body-only", "The battery of the rack is changed at noon."),
    (
        "ups-fifteen",
        "🔋 Still on battery after 15 minutes: UPS rack\n\
         Where: studio-a\n\
         At: Fri Nov 20, 12:20 EST\n\
         Battery left: 15 minutes\n\
         Fifteen minutes left.",
    ),
    (
        "ups-fifteen-update",
        "🔋 Still on battery after 15 minutes: UPS-2\n\
         Where: transmitter\n\
         At: Sat Jul 4, 00:14 EDT\n\
         Battery left: 26 minutes\n\
         The power is still out.",
    ),
    ("ups-odd-fields", "⚡ UPS 7: battery detached\nAt: some time ago\nBattery left: -1\nStatus: ONLINE"),
    (
        "ups-offbattery",
        "🔌 Power is back: UPS rack\n\
         Where: studio-a\n\
         Since: Fri Nov 20, 12:20 EST\n\
         Battery left: 38 minutes\n\
         Power has returned.",
    ),
    (
        "ups-onbattery",
        "⚡ On battery: UPS rack\n\
         Where: studio-a\n\
         Since: Fri Nov 20, 12:20 EST\n\
         Battery left: 41 minutes\n\
         Power failure. Running on UPS batteries.",
    ),
    (
        "ups-summer",
        "⚡ On battery: UPS-2\n\
         Where: transmitter\n\
         Since: Fri Jul 3, 23:59 EDT\n\
         Battery left: Unavailable\n\
         Power failure. Running on UPS batteries.",
    ),
];

pub(crate) const KEYS: [&str; 5] = [
    "notification.ups",
    "notification.ups.onbattery",
    "notification.ups.battery_detached",
    "notification.wbor-endec",
    "notification.failsafe-status",
];

pub(crate) fn said(key: &str, body: Value) -> String {
    message(reading(key, false, body.to_string().as_bytes())).body.as_str().to_owned()
}

fn ups(data: Value) -> String {
    said("notification.ups.onbattery", json!({ "ups_name": "rack", "data": data }))
}

fn alert(alert: Value) -> String {
    said("notification.wbor-endec", json!({ "eas_data": alert }))
}

#[test]
fn every_alarm_is_said_as_people_read_it() {
    for (name, want) in SAID {
        assert_eq!(message(read(Event::load(name).envelope())).body.as_str(), want, "{name}");
    }
}

#[test]
fn no_alarm_is_forgotten() {
    for name in names() {
        let event = Event::load(&name);
        if event.key.as_str().starts_with("notification.") && read(event.envelope()).is_ok() {
            assert!(SAID.iter().any(|(said, _)| *said == name), "{name} is in events/ and not in the table here");
        }
    }
}

#[test]
fn how_long_the_battery_lasts_is_said_in_whole_minutes_and_never_as_more_than_it_told() {
    for (told, want) in [
        (json!("41.0 Minutes"), "41 minutes"),
        (json!("1.9 Minutes"), "1 minute"),
        (json!("0.4 Minutes"), "less than a minute"),
        (json!(12), "12 minutes"),
        (json!(12.9), "12 minutes"),
        (json!("7"), "7 minutes"),
        (json!("90 Seconds"), "1 minute"),
        (json!("2 hours"), "2 hours"),
        (json!("1e9"), "1e9"),
        (json!("9".repeat(400)), &"9".repeat(400)),
        (json!("Unavailable"), "Unavailable"),
    ] {
        let want = format!("⚡ On battery: UPS rack\nBattery left: {want}");
        assert_eq!(ups(json!({ "timeleft": told })), want);
    }
    for told in [json!(null), json!(""), json!(["41"]), json!({ "minutes": 41 }), json!(true)] {
        assert_eq!(ups(json!({ "timeleft": told })), "⚡ On battery: UPS rack");
    }
}

#[test]
fn an_event_of_a_ups_that_we_do_not_know_is_said_by_its_name() {
    assert_eq!(said("notification.ups.commlost", json!({ "ups_name": "UPS-2" })), "⚡ UPS-2: commlost");
    assert_eq!(
        said("notification.ups", json!({ "ups_name": "rack", "event_type": "self_test" })),
        "⚡ UPS rack: self test"
    );
    assert_eq!(said("notification.ups", json!({ "event_type": "OnBattery" })), "⚡ On battery: UPS");
    assert_eq!(said("notification.ups.x", json!({ "event_type": "offbattery" })), "🔌 Power is back: UPS");
    assert_eq!(said("notification.ups", json!({ "hostname": "studio-a" })), "⚡ UPS\nWhere: studio-a");
}

#[test]
fn a_test_of_the_alert_system_rings_and_every_other_event_alarms() {
    for code in ["DMO", "NAT", "NPT", "NST", "RMT", "RWT"] {
        assert_eq!(alert(json!({ "event": code })), format!("🔔 Emergency alert {code}"));
        assert_eq!(alert(json!({ "event": code, "event_name": "A Test" })), "🔔 A Test", "{code}");
    }
    for code in ["TOR", "EAN", "NIC", "RWTX", "RW", ""] {
        assert_eq!(alert(json!({ "event": code, "event_name": "No Test" })), "🚨 No Test", "{code}");
    }
    assert_eq!(alert(json!({ "event_name": "RWT" })), "🚨 RWT");
}

#[test]
fn an_alert_says_what_it_can_of_its_time() {
    let when = |fields: Value| alert(fields).strip_prefix("🚨 Emergency alert").unwrap().trim().to_owned();
    for (fields, want) in [
        (
            json!({ "start_utc": "2026-11-20T17:00Z", "duration_minutes": "30" }),
            "Valid: Fri Nov 20, 12:00 to 12:30 EST",
        ),
        (json!({ "start_utc": "2026-11-20T17:00Z", "duration_raw": "0130" }), "Valid: Fri Nov 20, 12:00 to 13:30 EST"),
        (json!({ "start_utc": "2026-11-20T17:00Z" }), "Since: Fri Nov 20, 12:00 EST"),
        (json!({ "start_utc": "2026-11-20T17:00Z", "duration_minutes": 0 }), "Since: Fri Nov 20, 12:00 EST"),
        (json!({ "start_utc": "2026-11-20T17:00Z", "duration_minutes": -5 }), "Since: Fri Nov 20, 12:00 EST"),
        (
            json!({ "start_utc": "2026-11-20T17:00Z", "duration_minutes": i64::MAX }),
            "Valid: Fri Nov 20, 12:00 EST, for 9223372036854775807 minutes",
        ),
        (json!({ "start_utc": "noon", "duration_minutes": 30 }), "Valid: noon, for 30 minutes"),
        (json!({ "timestamp_local": "2026-07-04 12:00" }), "Since: Sat Jul 4, 12:00 EDT"),
        (json!({ "start_utc": {}, "duration_minutes": [] }), ""),
    ] {
        assert_eq!(when(fields.clone()), want, "{fields}");
    }
}

#[test]
fn an_alert_whose_fields_are_odd_says_the_others() {
    assert_eq!(alert(json!({ "event": "XYZ", "event_name": "Unknown" })), "🚨 Emergency alert XYZ");
    assert_eq!(alert(json!({ "locs": "Cumberland, ME" })), "🚨 Emergency alert\nWhere: Cumberland, ME");
    assert_eq!(alert(json!({ "locs": [null, {}, "York, ME", " ", 5] })), "🚨 Emergency alert\nWhere: York, ME; 5");
    assert_eq!(alert(json!({ "raw_locs": ["023005"] })), "🚨 Emergency alert\nWhere: 023005");
    assert_eq!(alert(json!({ "org_raw": "WXR", "sender": "KGYX/NWS" })), "🚨 Emergency alert\nFrom: WXR (KGYX/NWS)");
    assert_eq!(alert(json!({ "sender": "KGYX/NWS" })), "🚨 Emergency alert\nFrom: KGYX/NWS");
    assert_eq!(alert(json!({ "raw_header": "ZCZC-" })), "🚨 Emergency alert\n\nZCZC-");
    assert_eq!(alert(json!("no header")), "🚨 Emergency alert\nno header");
    assert_eq!(alert(json!(["no header", null, "at all"])), "🚨 Emergency alert\nno header\nat all");
    let alerts = json!([null, "two of them", { "event": "TOR" }, { "event": "FFW" }]);
    assert_eq!(alert(alerts), "🚨 Emergency alert TOR\ntwo of them");
    for nothing in [json!([]), json!([[], null, " "]), json!(true)] {
        assert_eq!(alert(nothing), "🚨 Emergency alert");
    }
}

#[test]
fn the_words_of_an_alert_may_come_in_a_list() {
    let said = |words: Value| {
        said("notification.wbor-endec", json!({ "message_text": words, "eas_data": { "raw_header": "ZCZC-" } }))
    };
    assert_eq!(said(json!(["Take cover.", null, " ", {}, "Now."])), "🚨 Emergency alert\n\nTake cover.\nNow.");
    for none in [json!([]), json!([null, {}]), json!({}), json!(" ")] {
        assert_eq!(said(none), "🚨 Emergency alert\n\nZCZC-");
    }
}

#[test]
fn the_words_of_an_alert_are_never_cut() {
    let words = "Take cover now. ".repeat(1000);
    let all = said("notification.wbor-endec", json!({ "message_text": words }));
    assert_eq!(all, format!("🚨 Emergency alert\n\n{}", words.trim()));
}

#[test]
fn a_failsafe_whose_fields_are_odd_says_the_others() {
    let said = |body: Value| said("notification.failsafe-status", body);
    assert_eq!(said(json!({ "active_source": "Backup" })), "🔀 On the air now: Backup");
    assert_eq!(
        said(
            json!({ "event_type": "source_change", "active_source": null, "pin_name": "GPIO17", "current_pin_state": "LOW" })
        ),
        "🔀 Studio failsafe: another source is on the air\nPin: GPIO17 LOW"
    );
    assert_eq!(
        said(json!({ "event_type": "health_check", "active_source": "A", "timestamp_utc": 1_795_201_500 })),
        "🔀 Studio failsafe: health check\nOn the air: source A\nAt: Fri Nov 20, 14:05 EST"
    );
    for (state, words) in [
        (json!(true), "HIGH"),
        (json!(1), "HIGH"),
        (json!(false), "LOW"),
        (json!(0), "LOW"),
        (json!(7), "7"),
        (json!("Low"), "Low"),
    ] {
        assert_eq!(said(json!({ "current_pin_state": state })), format!("🔀 Studio failsafe\nPin: {words}"));
    }
    assert_eq!(said(json!({ "current_pin_state": [true] })), "🔀 Studio failsafe");
    assert_eq!(
        said(json!({ "active_source": "B", "details": { "playlist": [], "persona": { "name": "DJ Example" } } })),
        "🔀 On the air now: source B\nShow: DJ Example"
    );
}

#[test]
fn what_lacks_the_fields_of_its_machine_is_standard_if_it_has_a_body() {
    for key in KEYS {
        assert_eq!(said(key, json!({ "body": "hello", "source": "wbor-endec" })), "hello");
        assert_eq!(said(key, json!({ "text": "hello" })), "hello");
        let urgent = message(reading(key, false, br#"{"body": "hello", "priority": "urgent", "uid": "u-1"}"#));
        assert_eq!((urgent.uid.given(), urgent.priority.is_some()), ("u-1", true));
    }
    for (key, fields) in [
        ("notification.ups.onbattery", ["`ups_name`", "`event_type`"]),
        ("notification.wbor-endec", ["`eas_data`", "`message_text`"]),
        ("notification.failsafe-status", ["`active_source`", "`event_type`"]),
    ] {
        let Unreadable { reason, detail } = reading(key, false, br#"{"secret": "x"}"#).unwrap_err();
        assert_eq!(reason, "no_body");
        assert!(fields.iter().all(|field| detail.contains(field)) && detail.contains("`body`"), "{detail}");
    }
}

#[test]
fn a_body_beside_the_fields_of_a_machine_is_said_too() {
    let both = json!({ "ups_name": ["rack"], "body": "The rack is on the small UPS." });
    assert_eq!(said("notification.ups.onbattery", both), "⚡ On battery: UPS\nThe rack is on the small UPS.");
}

#[test]
fn an_alarm_is_clean_text() {
    let odd = ups(json!({ "message": "a\u{0}b\r\nc\u{200B}d\u{A0}e" }));
    assert_eq!(odd, "⚡ On battery: UPS rack\na\u{FFFD}b\nc\u{FFFD}d e");
    let title = said("notification.ups", json!({ "ups_name": "a\nb \u{2028}c", "event_type": "x" }));
    assert_eq!(title, "⚡ UPS a b c: x");
}

#[test]
fn what_its_producer_sent_itself_is_a_record_under_these_keys_too() {
    for key in KEYS {
        assert!(matches!(reading(key, true, br#"{"ups_name": "rack"}"#), Ok(Reading::Record(_))));
    }
}

/// Any JSON, deep enough to be where a machine's fields are.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("2026-11-01T05:59:00Z")),
        Just(json!("41.0 Minutes")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field(), inner, 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

fn field() -> impl Strategy<Value = String> {
    let known = [
        "ups_name",
        "event_type",
        "hostname",
        "data",
        "status",
        "timeleft",
        "message",
        "timestamp_utc",
        "eas_data",
        "message_text",
        "locs",
        "raw_locs",
        "event",
        "event_name",
        "start_utc",
        "duration_minutes",
        "duration_raw",
        "timestamp_local",
        "timestamp_processed_utc",
        "org",
        "sender",
        "raw_header",
        "active_source",
        "previous_active_source",
        "pin_name",
        "current_pin_state",
        "details",
        "playlist",
        "persona",
        "title",
        "name",
        "body",
        "text",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z]{1,6}"]
}

proptest! {
    #[test]
    fn no_object_whatever_ends_a_door_or_leaves_an_alarm_empty(
        which in 0..KEYS.len(),
        fields in prop::collection::hash_map(field(), anything(), 0..8),
    ) {
        let machine = match KEYS[which] {
            key if key.starts_with("notification.ups") => ["ups_name", "event_type", "hostname", "data", "status"].as_slice(),
            "notification.wbor-endec" => &["eas_data", "message_text"],
            _ => &["active_source", "previous_active_source", "event_type", "pin_name", "current_pin_state"],
        };
        let told = fields.iter().any(|(field, value)| machine.contains(&field.as_str()) && !value.is_null());
        let body: Value = fields.into_iter().collect();
        match reading(KEYS[which], false, body.to_string().as_bytes()) {
            Ok(Reading::Message(alarm)) => prop_assert!(!alarm.body.is_blank() || !alarm.media.is_empty()),
            Ok(Reading::Record(_)) => prop_assert!(false, "no record"),
            // No field of a machine may be so odd that its alarm is lost.
            Err(unreadable) => prop_assert!(!told, "{unreadable}: {body}"),
        }
    }
}
