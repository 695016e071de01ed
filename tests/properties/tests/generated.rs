//! Every property, asked of input that is made: what is known, changed a little; and JSON of the fields that are read.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};
use talkback_properties::target;

/// What is put into input: what has hurt programs before.
const NASTY: [&str; 40] = [
    "\0",
    "\\u0000",
    "\\ud83d",
    "\\ude00",
    "\u{FEFF}",
    "\u{202E}",
    "\u{200D}",
    "\u{200C}",
    "\u{301}",
    "\u{2028}",
    "\r",
    "\r\n",
    "\u{FFFD}",
    "\u{E0067}",
    "🏴",
    "👩\u{200D}🚀",
    "🇩🇪",
    "क्",
    "1e400000",
    "-0",
    "NaN",
    "-Infinity",
    "123456789012345678901234567890",
    "12075550123",
    "hunter2",
    "zebra crossing",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "true",
    "[[[[[[[[",
    "\n\n",
    "::",
    "    ",
];

/// The names that are read somewhere.
const NAMES: [&str; 40] = [
    "body",
    "text",
    "Body",
    "images",
    "uid",
    "wbor_message_id",
    "priority",
    "rooms",
    "expires_at",
    "From",
    "SenderName",
    "FromCity",
    "MediaUrl0",
    "bot_id",
    "code",
    "statuscode",
    "source",
    "type",
    "alreadysent",
    "ups_name",
    "event_type",
    "data",
    "timestamp_utc",
    "eas_data",
    "message_text",
    "start_utc",
    "duration_raw",
    "active_source",
    "details",
    "group_id",
    "id",
    "sender_type",
    "user_id",
    "sender_id",
    "system",
    "attachments",
    "headers",
    "basicProperties",
    "x-death",
    "queue",
];

/// One change of input, at a place.
#[derive(Debug, Clone)]
enum Change {
    Put(Index, &'static str),
    Cut(Index, usize),
    Double(Index, usize),
    Set(Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), select(&NASTY[..])).prop_map(|(at, what)| Change::Put(at, what)),
        2 => (any::<Index>(), 1_usize..20).prop_map(|(at, length)| Change::Cut(at, length)),
        1 => (any::<Index>(), 1_usize..60).prop_map(|(at, length)| Change::Double(at, length)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match change {
            Change::Put(index, what) => {
                let at = at(index);
                bytes.splice(at..at, what.bytes());
            }
            Change::Cut(index, length) => {
                let at = at(index);
                let end = bytes.len().min(at + length);
                bytes.drain(at..end);
            }
            Change::Double(index, length) => {
                let at = at(index);
                let piece = bytes[at..bytes.len().min(at + length)].to_vec();
                bytes.splice(at..at, piece);
            }
            Change::Set(index, byte) => {
                let at = at(index);
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
            }
        }
    }
    bytes
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..300).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(&NASTY[..]).prop_map(Value::from),
        select(&["90210", "7", "user", "bot", "source.standard", "!help", "received"][..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((select(&NAMES[..]), inner), 0..6).prop_map(object),
        ]
    })
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Asks the property of the target's corpus, each file changed a little, and of JSON after that beginning.
fn holds(name: &str, cases: u32, before: &'static [&'static str]) {
    let known = corpus(name);
    let mutated =
        (select(known), prop::collection::vec(change(), 0..8)).prop_map(|(bytes, changes)| changed(bytes, &changes));
    let fields = prop::collection::vec((select(&NAMES[..]), any_json()), 0..8);
    let made = (select(before), fields, any_json(), any::<bool>()).prop_map(|(before, fields, other, whole)| {
        let value = if whole { object(fields) } else { other };
        format!("{before}{value}").into_bytes()
    });
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let target = target(name);
    let input = prop_oneof![3 => mutated, 2 => made].prop_map(Shown);
    runner
        .run(&input, |Shown(bytes)| {
            (target.holds)(&bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Bytes as a file of the corpus would have them.
#[derive(Clone)]
struct Shown(Vec<u8>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[test]
fn whatever_comes_back_from_the_chat_no_bot_is_obeyed() {
    holds("callback", 3000, &[""]);
}

#[test]
fn whatever_an_event_holds_no_record_vanishes() {
    holds("event", 1500, &["", "{\"eventSource\":\"aws:rmq\",\"rmqMessagesByQueue\":{\"talkback::/\":"]);
}

#[test]
fn whatever_is_asked_over_http_there_is_an_answer_and_it_is_not_yes() {
    holds("http", 300, &[""]);
}

#[test]
fn whatever_json_is_like_it_is_read_as_a_strict_reader_would() {
    holds("json", 3000, &[""]);
}

#[test]
fn whatever_a_source_says_it_is_a_right_message_or_there_is_a_reason() {
    const KEYS: [&str; 9] = [
        "source.standard\n",
        "!source.standard\n",
        "source.twilio.sms.incoming\n",
        "notification.ups.onbattery\n",
        "notification.wbor-endec\n",
        "notification.failsafe-status\n",
        "source.groupme.msg\n",
        "source.groupme.callback\n",
        "x\n",
    ];
    holds("source", 2000, &KEYS);
}

#[test]
fn whatever_a_text_is_like_its_pieces_are_the_text() {
    holds("text", 1000, &["\u{9}\u{12}", "\u{1}\u{1}", "\u{40}\u{7f}"]);
}
