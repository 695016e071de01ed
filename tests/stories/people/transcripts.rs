//! `cargo xtask export`: what was said to the rooms and in them.
use std::io::{self, Write};

use serde_json::{Value, json};
use talkback::seal::{Keys, Place};

use super::{NUMBER, text};
use crate::station::{GROUP, Station};

/// What `export` writes with these words, and what it says beside it.
async fn exported(station: &Station, words: &[&str]) -> (Vec<Value>, Option<String>) {
    let mut out = Vec::new();
    let note = operator::export(&station.relay("operator"), words, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), note)
}

/// One field of each line.
fn field(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().map(|line| line[name].clone()).collect()
}

const ALL: [&str; 4] = ["--from", "2020-01-01", "--to", "2100-01-01"];
const REVEALED: [&str; 5] = ["--from", "2020-01-01", "--to", "2100-01-01", "--reveal"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcript_has_messages_and_lines_in_order_and_shows_people_only_when_asked_to() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let confirmed = "select count(*)::text from deliveries where state = 'confirmed'";
    let (uid, message) = text(NUMBER, "Who sang that?");
    station.consume(&[message]).await;
    station.until(confirmed, &["1"]).await;
    let line = station.sim.say(GROUP, "31415926", "Ada", "Nobody knows").await;
    station.until("select count(*)::text from groupme_callbacks", &["2"]).await;
    let short = uid.split('-').next().unwrap();
    station.sim.say(GROUP, "31415926", "Ada", &format!("!who {short}")).await;
    station.until(confirmed, &["2"]).await;
    station.consume(&[Station::message("source.twilio.sms.outgoing", &json!({ "Body": "an answer" }))]).await;
    station.stop_dispatcher().await;

    let (lines, note) = exported(&station, &ALL).await;
    assert_eq!(note, None);
    let columns: Vec<&String> = lines[0].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["direction", "name", "room", "sender", "source", "state", "text", "time", "uid"]);
    assert_eq!(field(&lines, "direction"), ["in", "out", "out", "in", "in"]);
    assert_eq!(field(&lines, "room"), [json!("staff"), json!("staff"), json!("staff"), json!("staff"), Value::Null]);
    assert_eq!(field(&lines, "state"), ["confirmed", "heard", "heard", "confirmed", "blocked"]);
    let callback = "source.groupme.callback";
    let sources =
        ["source.twilio.sms.incoming", callback, callback, "source.talkback.reply", "source.twilio.sms.outgoing"];
    assert_eq!(field(&lines, "source"), sources);
    assert_eq!([&lines[0]["uid"], &lines[1]["uid"]], [&json!(uid), &json!(line)]);
    let masked = [json!("+1XXXXX50142"), json!("XXX15926"), json!("XXX15926"), Value::Null, Value::Null];
    assert_eq!(field(&lines, "sender"), masked);
    assert_eq!(field(&lines, "name"), vec![Value::Null; 5]);
    let told = [json!("Who sang that?"), json!("Nobody knows"), json!(format!("!who {short}"))];
    assert_eq!(field(&lines, "text")[..3], told);
    assert_eq!(field(&lines, "text")[3..], [Value::Null, Value::Null], "only for the room, and for nobody");

    let (revealed, _) = exported(&station, &REVEALED).await;
    assert_eq!(field(&revealed, "sender")[..3], [json!(NUMBER), json!("31415926"), json!("31415926")]);
    assert_eq!(field(&revealed, "name")[..3], [json!("Marjolaine Quux"), json!("Ada"), json!("Ada")]);
    let reply = revealed[3]["text"].as_str().unwrap();
    assert!(reply.contains("Marjolaine Quux, +1XXXXX50142"), "{reply}");
    assert!(revealed[4]["text"].as_str().unwrap().contains("an answer"), "{revealed:?}");

    // The first moment is in it, the last is not.
    let times: Vec<String> = field(&lines, "time").iter().map(|time| time.as_str().unwrap().to_owned()).collect();
    let mut sorted = times.clone();
    sorted.sort_by_key(|time| time.parse::<jiff::Timestamp>().unwrap());
    assert_eq!(times, sorted);
    let (some, _) = exported(&station, &["--from", &times[1], "--to", &times[3]]).await;
    assert_eq!(some, lines[1..3]);
    let (none, note) = exported(&station, &["--from", "2020-01-01", "--to", &times[0]]).await;
    assert_eq!((none, note), (Vec::new(), None));

    // Who was erased has no text and no sender, and that is no fault of the keys.
    operator::run(&station.relay("operator"), &["erase", NUMBER]).await.unwrap();
    let (erased, note) = exported(&station, &REVEALED).await;
    assert_eq!(
        [&erased[0]["sender"], &erased[0]["text"], &erased[0]["state"]],
        [&Value::Null, &Value::Null, &json!("confirmed")]
    );
    assert_eq!((erased.len(), note), (5, None));
    station.end().await;
}

/// Three thousand messages and three thousand lines of members among as many of bots, many of one moment.
async fn filled() -> Station {
    let station = Station::open().await;
    let keys = &station.settings.data_keys;
    let lost = Keys::parse("lost:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=").unwrap();
    let (mut uids, mut senders, mut ids, mut payloads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..3000 {
        let (uid, id) = (format!("m{n}"), format!("l{n}"));
        let sender = json!({ "address": NUMBER, "name": null, "place": null }).to_string();
        let payload = json!({ "group_id": GROUP, "id": id, "user_id": "7", "name": "Ada", "text": n.to_string() });
        // One of a thousand was sealed with a key that is gone.
        let keys = if n % 1000 == 999 { &lost } else { keys };
        let place = |table, column, row| Place { table, column, row };
        senders.push(keys.seal(place("messages", "sender_sealed", &uid), sender.as_bytes()));
        payloads.push(keys.seal(place("groupme_callbacks", "payload_sealed", &id), payload.to_string().as_bytes()));
        uids.push(uid);
        ids.push(id);
    }
    let db = station.db().await;
    let messages = "
        insert into messages (uid, given_uid, short_uid, source, door, verdict, priority, sender_sealed, body, accepted_by, accepted_at)
        select uid, uid, uid, 'source.x', 'http', 'already_sent', 0, sender, 'said', 'mark',
               '2026-01-01Z'::timestamptz + (n / 700) * interval '1 s'
        from unnest($1::text[], $2::bytea[]) with ordinality x(uid, sender, n)";
    db.execute(messages, &[&uids, &senders]).await.unwrap();
    let lines = "
        insert into groupme_callbacks (group_id, line_id, received_at, learnt_by, sender_type, payload_sealed)
        select g.group_id, id || g.suffix, '2026-01-01Z'::timestamptz + (n / 1500) * interval '1 s', 'callback', g.kind, payload
        from unnest($1::text[], $2::bytea[]) with ordinality x(id, payload, n),
             (values ($3::text, '', 'user'), ('elsewhere', 'b', 'bot')) g(group_id, suffix, kind)";
    db.execute(lines, &[&ids, &payloads, &GROUP]).await.unwrap();
    station
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_are_told_once_each_page_by_page_and_what_does_not_open_is_counted() {
    let station = filled().await;
    let (lines, note) = exported(&station, &ALL).await;
    let mut uids: Vec<String> = field(&lines, "uid").iter().map(|uid| uid.as_str().unwrap().to_owned()).collect();
    let times: Vec<jiff::Timestamp> =
        lines.iter().map(|line| line["time"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted());
    uids.sort();
    uids.dedup();
    assert_eq!((lines.len(), uids.len()), (6000, 6000));
    let closed = |line: &&Value| line["sender"].is_null();
    assert_eq!(lines.iter().filter(closed).count(), 6);
    let note = note.unwrap();
    assert!(note.starts_with("6 senders or texts could not be opened"), "{note}");
    // Half of it, to the moment.
    let (some, _) = exported(&station, &["--from", "2026-01-01T00:00:01Z", "--to=2026-01-01T00:00:02Z"]).await;
    assert_eq!(some.len(), 700 + 1500);
    station.end().await;
}

/// Reads so many bytes, and goes.
struct Head {
    left: usize,
    why: io::ErrorKind,
}

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(self.why)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_read_enough_ends_it_and_a_full_disk_is_an_error() {
    let station = filled().await;
    let relay = station.relay("operator");
    let enough = operator::export(&relay, &ALL, Head { left: 700_000, why: io::ErrorKind::BrokenPipe }).await.unwrap();
    assert_eq!(enough, None, "not even of what it came by and could not open");
    let full = Head { left: 100_000, why: io::ErrorKind::StorageFull };
    let full = operator::export(&relay, &ALL, full).await.unwrap_err();
    assert!(format!("{full:#}").starts_with("cannot write the transcript: "), "{full:#}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_argument_is_named_and_nothing_is_written() {
    let station = Station::open().await;
    for (words, wanted) in [
        (&["--from", "yesterday", "--to", "2026-05-01"][..], "--from yesterday: must be a time such as"),
        (&["--from", "2026-05-02", "--to", "2026-05-01"], "--to: must be later than --from"),
        (&["--from", "2026-05-02"], "--to: is missing"),
        (&["--from", "2026-05-02", "--to", "2026-05-03", "--unmask"], "--unmask: export takes"),
    ] {
        let mut out = Vec::new();
        let wrong = operator::export(&station.relay("operator"), words, &mut out).await.unwrap_err();
        assert!(format!("{wrong:#}").starts_with(wanted), "{wrong:#}");
        assert!(out.is_empty());
    }
    station.end().await;
}
