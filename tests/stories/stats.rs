//! Statistics: what `!stats` says in the chat, what `GET /stats` answers, and that sums of hours are never older than
//! what they are of.
use groupme_sim::{Fault, What};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use talkback::delivery::{DeliveryState, Verdict, message_state};
use talkback::store::stats::Stats;
use uuid::Uuid;

use crate::send_door::{Answer, ask, send_as, station as door};
use crate::station::{GROUP, KEY, PATIENCE, Setup, Station};

const PERSON: &str = "+12075550123";

fn standard(uid: &str) -> Value {
    Station::message("source.standard", &json!({ "body": "hello", "wbor_message_id": uid }))
}

fn text(uid: &str, from: &str, pictures: usize) -> Value {
    let mut body = json!({
        "Body": "Who sang that?", "From": from, "FromCity": "PORTLAND", "wbor_message_id": uid,
        "NumMedia": pictures.to_string(), "source": "twilio", "type": "sms.incoming",
    });
    for n in 0..pictures {
        body[format!("MediaUrl{n}")] = json!(format!("https://api.twilio.com/{n}"));
        body[format!("MediaContentType{n}")] = json!("image/png");
    }
    Station::message("source.twilio.sms.incoming", &body)
}

fn uid() -> String {
    Uuid::new_v4().to_string()
}

fn short(uid: &str) -> &str {
    uid.split('-').next().unwrap()
}

impl Station {
    /// Types a command as a member, and waits for what is answered to it.
    async fn answer_to(&self, line: &str) -> String {
        let before = self.texts().len();
        self.sim.say(GROUP, "7", "Ada", line).await;
        self.sim
            .wait_for(|lines| lines.iter().filter(|l| l.group_id == GROUP).count() >= before + 2, PATIENCE)
            .await
            .unwrap_or_else(|instead| panic!("no answer to {line}: {instead}"));
        let texts = self.texts();
        let at = texts.iter().position(|text| text == line).unwrap();
        texts[at + 1].clone()
    }

    /// The figures of the last two days.
    async fn figures(&self) -> Stats {
        let now = Timestamp::now();
        let (since, until) = (now - SignedDuration::from_hours(48), now + SignedDuration::from_mins(1));
        self.relay("tests").store.stats(since, until).await.unwrap()
    }

    /// Sums every hour that is due, as the dispatcher does.
    async fn sum_up(&self) {
        let store = self.relay("tests").store;
        store.note_hours().await.unwrap();
        while store.sum_hour().await.unwrap() {}
    }

    /// All that is there was a day ago.
    async fn a_day_passes(&self) {
        let back = "set session_replication_role = replica;
            update messages set accepted_at = accepted_at - interval '1 day';
            update deliveries set media_since = media_since - interval '1 day';
            update api_calls set at = at - interval '1 day';
            set session_replication_role = origin";
        self.db().await.batch_execute(back).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_is_told_what_happened_today_by_source_and_state() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.sim.fault(Fault::once(What::Status { code: 503, retry_after: None, shown: false }));
    station.consume(&[standard(&uid()), standard(&uid()), text(&uid(), PERSON, 0)]).await;
    let outgoing = json!({ "body": "x", "wbor_message_id": uid() });
    station.consume(&[Station::message("source.twilio.sms.outgoing", &outgoing)]).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let told = station.answer_to("!STATS").await;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("today, since ") && lines[0].ends_with("00:00: 4 messages"), "{told}");
    assert_eq!(lines[1], "From: standard 2, twilio.sms.incoming 1, twilio.sms.outgoing 1");
    assert_eq!(lines[2], "State: confirmed 3, blocked 1");
    assert!(lines[3].starts_with("Wait: median ") && lines[3].contains(", worst "), "{told}");
    assert_eq!(lines[4..], ["API errors: 1"]);
    // What was answered counts as a message of ours.
    for period in ["today", "week", "MONTH"] {
        let told = station.answer_to(&format!("!stats {period}")).await;
        assert!(told.starts_with(&format!("{}, since ", period.to_lowercase())), "{told}");
        assert!(told.contains("standard 2") && told.contains("talkback.reply"), "{told}");
    }
    for wrong in ["!stats yesterday", "!stats today week"] {
        assert_eq!(station.answer_to(wrong).await, "Usage: !stats [today|week|month|<uid>]");
    }
    assert_eq!(station.answer_to("!stats 12345678").await, "I know no message with that uid.");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_is_told_what_one_sender_sent_and_not_the_number() {
    let mut station = Station::open().await;
    let uids = [uid(), uid(), uid(), uid()];
    let other = uid();
    let refused = What::Status { code: 400, retry_after: None, shown: false };
    station.sim.fault(Fault { containing: Some(short(&uids[1]).into()), ..Fault::always(refused) });
    station.start_dispatcher();
    station.consume(&[text(&uids[0], PERSON, 0), text(&uids[1], PERSON, 0), text(&other, "+12075550999", 0)]).await;
    // There is no token: the pictures cannot be brought, and count all the same.
    station.consume(&[text(&uids[2], PERSON, 2)]).await;
    station.until("select count(*)::text from deliveries where state in ('confirmed', 'failed')", &["4"]).await;
    assert!(station.answer_to(&format!("!ban {}", short(&uids[0]))).await.contains("banned"));
    station.consume(&[text(&uids[3], PERSON, 0)]).await;
    let told = station.answer_to(&format!("!stats {}", short(&uids[0]))).await;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("{}: +1XXXXX50123", short(&uids[0])));
    assert!(lines[1].starts_with("4 messages, 2 pictures; first "), "{told}");
    assert_eq!(lines[2], "1 refused, 1 sent while banned");
    assert!(lines[3].starts_with("Busiest from ") && lines[3].contains(":00: "), "{told}");
    assert!(!told.contains("12075550123"), "{told}");
    let machine = uid();
    station.consume(&[standard(&machine)]).await;
    let told = station.answer_to(&format!("!stats {}", short(&machine))).await;
    assert_eq!(told, format!("{} came from source.standard, and names no sender.", short(&machine)));
    station.end().await;
}

async fn stats(station: &Station, key: Option<&str>, query: &str) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    ask(&station.relay("send"), "GET", &format!("/stats{query}"), &headers, "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_figures_are_had_by_http() {
    let station = door().await;
    let empty = stats(&station, Some(KEY), "").await;
    let none = json!({ "messages": 0, "median_ms": null, "worst_ms": null });
    assert_eq!((empty.status, &empty.body["messages"], &empty.body["wait"]), (200, &json!(0), &none));
    let relay = station.relay("send");
    for source in ["standard", "standard", "standard.door"] {
        assert_eq!(send_as(&relay, KEY, &json!({ "body": "hello", "source": source })).await.status, 202);
    }
    assert_eq!(send_as(&relay, KEY, &json!({ "body": "hush", "source": "quiet" })).await.status, 202);
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let answer = stats(&station, Some(KEY), "").await.body;
    let sources = json!([
        { "source": "source.standard", "messages": 2 }, { "source": "source.quiet", "messages": 1 },
        { "source": "source.standard.door", "messages": 1 },
    ]);
    assert_eq!((&answer["messages"], &answer["sources"]), (&json!(4), &sources));
    let states = json!([{ "state": "confirmed", "messages": 3 }, { "state": "blocked", "messages": 1 }]);
    assert_eq!((&answer["states"], &answer["api_errors"]), (&states, &json!(0)));
    let wait = &answer["wait"];
    assert_eq!(wait["messages"], 3);
    assert!(wait["median_ms"].as_i64().unwrap() <= wait["worst_ms"].as_i64().unwrap(), "{wait}");
    let day = |name: &str| answer[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(day("to").duration_since(day("from")), SignedDuration::from_hours(24));
    // From inclusive, to exclusive.
    let accepted = station.column("select to_json(min(accepted_at))#>>'{}' from messages").await.pop().unwrap();
    let next: Timestamp = accepted.parse::<Timestamp>().unwrap() + SignedDuration::from_micros(1);
    let count = async |query: String| stats(&station, Some(KEY), &query).await.body["messages"].as_i64().unwrap();
    assert_eq!(count(format!("?from={accepted}&to={next}")).await, 1);
    assert_eq!(count(format!("?to={accepted}")).await, 0);
    assert_eq!(count(format!("?from={next}")).await, 3);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_key_or_asks_for_no_time_is_refused() {
    let station = door().await;
    for key in [None, Some("wrong")] {
        stats(&station, key, "").await.is_problem(401, &[]);
        stats(&station, key, "?from=x").await.is_problem(401, &[]);
    }
    for (query, fields) in [
        ("?from=yesterday", &["from"][..]),
        ("?to=2026-11-20", &["to"]),
        ("?from=2&to=1", &["from", "to"]),
        ("?from=2026-11-20T18:00:00Z&to=2026-11-20T17:00:00Z", &["from"]),
        ("?from=2024-11-18T00:00:00Z&to=2026-11-20T00:00:00Z", &["from"]),
        ("?to=-009999-01-02T00:00:00Z", &["to"]),
    ] {
        stats(&station, Some(KEY), query).await.is_problem(400, fields);
    }
    let wide = stats(&station, Some(KEY), "?from=9998-12-31T00:00:00Z&to=9999-12-30T22:00:00Z").await;
    assert_eq!((wide.status, &wide.body["messages"]), (200, &json!(0)));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_that_is_summed_is_as_right_as_one_that_is_counted() {
    let mut station = Station::with(Setup { callbacks: false, ..Setup::default() }).await;
    station.start_dispatcher();
    let uids = [uid(), uid(), uid()];
    station.consume(&uids.iter().map(|uid| standard(uid)).collect::<Vec<_>>()).await;
    station.until("select count(*)::text from deliveries where state = 'sent'", &["3"]).await;
    station.kill_dispatcher().await;
    // An original whose record came first, and whose content is not known yet.
    let record = json!({
        "text": "said already", "bot_id": crate::station::BOT, "source": "standard", "code": 202, "type": "log",
        "wbor_message_id": uid(),
    });
    station.consume(&[Station::message("source.groupme.msg", &record)]).await;
    station.a_day_passes().await;
    let counted = station.figures().await;
    assert_eq!(counted.states, [("sent".to_owned(), 3), ("already_sent".to_owned(), 1)]);
    assert_eq!((counted.messages, counted.waited), (4, 3));
    station.sum_up().await;
    let hours = "select sum(n)::text from stats_hours, unnest(messages) n";
    assert_eq!(station.column(hours).await, ["4"]);
    assert_eq!(station.figures().await, counted);
    let due = "select count(*)::text from stats_due";
    assert_eq!(station.column(due).await, ["0"]);

    // What changes a finished delivery marks its hour.
    let change = async |state: &str, uid: &str| {
        let update = "update deliveries set state = $1, cause = 'the story says so' where uid = $2";
        station.db().await.execute(update, &[&state, &uid]).await.unwrap();
    };
    change("unconfirmed", &uids[0]).await;
    let changed = station.figures().await;
    assert_eq!(changed.states[0..2], [("sent".to_owned(), 2), ("already_sent".to_owned(), 1)]);
    assert!(changed.states.contains(&("unconfirmed".to_owned(), 1)), "{changed:?}");
    station.sum_up().await;
    assert_eq!((station.column(due).await, station.figures().await), (vec!["0".to_owned()], changed));

    // What waits again is counted until it is finished, and not summed before.
    change("queued", &uids[0]).await;
    station.sum_up().await;
    assert!(station.figures().await.states.contains(&("queued".to_owned(), 1)));
    assert_eq!(station.column("select bool_and(due > clock_timestamp())::text from stats_due").await, ["true"]);
    change("withdrawn", &uids[0]).await;
    assert!(station.figures().await.states.contains(&("withdrawn".to_owned(), 1)));
    station.db().await.batch_execute("update stats_due set due = clock_timestamp()").await.unwrap();
    station.sum_up().await;
    assert_eq!(station.column(due).await, ["0"]);

    // And so does an original that comes after its record, and a record of a message that was there.
    let late = record["wbor_message_id"].as_str().unwrap();
    station
        .take_in(&[Station::message("source.late", &json!({ "body": "said already", "wbor_message_id": late }))])
        .await;
    let filled = station.figures().await;
    assert!(filled.sources.contains(&("source.late".to_owned(), 1)), "{filled:?}");
    assert_eq!(filled.messages, 4);
    station.db().await.batch_execute("delete from stats_due").await.unwrap();
    let elsewhere = "insert into deliveries (uid, room, prio, qseq, state, cause, parts, sent, age, expires_at)
                     values ($1, 'elsewhere', 0, 0, 'sent', 'its producer posted it', 1, 1, '1 day', now())";
    station.db().await.execute(elsewhere, &[&uids[1]]).await.unwrap();
    let mark = "update api_calls set outcome = 'posted' where outcome = 'unknown'";
    let unknown = "update api_calls set outcome = 'unknown' where uid = $1";
    assert_eq!(station.column(due).await, ["1"]);
    let db = station.db().await;
    db.execute(unknown, &[&uids[2]]).await.unwrap();
    db.batch_execute(mark).await.unwrap();
    assert_eq!(station.column(due).await, ["2"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatcher_sums_what_is_over() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.consume(&[standard(&uid())]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.kill_dispatcher().await;
    station.a_day_passes().await;
    station.start_dispatcher();
    station.until("select array_to_string(states, ' ') || ' ' || messages[1] from stats_hours", &["confirmed 1"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_is_noted_though_a_later_one_was_marked_before_it() {
    let mut station = Station::with(Setup { callbacks: false, ..Setup::default() }).await;
    station.start_dispatcher();
    let (earlier, later) = (uid(), uid());
    station.consume(&[standard(&earlier), standard(&later)]).await;
    station.until("select count(*)::text from deliveries where state = 'sent'", &["2"]).await;
    station.kill_dispatcher().await;
    station.a_day_passes().await;
    let apart = "update messages set accepted_at = accepted_at - interval '3 h' where uid = $1";
    station.db().await.execute(apart, &[&earlier]).await.unwrap();
    // Something changes in the later hour before the earlier one has been looked at.
    let changed = "update deliveries set state = 'unconfirmed', cause = 'the story says so' where uid = $1";
    station.db().await.execute(changed, &[&later]).await.unwrap();
    let store = station.relay("tests").store;
    while store.sum_hour().await.unwrap() {}
    let hours = "select sum(n)::text from stats_hours, unnest(messages) n group by hour order by hour";
    assert_eq!(station.column(hours).await, ["1"]);
    station.sum_up().await;
    assert_eq!(station.column(hours).await, ["1", "1"]);
    // And neither is noted again.
    let noted = station.column("select hour::text from stats_noted").await;
    store.note_hours().await.unwrap();
    assert_eq!(station.column("select count(*)::text from stats_due").await, ["0"]);
    assert_eq!(station.column("select hour::text from stats_noted").await, noted);
    station.end().await;
}

/// A message stands where its delivery that is least far stands, by the same order as everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_of_outcomes_and_the_table_of_states_agree() {
    let station = Station::open().await;
    let db = station.db().await;
    let message = "insert into messages (uid, given_uid, short_uid, source, door, verdict, priority, accepted_by)
                   values ($1, $1, $1, 'source.x', 'http', $2, 0, 'x')";
    let delivery = "insert into deliveries (uid, room, prio, qseq, state, cause, parts, age, expires_at)
                    values ($1, $2, 0, 0, $3, 'x', 1, '1 day', now())";
    let mut wanted = Vec::new();
    for verdict in Verdict::ALL.map(Verdict::as_str).into_iter().filter(|verdict| *verdict != "duplicate") {
        db.execute(message, &[&verdict, &verdict]).await.unwrap();
        wanted.push((verdict.to_owned(), verdict.to_owned()));
    }
    for one in DeliveryState::ALL {
        for two in DeliveryState::ALL {
            let uid = format!("{one}-{two}");
            db.execute(message, &[&uid, &"accepted"]).await.unwrap();
            for (room, state) in [("a", one), ("b", two)] {
                db.execute(delivery, &[&uid, &room, &state.as_str()]).await.unwrap();
            }
            wanted.push((uid, message_state(Verdict::Accepted, &[one, two]).to_owned()));
        }
    }
    for (uid, state) in wanted {
        let found: String =
            db.query_one("select state from message_outcomes where uid = $1", &[&uid]).await.unwrap().get(0);
        assert_eq!(found, state, "{uid}");
    }
    db.batch_execute("delete from delivery_events").await.unwrap();
    station.end().await;
}
