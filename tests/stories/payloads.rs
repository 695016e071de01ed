//! Each payload form from a real broker to the room: every AMQP event in `events/` is published as its program does,
//! and what becomes of it is what the table here says.
mod producers;
pub mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::gallery::Gallery;
use crate::station::{BOT, GROUP, OTHER_GROUP, PATIENCE, texts};
use wire::{Wire, example, with_gallery};

/// What becomes of a payload.
enum Told {
    /// The room shows one text, whose lines begin so, in the usual dress.
    Shown(&'static [&'static str]),
    /// The room `board` shows this text instead.
    OnBoard(&'static str),
    /// The room shows these lines, as they are.
    Pictures(&'static [&'static str]),
    /// Stored with this verdict; nobody sees it.
    Unseen(&'static str),
    /// Written down as a post that its producer made.
    ItsPost,
    /// Written down as a picture that its producer uploaded.
    ItsUpload,
    /// Written down as a line that somebody said.
    Said,
    /// Kept as input that cannot be read.
    Rejected(&'static str),
}
use Told::{ItsPost, ItsUpload, OnBoard, Pictures, Rejected, Said, Shown, Unseen};

/// What has pictures: those of the gallery are fetched and uploaded, GroupMe's own is shown as it is, and the room is
/// told of what is none.
const PICTURES: [(&str, Told); 2] = [
    (
        "standard-pictures",
        Pictures(&["", "", "2 pictures were sent, without any text.\n---UID---\n000000b2\n---------"]),
    ),
    (
        "twilio-sms-incoming-pictures",
        Pictures(&[
            "",
            "1 picture was sent, without any text.\n---UID---\n000000a2\n---------",
            "1 picture could not be sent: no gif, jpeg or png.",
        ]),
    ),
];

/// Addresses of the events, and what hangs in the gallery instead: a picture, a video.
const HANGING: [(&str, &str); 3] = [
    ("https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages/MM1/Media/ME1", "a.jpg"),
    ("https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages/MM1/Media/ME2", "page"),
    ("https://camera.example.org/now.jpg", "a.png"),
];

const EVENTS: [(&str, Told); 37] = [
    (
        "emergency-alert",
        Shown(&["🔔 Required Weekly Test", "Where: Cumberland, ME", "Valid: Fri Nov 20, 12:00 to 12:30 EST"]),
    ),
    (
        "emergency-alert-summer",
        Shown(&["🚨 Tornado Warning", "Where: Cumberland, ME; Sagadahoc, ME", "Valid: Sat Aug 1, 23:44 EDT to "]),
    ),
    ("emergency-alert-without-header", Shown(&["🚨 Emergency alert", "Received: Fri Nov 20, 12:00 EST", "", "Boil "])),
    ("failsafe-status", Shown(&["🔀 On the air now: source B", "Before: source A", "Since: Fri Nov 20, 12:30 EST"])),
    (
        "failsafe-status-back",
        Shown(&["🔀 On the air now: source A", "Before: source B", "Since: Sat Jul 4, 12:05 EDT"]),
    ),
    ("groupme-callback", Said),
    ("groupme-dashboard", Unseen("blocked")),
    ("groupme-img", ItsUpload),
    ("groupme-msg", ItsPost),
    ("groupme-msg-picture", ItsPost),
    ("not-an-object", Rejected("not_an_object")),
    ("not-json", Rejected("not_json")),
    ("producer-already-sent", ItsPost),
    ("producer-original", Shown(&["The transmitter link is back."])),
    ("producer-record", ItsPost),
    ("standard", Shown(&["The transmitter link is back."])),
    ("standard-all-fields", OnBoard("Everything a message can say.")),
    ("standard-bad-uid", Rejected("bad_uid")),
    ("standard-bare", Shown(&["Sent from a shell, without a uid."])),
    ("standard-empty", Rejected("no_body")),
    ("standard-half-a-surrogate-pair", Shown(&["cut short \u{FFFD}"])),
    ("standard-numeric-uid", Shown(&["Spelled text, with a number for a uid."])),
    ("twilio-ban", Unseen("blocked")),
    ("twilio-call-events", Unseen("blocked")),
    ("twilio-sms-incoming", Shown(&["Who sang that last one? ❤\u{FE0F}"])),
    ("twilio-sms-incoming-empty", Rejected("no_body")),
    ("twilio-sms-outgoing", Unseen("blocked")),
    ("twilio-unban", Unseen("blocked")),
    ("twilio-voice-intelligence", Unseen("blocked")),
    ("ups-body-only", Shown(&["The battery of the rack is changed at noon."])),
    ("ups-fifteen", Shown(&["🔋 Still on battery after 15 minutes: UPS rack", "Where: ", "At: Fri Nov 20, 12:20 EST"])),
    (
        "ups-fifteen-update",
        Shown(&["🔋 Still on battery after 15 minutes: UPS-2", "Where: ", "At: Sat Jul 4, 00:14 EDT"]),
    ),
    ("ups-odd-fields", Shown(&["⚡ UPS 7: battery detached", "At: some time ago"])),
    ("ups-offbattery", Shown(&["🔌 Power is back: UPS rack", "Where: studio-a", "Since: Fri Nov 20, 12:20 EST"])),
    ("ups-onbattery", Shown(&["⚡ On battery: UPS rack", "Where: studio-a", "Since: Fri Nov 20, 12:20 EST"])),
    ("ups-says-nothing", Rejected("no_body")),
    ("ups-summer", Shown(&["⚡ On battery: UPS-2", "Where: transmitter", "Since: Fri Jul 3, 23:59 EDT"])),
];

/// The files in `events/` that are AMQP messages: those name their exchange.
pub fn events() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let event: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), event)
    };
    files.into_iter().map(read).filter(|(_, event)| event.get("exchange").is_some()).collect()
}

/// The properties of an event: none at all where its program sets none.
fn properties(event: &Value) -> BasicProperties {
    let Some(told) = event["headers"].as_object() else { return BasicProperties::default() };
    let mut headers = FieldTable::default();
    for (name, value) in told {
        let value = match value.as_str() {
            Some(text) => AMQPValue::LongString(text.into()),
            None => AMQPValue::Boolean(value.as_bool().unwrap()),
        };
        headers.insert(name.as_str().into(), value);
    }
    BasicProperties::default().with_delivery_mode(2).with_headers(headers)
}

#[test]
fn every_payload_has_its_story() {
    let told: BTreeSet<&str> = EVENTS.iter().chain(&PICTURES).map(|(name, _)| *name).collect();
    let events = events();
    let there: BTreeSet<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(there, told, "the AMQP events in events/, and those in the tables here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_payload_form_comes_from_the_broker_to_the_room_as_people_read_it() {
    let gallery = Gallery::open().await;
    let wire = Wire::open(with_gallery(example(), &gallery)).await;
    for (name, event) in events() {
        let (_, told) = EVENTS.iter().chain(&PICTURES).find(|(known, _)| *known == name).unwrap();
        // A body that is a string stands for exactly those bytes. The bot of a record is the station's own.
        let body = event["body"].as_str().map_or_else(|| event["body"].to_string(), str::to_owned);
        let mut body = body.replace("0123456789abcdef0123456789", BOT);
        // What lies at Twilio or in the world hangs in the gallery here.
        for (address, name) in HANGING {
            body = body.replace(address, &gallery.url(name));
        }
        let before = Seen::now(&wire).await;
        let (exchange, key) = (event["exchange"].as_str().unwrap(), event["key"].as_str().unwrap());
        wire.publish(exchange, key, body.as_bytes(), properties(&event)).await;
        let new = Seen::settled(&wire).await.since(&before);
        told.check(&name, key, &event["body"], &new);
    }
    // As urgent as the routes of the example say.
    let priorities = "select distinct source || ' ' || priority from messages where source like 'notification.%'
                      and source not like '%.ups.%' or source = 'notification.ups.onbattery' order by 1";
    let wanted = ["notification.failsafe-status 1", "notification.ups.onbattery 2", "notification.wbor-endec 2"];
    assert_eq!(wire.column(priorities).await, wanted);
    wire.end().await;
}

impl Told {
    fn check(&self, name: &str, key: &str, body: &Value, new: &Seen) {
        let mut wanted = Seen::default();
        match self {
            Shown(lines) => {
                let [shown] = new.room.as_slice() else { panic!("{name}: {new:?}") };
                let text = undressed(shown, body);
                assert!(begin(text, lines), "{name}: {text:?} is not {lines:?}");
                assert!(!text.contains(['{', '}']), "{name} shows JSON: {text}");
                wanted.room = vec![shown.clone()];
                wanted.accepted(key, 1);
            }
            OnBoard(text) => {
                let [shown] = new.board.as_slice() else { panic!("{name}: {new:?}") };
                assert_eq!(undressed(shown, body), *text, "{name}");
                wanted.board = vec![shown.clone()];
                wanted.accepted(key, 1);
            }
            Pictures(lines) => {
                wanted.room = lines.iter().map(|line| (*line).to_owned()).collect();
                wanted.accepted(key, lines.len());
                wanted.calls =
                    new.calls.iter().filter(|call| !call.starts_with("post ")).cloned().chain(wanted.calls).collect();
                assert!(wanted.calls.iter().any(|call| call == "upload ok 200"), "{name}: {new:?}");
            }
            Unseen(verdict) => wanted.messages = vec![format!("{verdict} {key}")],
            ItsPost => {
                wanted.messages = vec![format!("already_sent {key}")];
                wanted.calls = vec!["post recorded 202".to_owned()];
            }
            ItsUpload => wanted.calls = vec!["upload recorded 200".to_owned()],
            Said => {
                wanted.calls = vec!["callback recorded 200".to_owned()];
                wanted.lines = vec!["record user".to_owned()];
            }
            Rejected(reason) => wanted.rejected = vec![format!("{reason} {key}")],
        }
        assert_eq!(*new, wanted, "{name}");
    }
}

/// The text within the classic dress, which must be right: the short uid is the payload's own, or one of ours.
fn undressed<'a>(shown: &'a str, body: &Value) -> &'a str {
    let inner = shown.strip_prefix('"').and_then(|text| text.strip_suffix("\n---------"));
    let (text, uid) = inner.and_then(|inner| inner.split_once("\"\n---UID---\n")).unwrap_or_else(|| panic!("{shown}"));
    match ["wbor_message_id", "uid"].iter().map(|field| &body[*field]).find(|uid| !uid.is_null()) {
        Some(own) => {
            let own = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
            assert_eq!(own.split('-').next(), Some(uid), "{shown}");
        }
        // A body that is bytes tells no uid here.
        None => assert!(uid.len() == 8 && uid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{shown}"),
    }
    text
}

/// Whether the lines of a text begin so, line by line.
fn begin(text: &str, lines: &[&str]) -> bool {
    let shown: Vec<&str> = text.lines().collect();
    shown.len() >= lines.len() && shown.iter().zip(lines).all(|(shown, line)| shown.starts_with(line))
}

/// What there is to see.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    room: Vec<String>,
    board: Vec<String>,
    messages: Vec<String>,
    calls: Vec<String>,
    /// What people said; our own lines are in the rooms.
    lines: Vec<String>,
    rejected: Vec<String>,
}

impl Seen {
    async fn now(wire: &Wire) -> Self {
        let calls = "select concat_ws(' ', operation, outcome, status) from api_calls order by id";
        let lines = "select learnt_by || ' ' || sender_type from groupme_callbacks where sender_type <> 'bot'";
        Self {
            room: texts(&wire.station.sim.lines(GROUP)),
            board: texts(&wire.station.sim.lines(OTHER_GROUP)),
            messages: wire.column("select verdict || ' ' || source from messages order by accepted_at").await,
            calls: wire.column(calls).await,
            lines: wire.column(lines).await,
            rejected: wire.column("select reason || ' ' || source from rejected order by at").await,
        }
    }

    /// When nothing is under way any more.
    async fn settled(wire: &Wire) -> Self {
        // A callback may be there before the answer to the call.
        let work = "select state from deliveries where state in ('queued', 'sending', 'scheduled', 'held')
                    union all select outcome from api_calls where outcome = 'unknown'";
        let end = Instant::now() + PATIENCE;
        let mut look = interval(Duration::from_millis(10));
        while let [state, ..] = wire.column(work).await.as_slice() {
            assert!(Instant::now() < end, "still {state}");
            look.tick().await;
        }
        Self::now(wire).await
    }

    fn since(self, before: &Self) -> Self {
        let new = |now: Vec<String>, before: &[String]| now[before.len()..].to_vec();
        Self {
            room: new(self.room, &before.room),
            board: new(self.board, &before.board),
            messages: new(self.messages, &before.messages),
            calls: new(self.calls, &before.calls),
            lines: new(self.lines, &before.lines),
            rejected: new(self.rejected, &before.rejected),
        }
    }

    fn accepted(&mut self, key: &str, posts: usize) {
        self.messages = vec![format!("accepted {key}")];
        self.calls = vec!["post posted 202".to_owned(); posts];
    }
}
