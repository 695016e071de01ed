//! Findings about lanes and their turn that no other story shows.
use std::time::Duration;

use serde_json::{Value, json};
use talkback::amqp_event::read_event;
use talkback::chat::Line;
use talkback::relay::Relay;
use talkback::relay::dispatch::Budget;
use talkback::store::lanes::{Claim, Claimed, Outcome};
use tokio::time::Instant;

use crate::lanes::{called, message, record_and_claim, record_and_release};
use crate::rules::sources;
use crate::station::{GROUP, Setup, Station, two_rooms, usual_rooms};

async fn accept(relay: &Relay, messages: &[Value]) {
    let records = read_event(&Station::batch(messages)).unwrap();
    relay.take_in(records, jiff::Timestamp::now()).await.unwrap();
}

/// Takes lanes and "posts" until none may go, as a holder does, and does not look again later.
async fn drain(relay: &Relay, token: &str) {
    let (rooms, lanes) = (relay.room_names(), &relay.settings.lanes);
    while let Some((_, mut claim)) = relay.store.take(token, &rooms, lanes).await.unwrap() {
        while let Claim::Post(claimed) = claim {
            let report = called(&claimed, Outcome::Posted);
            (_, claim) = record_and_claim(relay, token, &report).await.unwrap();
        }
    }
    relay.store.release(token).await.unwrap();
}

async fn claimed(relay: &Relay, token: &str) -> Claimed {
    match relay.store.take(token, &relay.room_names(), &relay.settings.lanes).await.unwrap() {
        Some((_, Claim::Post(claimed))) => claimed,
        _ => panic!("nothing may go"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_while_a_lane_is_let_go_is_found_though_nobody_looks_again_later() {
    let setup = Setup { rooms: usual_rooms("1ms", 1000), callbacks: false, ..Setup::default() };
    let station = Station::with(setup).await;
    let (holder, door) = (station.relay("dispatcher"), station.relay("send"));
    let db = station.db().await;
    let waits = db.prepare("select count(*) from deliveries where state in ('queued', 'sending')").await.unwrap();
    for round in 0..150 {
        accept(&holder, &[message("before")]).await;
        let newcomer = async {
            accept(&door, &[message("meanwhile")]).await;
            drain(&door, "door").await;
        };
        tokio::join!(drain(&holder, "holder"), newcomer);
        let waiting: i64 = db.query_one(&waits, &[]).await.unwrap().get(0);
        assert_eq!(waiting, 0, "round {round}: forgotten");
    }
    station.end().await;
}

/// A delivery of another accept, for the same room.
const OPEN: &str = "
begin;
with m as (insert into messages select r.* from messages m, jsonb_populate_record(m, '{\"uid\": \"open\"}') r returning uid)
insert into deliveries (uid, room, prio, qseq, state, cause, parts, age, expires_at)
select m.uid, d.room, 2, nextval('queue_seq'), 'queued', 'accepted', 1, d.age, d.expires_at from m, deliveries d";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accept_that_has_not_committed_keeps_nobody_from_the_room() {
    let station = Station::open().await;
    let relay = station.relay("tests");
    accept(&relay, &[message("a")]).await;
    let other = station.db().await;
    other.batch_execute(OPEN).await.unwrap();
    let part = claimed(&relay, "holder").await;
    assert_eq!((part.part, part.attempt), (1, 1));
    other.batch_execute("rollback").await.unwrap();
    station.end().await;
}

#[test]
fn an_accept_touches_neither_lanes_nor_rooms() {
    let statements = talkback::store::statements();
    let (_, accept) = statements.iter().find(|(name, _)| *name == "accept").unwrap();
    assert!(!accept.contains("lanes") && !accept.contains("rooms"), "{accept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_its_turn_has_claimed_nothing() {
    let setup = Setup { rooms: usual_rooms("60s", 1), callbacks: false, ..Setup::default() };
    let station = Station::with(setup).await;
    let relay = station.relay("tests");
    accept(&relay, &[message("a"), message("b")]).await;
    let first = claimed(&relay, "holder").await;
    let report = called(&first, Outcome::Posted);
    let (_, next) = record_and_claim(&relay, "holder", &report).await.unwrap();
    assert!(matches!(next, Claim::Wait(wait) if wait > Duration::from_secs(50)), "its turn is a minute away");
    let parts = "select state || ' ' || attempt from parts order by 1";
    assert_eq!(station.column(parts).await, ["sent 1", "waiting 0"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_proof_counts_also_while_a_later_attempt_is_in_the_air() {
    let setup = Setup { rooms: usual_rooms("1ms", 1000), callbacks: false, ..Setup::default() };
    let station = Station::with(setup).await;
    let relay = station.relay("tests");
    let lanes = &relay.settings.lanes;
    accept(&relay, &[message("a")]).await;
    let first = claimed(&relay, "frozen").await;
    let db = station.db().await;
    db.batch_execute(
        "update lanes set lease_until = 'epoch'; update deliveries set blocked_until = 'epoch';
         update parts set claimed_at = claimed_at - interval '1 h'",
    )
    .await
    .unwrap();
    // Nothing can tell: it is to be posted again.
    let Some((_, Claim::Settled { how, .. })) = relay.store.take("next", &relay.room_names(), lanes).await.unwrap()
    else {
        panic!("not judged")
    };
    assert_eq!(how, "absent");
    let Claim::Post(_) = relay.store.claim("next", &first.room, lanes, None).await.unwrap() else {
        panic!("not claimed again")
    };
    // Then the first caller thaws, and has been answered; the next one comes too late for its call.
    record_and_release(&relay, "frozen", &called(&first, Outcome::Posted)).await.unwrap();
    relay.store.disown("next", None).await.unwrap();
    assert_eq!(station.column("select state from deliveries").await, ["sent"]);
    assert!(
        !matches!(relay.store.claim("next", &first.room, lanes, None).await.unwrap(), Claim::Post(_)),
        "posted once more"
    );
    let rows = "select attempt || ' ' || outcome from api_calls where operation = 'post' order by attempt";
    assert_eq!(station.column(rows).await, ["1 posted", "2 unknown"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_with_a_backlog_lets_another_in_after_ten_parts() {
    let station = Station::with(two_rooms()).await;
    let relay = station.relay("dispatcher");
    let to = |room: &str| Station::message("source.standard", &json!({ "body": "a", "rooms": [room], "uid": uid() }));
    let backlog: Vec<Value> = (0..30).map(|_| to("staff")).collect();
    accept(&relay, &backlog).await;
    accept(&relay, &[to("tech")]).await;
    let end = Instant::now() + Duration::from_secs(30);
    // One lane at a time: who has it must let go of it.
    let budget = Budget {
        until: end,
        end,
        rooms: relay.room_names(),
        lanes: 1,
        poll: None,
        stop: talkback::relay::stop::Stop::default(),
    };
    relay.dispatch(&budget).await.unwrap();
    let rooms = station.column("select room from api_calls where operation = 'post' order by id").await;
    let before = rooms.iter().position(|room| room == "tech");
    assert!(before.is_some_and(|before| before <= 10), "{rooms:?}");
    station.end().await;
}

fn uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_leaves_a_backlog_to_the_dispatcher() {
    let station = Station::with(Setup { rooms: usual_rooms("60s", 2), ..Setup::default() }).await;
    let batch: Vec<Value> = (0..9).map(|n| message(&format!("{n}"))).collect();
    // The backlog lasts for minutes; it is back, and could take an alarm.
    station.consume(&batch).await;
    let waiting = station.column("select count(*)::text from deliveries where state = 'queued'").await;
    assert_eq!(waiting, ["7"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_left_over_from_a_clock_that_stepped_back_is_free() {
    let station = Station::open().await;
    let later = "clock_timestamp() + interval '1 day'";
    let left = format!("update lanes set token = 'gone', lease_until = {later}, tat = {later}, paused_until = {later}");
    station.db().await.batch_execute(&left).await.unwrap();
    station.consume(&[message("a")]).await;
    station.lines(1).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_that_change_all_the_time_are_kept_small() {
    let station = Station::open().await;
    for table in ["lanes", "deliveries", "parts"] {
        let options = format!("select array_to_string(reloptions, ' ') from pg_class where oid = '{table}'::regclass");
        let options = station.column(&options).await.concat();
        assert!(
            options.contains("fillfactor=") && options.contains("autovacuum_vacuum_threshold="),
            "{table}: {options}"
        );
    }
    // An update of a lane changes no index, so that it needs no room in one.
    let indexes = "select indexname::text from pg_indexes where tablename = 'lanes'";
    assert_eq!(station.column(indexes).await, ["lanes_pkey"]);
    // A statement or a transaction that somebody forgot ends by itself.
    let connection = station.relay("tests").store.connection().await.unwrap();
    for limit in ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"] {
        let shown: String = connection.query_one(&format!("show {limit}"), &[]).await.unwrap().get(0);
        assert_ne!(shown, "0", "{limit}");
    }
    drop(connection);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_was_ended_for_a_deadlock_is_done_again() {
    let station = Station::open().await;
    let relay = station.relay("tests");
    accept(&relay, &[message("a")]).await;
    let waits =
        "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let mut other = station.db().await;
    // Who waits longest is ended. Should a busy machine make that the other one, it is tried again.
    for _ in 0..5 {
        let locks = other.transaction().await.unwrap();
        locks
            .batch_execute("set local deadlock_timeout = '2s'; select 1 from deliveries for no key update")
            .await
            .unwrap();
        let taking = {
            let relay = relay.clone();
            tokio::spawn(async move { relay.store.take("holder", &relay.room_names(), &relay.settings.lanes).await })
        };
        station.until(waits, &["1"]).await;
        let locked = locks.batch_execute("select 1 from lanes for no key update").await;
        let ended = if locked.is_ok() { locks.commit().await } else { locks.rollback().await };
        ended.unwrap();
        let mut taken = taking.await.unwrap().expect("it was told of the deadlock, and gave up");
        if locked.is_ok() {
            // Done again before the other's commit, it passes by a lane that is locked, as it should.
            if taken.is_none() {
                taken = relay.store.take("holder", &relay.room_names(), &relay.settings.lanes).await.unwrap();
            }
            assert!(matches!(taken, Some((_, Claim::Post(_)))), "done again, it has not its lane");
            return station.end().await;
        }
        relay.store.disown("holder", None).await.unwrap();
        relay.store.release("holder").await.unwrap();
    }
    panic!("five times it was not the one that was ended");
}

/// Chaos, interleavings 2394170845: two alarms with the same words, and the first one's caller died before its call. The
/// line of the second, taken for the first, would leave that one unsaid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_taken_for_the_call_that_explains_it_before_one_that_nobody_answered() {
    for is_answered in [false, true] {
        let rooms = usual_rooms("1ms", 1000).replace("burst = 1000", "burst = 1000\ndress = \"plain\"");
        let station = Station::with(Setup { rooms, callbacks: false, ..Setup::default() }).await;
        let relay = station.relay("tests");
        let alarm = |uid: &str, priority: &str| {
            let body = json!({ "body": "power failed", "wbor_message_id": uid, "priority": priority });
            Station::message("source.standard", &body)
        };
        accept(&relay, &[alarm("first", "normal")]).await;
        claimed(&relay, "dead").await;
        accept(&relay, &[alarm("second", "high")]).await;
        let over = "update lanes set lease_until = clock_timestamp() - interval '1 s'";
        station.db().await.batch_execute(over).await.unwrap();
        let second = claimed(&relay, "alive").await;
        if is_answered {
            record_and_claim(&relay, "alive", &called(&second, Outcome::Posted)).await.unwrap();
        }
        let hear = async |id: &str| {
            let line = json!({ "group_id": GROUP, "id": id, "sender_type": "bot", "text": "power failed" });
            relay.hear(&Line::read(&line).unwrap()).await.unwrap();
            let states = "select m.given_uid || ' ' || p.state from parts p join deliveries d on d.id = p.delivery \
                          join messages m using (uid) order by d.id";
            station.column(states).await
        };
        assert_eq!(hear("1").await, ["first posting", "second confirmed"]);
        // It was made all the same, and shows late.
        assert_eq!(hear("2").await, ["first confirmed", "second confirmed"]);
        station.end().await;
    }
}

/// Chaos, producers-processes 3164233259: the caller froze before its send, and the producer took over. Its first line
/// came back while it was saying the rest, which we said at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_producer_begins_to_say_while_our_caller_is_frozen_waits_for_the_rest_of_it() {
    let station = Station::with(Setup { rooms: usual_rooms("1ms", 1000), callbacks: false, ..Setup::default() }).await;
    let relay = station.relay("tests");
    let db = station.db().await;
    let long = |uid: &str| {
        let body = "All work and no play makes Jack a dull boy. ".repeat(30);
        let message = json!({ "body": body.trim(), "wbor_message_id": uid });
        let headers = json!({ "deliver_by": jiff::Timestamp::now().as_second() + 60 });
        Station::raw_message("source.standard", message.to_string().as_bytes(), headers)
    };
    let seen = async |id: &str, text: &str| {
        let line = json!({ "group_id": GROUP, "id": id, "sender_type": "bot", "text": text });
        relay.hear(&Line::read(&line).unwrap()).await.unwrap();
    };
    let parts = "select p.n || ' ' || p.state from parts p join deliveries d on d.id = p.delivery \
                 where d.state not in ('sent', 'confirmed') order by d.id, p.n";
    let text = "select text from parts where n = 2 order by delivery desc limit 1";
    // Its own line, in time: the next part goes at once.
    accept(&relay, &[long("ours")]).await;
    let first = claimed(&relay, "quick").await;
    seen("1", &first.text).await;
    drain(&relay, "quick").await;
    assert_eq!(station.column(parts).await, Vec::<String>::new());
    // The producer's time is over, and nobody has told that it posted what shows.
    accept(&relay, &[long("theirs")]).await;
    let first = claimed(&relay, "frozen").await;
    let over = "update deliveries set deliver_by = clock_timestamp() - interval '1 s';
                update lanes set lease_until = clock_timestamp() - interval '1 s'";
    db.batch_execute(over).await.unwrap();
    seen("2", &first.text).await;
    drain(&relay, "other").await;
    assert_eq!(station.column(parts).await, ["1 confirmed", "2 waiting"]);
    seen("3", &station.column(text).await[0]).await;
    assert_eq!(station.column(parts).await, Vec::<String>::new());
    // Its lines come in another order: what is in the air is judged no sooner for that.
    accept(&relay, &[long("crossed")]).await;
    let first = claimed(&relay, "frozen").await;
    db.batch_execute(over).await.unwrap();
    let judged = "select blocked_until::text from deliveries where state = 'sending'";
    let when = station.column(judged).await;
    seen("5", &station.column(text).await[0]).await;
    assert_eq!(station.column(parts).await, ["1 posting", "2 confirmed"]);
    assert_eq!(station.column(judged).await, when);
    seen("6", &first.text).await;
    assert_eq!(station.column(parts).await, Vec::<String>::new());
    // It was ours after all: the rest is late by a window, and not lost.
    accept(&relay, &[long("late")]).await;
    let first = claimed(&relay, "dead").await;
    db.batch_execute(over).await.unwrap();
    seen("4", &first.text).await;
    let window = "update deliveries set blocked_until = blocked_until - $1::float8 * interval '1 s'";
    db.execute(window, &[&relay.settings.lanes.window.as_secs_f64()]).await.unwrap();
    drain(&relay, "other").await;
    assert_eq!(station.column(parts).await, Vec::<String>::new());
    station.end().await;
}

#[test]
fn no_uid_of_ours_is_made_from_the_time() {
    let made = sources().into_iter().filter(|(path, text)| {
        let ours = path.starts_with("shared/src") || path.starts_with("functions");
        ours && ["new_v1(", "now_v1(", "new_v6(", "now_v6(", "new_v7(", "now_v7("]
            .iter()
            .any(|made| text.contains(made))
    });
    assert_eq!(made.map(|(path, _)| path).collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}
