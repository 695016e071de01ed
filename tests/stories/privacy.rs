//! What must be nowhere in plain: numbers, names, places, what was never posted, and every secret. Not in a table, not
//! in the log.
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groupme_sim::{CallbackMode, Fault, What};
use serde_json::{Value, json};
use talkback::seal::Place;
use talkback::telemetry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use uuid::Uuid;

use crate::answers::asking;
use crate::front_end::FrontEnd;
use crate::send_door::ask;
use crate::station::{BOT, GROUP, KEY, MEMBER, Setup, Station, TOKEN};
use crate::vhost::Vhost;

const NUMBER: &str = "2075550142";
const BANNED: &str = "2075550177";
const NAME: &str = "Marjolaine Quux";
const PLACE: &str = "SKOWHEGAN";
const MEDIA: &str = "AC5ec7e75ec7e75ec7e75ec7e75ec7e75e";
const MEMBERS_NAME: &str = "Zebulon Pike";
const MEMBERS_WORDS: &str = "meet me behind the transmitter";
const BLOCKED: &str = "what the station texted back";
const REJECTED: &str = "half a sentence that broke off";
const REUSED: &str = "other words under a used uid";
const FOREIGN_BOT: &str = "f0re1gnb0tf0re1gnb0tf0re1g";
const PASSWORD: &str = "a-password-in-the-wrong-place";
const FRONT_DOOR: &str = "front-door-token";

/// Sealed where it is kept.
const PRIVATE: [&str; 10] =
    [NUMBER, BANNED, NAME, PLACE, MEDIA, MEMBERS_NAME, MEMBERS_WORDS, BLOCKED, REJECTED, REUSED];

/// Kept nowhere, also not sealed.
const SECRETS: [&str; 7] = [BOT, FOREIGN_BOT, TOKEN, MEMBER, PASSWORD, FRONT_DOOR, "CQkJCQkJ"];

#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// Hears what this thread logs at its most talkative, until what it gives is dropped.
    pub fn listen(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let writer = self.clone();
        let layer = telemetry::layer("stories", "trace".parse::<Targets>().unwrap(), move || writer.clone());
        // Where there is only one subscriber, tracing asks the thread that first comes by whether a line is wanted, and
        // other stories' threads want none: so there are two.
        let other = tracing::Dispatch::new(tracing_subscriber::registry());
        (tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)), other)
    }

    pub fn heard(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every value of every column of every table, as text; bytes as Latin-1, so that words in them show.
pub async fn everything(station: &Station) -> Vec<(String, String)> {
    let db = station.db().await;
    let columns = "
        select format('%I.%I', table_schema, table_name), quote_ident(column_name), data_type = 'bytea'
        from information_schema.columns where table_schema in ('public', 'reports') order by 1, 2";
    let mut values = Vec::new();
    for column in db.query(columns, &[]).await.unwrap() {
        let (table, name, bytes): (String, String, bool) = (column.get(0), column.get(1), column.get(2));
        if bytes {
            for row in db.query(&format!("select {name} from {table} where {name} is not null"), &[]).await.unwrap() {
                let value: Vec<u8> = row.get(0);
                values.push((format!("{table}.{name}"), value.into_iter().map(char::from).collect()));
            }
        } else {
            let query = format!("select {name}::text from {table} where {name} is not null");
            for row in db.query(&query, &[]).await.unwrap() {
                values.push((format!("{table}.{name}"), row.get(0)));
            }
        }
    }
    values
}

fn assert_silent(place: &str, text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    for word in words {
        assert!(!lower.contains(&word.to_lowercase()), "{place} tells {word:?}: {text}");
        let hex: String = word.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!lower.contains(&hex), "{place} tells {word:?} in hex: {text}");
        // Wherever it stands in what was encoded: what its neighbours share of a letter is left out.
        for shift in 0..3 {
            let encoded = STANDARD.encode([vec![0; shift], word.as_bytes().to_vec()].concat());
            let encoded = &encoded[[0, 2, 3][shift]..encoded.trim_end_matches('=').len() - 1];
            assert!(!text.contains(encoded), "{place} tells {word:?} in base64: {text}");
        }
    }
}

fn listener(uid: &str) -> Value {
    json!({
        "MessageSid": "SM1", "AccountSid": MEDIA, "From": format!("+1{NUMBER}"), "To": "+12075550199",
        "Body": "Who sang that last one?", "NumMedia": "1", "SenderName": NAME, "FromCity": PLACE, "FromState": "ME",
        "MediaUrl0": format!("https://api.twilio.com/2010-04-01/Accounts/{MEDIA}/Messages/MM1/Media/ME1"),
        "MediaContentType0": "image/jpeg", "wbor_message_id": uid, "source": "twilio", "type": "sms.incoming",
    })
}

/// A day at the station, with everything in it that must not be told.
async fn a_mixed_run(station: &mut Station) {
    let (uid, reused) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let record = |bot: &str| {
        let body = json!({ "text": "posted", "bot_id": bot, "source": "standard", "code": 202,
                           "wbor_message_id": Uuid::new_v4().to_string() });
        Station::message("source.groupme.msg", &body)
    };
    let standard = |uid: &str, text: &str| {
        Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid, "password": PASSWORD }))
    };
    let callback = json!({
        "group_id": GROUP, "id": "77", "name": MEMBERS_NAME, "sender_id": "9", "sender_type": "user", "user_id": "9",
        "text": MEMBERS_WORDS, "source": "groupme.callback", "bot_id": FOREIGN_BOT, "code": 200, "source_guid": "g",
    });
    let outgoing = json!({ "Body": BLOCKED, "To": format!("+1{NUMBER}"), "bot_id": FOREIGN_BOT });
    let broken = format!(
        "{{\"From\": \"+1{NUMBER}\", \"bot_id\": \"{BOT}\", \"password\": \"{PASSWORD}\", \"Body\": \"{REJECTED}"
    );
    let nested = json!({ "From": NUMBER, "deep": { "bot_id": FOREIGN_BOT, "token": TOKEN }, "Body": null });
    station
        .sim
        .fault(Fault { times: Some(1), ..Fault::once(What::Status { code: 400, retry_after: None, shown: false }) });
    let batch = [
        standard(&Uuid::new_v4().to_string(), "refused by the provider"),
        Station::message("source.twilio.sms.incoming", &listener(&uid)),
        record(BOT),
        record(FOREIGN_BOT),
        Station::message("source.groupme.callback", &callback),
        Station::message("source.twilio.sms.outgoing", &outgoing),
        Station::message("source.twilio.ban", &json!({ "ban_number": format!("+1{BANNED}"), "type": "ban" })),
        Station::raw_message("source.twilio.sms.incoming", broken.as_bytes(), json!({})),
        Station::message("source.twilio.sms.incoming", &nested),
        standard(&reused, "the first"),
        asking(standard(&reused, REUSED), "nobody", "c-1"),
        asking(standard(&Uuid::new_v4().to_string(), "somebody waits"), "nobody", "c-2"),
    ];
    station.start_dispatcher();
    station.consume(&batch).await;
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["3"]).await;
    // An answer is lost: the room is read, with the member's token.
    station.sim.fault(Fault::once(What::ResetAfterRead { shown: true }));
    station.sim.callbacks_mode(BOT, CallbackMode::Never);
    station.consume(&[standard(&Uuid::new_v4().to_string(), "the answer is lost")]).await;
    station.until("select count(*)::text from api_calls where operation = 'read'", &["1"]).await;
    station.sim.callbacks_mode(BOT, CallbackMode::Normal);
    station.sim.say(GROUP, "9", MEMBERS_NAME, MEMBERS_WORDS).await;
    station.sim.say(GROUP, "9", MEMBERS_NAME, &format!("!call {NUMBER} for {NAME}")).await;
    let url = station.callback.clone().unwrap().replace(TOKEN, PASSWORD);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.post(url).body(MEMBERS_WORDS).send().await.unwrap().status(), 404);
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["5"]).await;
    station.until("select count(*)::text from api_calls where operation in ('ack', 'reply')", &["3"]).await;
    let member = ("9", MEMBERS_NAME);
    let who = station.typed(member, &format!("!who {uid}")).await;
    assert!(who.contains(NAME) && who.contains(PLACE), "the room is told: {who}");
    for text in [
        format!("!ban {uid} for 1h {NAME} at {NUMBER}"),
        "!bans".to_owned(),
        format!("!ban +1{NUMBER}"),
        format!("!unban {uid}"),
        format!("!stats {uid}"),
        "!stats".to_owned(),
        "!mute source.nobody".to_owned(),
        "!unmute source.nobody".to_owned(),
        "!failed".to_owned(),
    ] {
        station.typed(member, &text).await;
    }
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending')", &["0"]).await;
    station.until("select count(*)::text from messages where answer in ('due', 'giving')", &["0"]).await;
    station.stop_dispatcher().await;
}

// On one thread, so that this story's subscriber hears all of it and nothing else.
#[tokio::test]
async fn numbers_names_places_and_secrets_are_nowhere_in_plain() {
    let capture = Capture::default();
    let hearing = capture.listen();
    let (vhost, front_end) = (Vhost::new().await, FrontEnd::answering(&[200]).await);
    let vars = vec![
        ("AMQP_URL", vhost.url()),
        ("ACK_URL", format!("{}?token={FRONT_DOOR}", front_end.url())),
        ("GROUPME_ACCESS_TOKEN", MEMBER.to_owned()),
    ];
    let mut station = Station::with(Setup { vars, ..Setup::default() }).await;
    a_mixed_run(&mut station).await;
    drop(hearing);

    let log = capture.heard();
    crate::logs::assert_lines(&log);
    assert!(log.contains("part called") && log.contains("input rejected") && log.contains("callback refused"), "{log}");
    let everything = everything(&station).await;
    let amqp = vhost.url();
    let amqp_password = amqp.split([':', '@']).nth(2).unwrap();
    let relay = station.relay("send");
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    for uid in station.column("select uid from messages").await {
        let answer = ask(&relay, "GET", &format!("/messages/{uid}"), &headers, "").await;
        assert_silent("an answer", &format!("{answer:?}"), &PRIVATE);
    }
    for path in ["/health", "/stats"] {
        let answer = ask(&relay, "GET", path, &headers, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_silent(path, &format!("{answer:?}"), &PRIVATE);
    }
    for words in [&PRIVATE[..], &SECRETS[..], &[amqp_password]] {
        for (place, value) in &everything {
            assert_silent(place, value, words);
        }
        assert_silent("the log", &log, words);
    }
    // Nor is a body in the log, though it was posted.
    assert_silent("the log", &log, &["Who sang", "the answer is lost", "refused by the provider"]);
    let said = everything.iter().filter(|(_, value)| value.contains("Who sang")).count();
    assert!(said >= 3, "what was posted is there to be read: in the message, its part and its call");

    check_sealed(&station).await;
    station.end().await;
    vhost.gone().await;
}

/// Every sealed value opens again, at its place and nowhere else, and holds no secret.
async fn check_sealed(station: &Station) {
    let keys = &station.settings.data_keys;
    let db = station.db().await;
    let mut opened = Vec::new();
    for (table, column, row) in [
        ("messages", "sender_sealed", "uid"),
        ("messages", "body_sealed", "uid"),
        ("messages", "media_sealed", "uid"),
        ("rejected", "raw_sealed", "id"),
        ("groupme_callbacks", "payload_sealed", "line_id"),
        ("commands", "author_sealed", "group_id || '/' || line_id"),
        ("commands", "reply_sealed", "group_id || '/' || line_id"),
        ("parts", "text_sealed", "(select uid from deliveries where id = delivery) || '/' || room || '/' || n"),
        ("bans", "sender_sealed", "encode(sender_hash, 'base64')"),
        ("bans", "banned_by_sealed", "encode(sender_hash, 'base64')"),
        ("bans", "reason_sealed", "encode(sender_hash, 'base64')"),
        ("bans", "lifted_by_sealed", "encode(sender_hash, 'base64')"),
        ("mutes", "muted_by_sealed", "pattern"),
        ("mutes", "ended_by_sealed", "pattern"),
    ] {
        let query = format!("select ({row})::text, {column} from {table} where {column} is not null");
        let rows = db.query(&query, &[]).await.unwrap();
        assert!(!rows.is_empty(), "{table}.{column} is tried");
        for found in rows {
            let (id, sealed): (String, Vec<u8>) = (found.get(0), found.get(1));
            let place = Place { table, column, row: &id };
            let plain = String::from_utf8_lossy(&keys.open(place, &sealed).unwrap()).into_owned();
            assert_silent(&format!("{table}.{column}, opened,"), &plain, &SECRETS);
            let elsewhere = [
                Place { row: "another", ..place },
                Place { column: "another", ..place },
                Place { table: "another", ..place },
            ];
            for place in elsewhere {
                assert!(keys.open(place, &sealed).is_err(), "{place:?}");
            }
            opened.push(plain);
        }
    }
    for word in PRIVATE {
        assert!(opened.iter().any(|plain| plain.contains(word)), "{word} is kept, sealed");
    }
    let sender: Vec<u8> = db
        .query_one("select sender_hash from messages where sender_hash is not null limit 1", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(sender.len(), 32, "a sender is found by hash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_refuses_a_wrong_password_and_nobody_tells_it() {
    let vhost = Vhost::new().await;
    let url = vhost.url();
    let right = url.split([':', '@']).nth(2).unwrap();
    let wrong = url.replace(right, PASSWORD);
    let broker = talkback::broker::Broker::new(wrong.into(), "story").unwrap();
    let error = broker.depth("talkback").await.unwrap_err();
    let told = format!("{error} {error:?} {broker:?}");
    assert!(told.contains("connect"), "{told}");
    assert_silent("the broker's error", &told, &[PASSWORD, right]);
    vhost.gone().await;
}

// On one thread, as above.
#[tokio::test]
async fn a_bot_id_at_groupmes_door_is_neither_kept_nor_logged() {
    let capture = Capture::default();
    let hearing = capture.listen();
    let mut station = Station::open().await;
    let relay = station.relay("send");
    let (wrong, form) = ("a-bot-id-that-nobody-has", "application/x-www-form-urlencoded");
    for (bot_id, status) in [(KEY, 202), (wrong, 404)] {
        let document =
            |text: Value| json!({ "bot_id": bot_id, "text": text, "extra": { "bot_id": bot_id } }).to_string();
        for (query, content_type, body) in [
            (String::new(), "application/json", document(json!("words of a bot"))),
            (String::new(), form, format!("text=words+of+a+form&bot_id={bot_id}")),
            (format!("?bot_id={bot_id}&text=words"), "", String::new()),
        ] {
            let address = format!("/v3/bots/post{query}");
            let answer = ask(&relay, "POST", &address, &[("content-type", content_type)], &body).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert_silent("the answer", &format!("{answer:?}"), &[bot_id]);
        }
        for body in [document(json!({})), document(json!("t")).replace('}', ""), format!("{{\"bot_id\": \"{bot_id}")] {
            let answer = ask(&relay, "POST", "/v3/bots/post", &[], &body).await;
            assert!([400, 404].contains(&answer.status), "{answer:?}");
            assert_silent("the answer", &format!("{answer:?}"), &[bot_id]);
        }
    }
    station.start_dispatcher();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    station.stop_dispatcher().await;
    drop(hearing);
    let (log, everything) = (capture.heard(), everything(&station).await);
    assert!(log.contains("taken in") && everything.iter().any(|(_, value)| value.contains("words of a bot")), "{log}");
    for secret in [KEY, wrong] {
        assert_silent("the log", &log, &[secret]);
        for (place, value) in &everything {
            assert_silent(place, value, &[secret]);
        }
    }
    station.end().await;
}
