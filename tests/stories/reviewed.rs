//! What a review of the lanes found: each story failed before its fault was mended.
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use talkback::chat::Line;
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::relay::dispatch::Budget;
use talkback::store::lanes::{Claim, Claimed, Outcome};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::lanes::{called, record_and_release};
use crate::station::{BOT, GROUP, MEMBER, Setup, Station, usual_rooms};

fn message(text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() }))
}

fn again(text: &str, uid: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid }))
}

fn records(messages: &[Value]) -> Vec<talkback::amqp_event::Record> {
    talkback::amqp_event::read_event(&Station::batch(messages)).unwrap()
}

/// Two rooms, both fed by `source.#`.
fn two_rooms() -> Setup {
    let rooms = format!(
        "{}\n[[rooms]]\nname = \"tech\"\nbot_id = \"0therb0t0therb0t\"\ngroup = \"777\"\npace = \"20ms\"\n",
        usual_rooms("20ms", 3)
            .replace("\"source.#\"\nrooms = [\"staff\"]", "\"source.#\"\nrooms = [\"staff\", \"tech\"]")
    );
    Setup { rooms, bots: vec![("0therb0t0therb0t".to_owned(), "777".to_owned())], ..Setup::default() }
}

/// A room without dress, so that equal bodies are equal lines, and without callbacks.
fn plain_room() -> Setup {
    let rooms = usual_rooms("20ms", 3).replace("burst = 3", "burst = 3\ndress = \"plain\"");
    Setup { rooms, callbacks: false, ..Setup::default() }
}

/// Stored, and nothing posted.
async fn accepted(relay: &Relay, messages: &[Value]) {
    relay.wake().await.unwrap();
    relay.take_in(records(messages), jiff::Timestamp::now()).await.unwrap();
}

/// Takes the staff room's lane and claims what is to be posted.
async fn claims(relay: &Relay, token: &str) -> Claimed {
    let (_, claim) = relay.store.take(token, &relay.room_names(), &relay.settings.lanes).await.unwrap().unwrap();
    match claim {
        Claim::Post(claimed) => claimed,
        _ => panic!("nothing to post"),
    }
}

/// Our own line, as GroupMe tells of it.
fn line(id: &str, text: &str) -> Value {
    json!({ "group_id": GROUP, "id": id, "sender_type": "bot", "text": text, "created_at": jiff::Timestamp::now().as_second() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accept_that_was_given_up_leaves_no_open_transaction_behind() {
    let station = Station::open().await;
    let relay = station.relay("callback");
    relay.wake().await.unwrap();
    relay.take_in(records(&[message("a")]), jiff::Timestamp::now()).await.unwrap();
    let other = station.db().await;
    // Somebody else is at the same message.
    other.batch_execute("begin; update messages set repeats = 7").await.unwrap();
    let again =
        records(&[again("a", &other.query_one("select uid from messages", &[]).await.unwrap().get::<_, String>(0))]);
    // Its caller has less patience than the database.
    let given_up = timeout(Duration::from_millis(300), relay.take_in(again, jiff::Timestamp::now()));
    assert!(given_up.await.is_err());
    other.batch_execute("rollback").await.unwrap();
    // What the same process writes next is there for everybody.
    relay.store.count_refusal("malformed").await.unwrap();
    let row = other.query_one("select count(*) from callback_refusals", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "written in a transaction that nobody will commit");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_database_refuses_harms_only_itself() {
    let station = Station::open().await;
    // Stands for whatever we have not thought of.
    let strict = "alter table api_calls add check (request->>'text' <> 'bad')";
    station.db().await.batch_execute(strict).await.unwrap();
    let record = |text: &str| {
        let uid = Uuid::new_v4().to_string();
        Station::message("source.groupme.msg", &json!({ "text": text, "code": 202, "wbor_message_id": uid }))
    };
    station.consume(&[record("a"), record("bad"), record("c"), message("d")]).await;
    station.until("select body from messages order by 1", &["a", "c", "d"]).await;
    station.until("select reason from rejected", &["refused_by_database"]).await;
    station.end().await;
}

const PARTS: &str = "select state || ' ' || attempt from parts order by delivery, n";
const STATES: &str = "select state from deliveries order by qseq";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_claimed_that_could_not_be_called_before_the_function_ends() {
    let station = Station::open().await;
    let relay = station.relay("rabbitmq-consumer");
    accepted(&relay, &[message("a")]).await;
    // A call may take a second, and this function has less.
    let now = Instant::now();
    let (until, end) = (now + Duration::from_millis(300), now + Duration::from_millis(900));
    let budget = Budget {
        until,
        end,
        rooms: relay.room_names(),
        lanes: 1,
        poll: None,
        stop: talkback::relay::stop::Stop::default(),
    };
    relay.dispatch(&budget).await.unwrap();
    station.until(PARTS, &["waiting 0"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_came_too_late_to_call_is_free_for_the_next() {
    let station = Station::open().await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message("a")]).await;
    claims(&relay, "slow").await;
    relay.store.disown("slow", None).await.unwrap();
    relay.store.release("slow").await.unwrap();
    station.until(STATES, &["queued"]).await;
    let next = claims(&relay, "next").await;
    assert_eq!(next.attempt, 1, "what was not called is no attempt");
    // What is another's cannot be taken back.
    relay.store.disown("slow", None).await.unwrap();
    // Nor what was called, whether it could be recorded or not.
    relay.store.disown("next", Some((next.delivery, next.part, next.attempt))).await.unwrap();
    station.until(PARTS, &["posting 1"]).await;
    let report = called(&next, Outcome::Unknown);
    record_and_release(&relay, "next", &report).await.unwrap();
    relay.store.disown("next", None).await.unwrap();
    station.until(PARTS, &["posting 1"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_silent_does_not_keep_a_door_from_the_other() {
    let station = Station::with(two_rooms()).await;
    station.sim.fault(Fault { bot_id: Some(BOT.into()), ..Fault::once(What::Silence { shown: false }) });
    // No dispatcher is there: the door does it within its second, or nobody.
    station.consume(&[message("a")]).await;
    station.until("select state from deliveries where room = 'tech'", &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_nobody_takes_does_not_hold_up_the_door() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ack = format!("http://{}/ack", silent.local_addr().unwrap());
    let station = Station::with(Setup { vars: vec![("ACK_URL", ack)], ..Setup::default() }).await;
    let uid = Uuid::new_v4().to_string();
    let text = json!({ "Body": "hi", "From": "+12075550123", "wbor_message_id": uid });
    station.consume(&[Station::message("source.twilio.sms.incoming", &text)]).await;
    // One try inside the door's budget; the dispatcher goes on with it.
    station
        .until("select operation || ' ' || outcome from api_calls order by id", &["post posted", "ack failed"])
        .await;
    station.until("select answer from messages", &["giving"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_about_one_part_does_not_unblock_another_in_the_air() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message(&"long ".repeat(300))]).await;
    let first = claims(&relay, "frozen").await;
    let client = station.db().await;
    // The first part was given up, and its holder with it.
    client
        .batch_execute(
            "update parts set state = 'unconfirmed' where n = 1;
             update deliveries set unsure = 1, blocked_until = null; update lanes set lease_until = 'epoch'",
        )
        .await
        .unwrap();
    assert_eq!(claims(&relay, "next").await.part, 2);
    record_and_release(&relay, "frozen", &called(&first, Outcome::Posted)).await.unwrap();
    station.until(PARTS, &["sent 1", "posting 1"]).await;
    station
        .until(
            "select (blocked_until is not null)::text || ' ' || sent || ' ' || unsure from deliveries",
            &["true 1 0"],
        )
        .await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_given_up_and_refused_at_last_is_failed_and_counted_as_nothing_else() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message("a")]).await;
    let claimed = claims(&relay, "frozen").await;
    let given_up = "update parts set state = 'unconfirmed'; update deliveries set unsure = 1, state = 'unconfirmed'";
    station.db().await.batch_execute(given_up).await.unwrap();
    record_and_release(&relay, "frozen", &called(&claimed, Outcome::Refused)).await.unwrap();
    station.until("select state || ' ' || sent || ' ' || unsure from deliveries", &["failed 0 0"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_first_part_was_seen_after_all_does_not_expire() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message(&"long ".repeat(300))]).await;
    let claimed = claims(&relay, "died").await;
    // Judged absent: it waits to be posted again.
    let absent =
        "update parts set state = 'waiting' where n = 1; update deliveries set state = 'queued', blocked_until = null";
    let client = station.db().await;
    client.batch_execute(absent).await.unwrap();
    let seen = Line::read(&line("1", &claimed.text)).unwrap();
    relay.hear(&seen).await.unwrap();
    station.until(STATES, &["sending"]).await;
    client.batch_execute("update deliveries set expires_at = 'epoch'").await.unwrap();
    relay.tend_once().await.unwrap();
    station.until(STATES, &["sending"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_seen_late_is_proof_also_for_what_expired() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message("a")]).await;
    let claimed = claims(&relay, "died").await;
    // As a claim would judge it absent, and then a sweep too old.
    let expired = "update parts set state = 'waiting'; update deliveries set state = 'queued', blocked_until = null;
                   update deliveries set state = 'expired'";
    station.db().await.batch_execute(expired).await.unwrap();
    relay.hear(&Line::read(&line("1", &claimed.text)).unwrap()).await.unwrap();
    station.until(STATES, &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_confirms_what_was_posted_before_what_was_judged_absent() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message("same"), message("same")]).await;
    let first = claims(&relay, "one").await;
    // The first was set aside; the second is in the air when a line with their text is seen.
    let aside = "update parts set state = 'waiting' where state = 'posting';
                 update deliveries set state = 'scheduled', blocked_until = null, due_at = clock_timestamp() + interval '1 h'
                 where state = 'sending'; update lanes set token = null";
    station.db().await.batch_execute(aside).await.unwrap();
    let second = claims(&relay, "two").await;
    assert_ne!(first.delivery, second.delivery);
    relay.hear(&Line::read(&line("1", "same")).unwrap()).await.unwrap();
    station.until(STATES, &["scheduled", "confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_a_producer_recorded_first_confirms_all_the_same() {
    let station = Station::with(plain_room()).await;
    station.consume(&[message("a")]).await;
    station.until(STATES, &["sent"]).await;
    let told = line("77", "a");
    station.consume(&[Station::message("source.groupme.callback", &told)]).await;
    station.until("select learnt_by from groupme_callbacks", &["record"]).await;
    station.relay("callback").hear(&Line::read(&told).unwrap()).await.unwrap();
    station.until("select learnt_by from groupme_callbacks", &["callback"]).await;
    station.until("select state from deliveries where parts = 1 and sent = 1 and confirmed = 1", &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_the_old_address_does_not_suspend_a_mended_room() {
    let mut station = Station::open().await;
    let old = station.relay("dispatcher");
    old.wake().await.unwrap();
    station.vars.insert("GROUPME_ACCESS_TOKEN".into(), MEMBER.into());
    station.settings = Settings::from_vars(&station.vars).unwrap();
    let mended = station.relay("dispatcher");
    accepted(&mended, &[message("a")]).await;
    station.sim.fault(Fault::once(What::Status { code: 404, retry_after: None, shown: false }));
    old.dispatch(&Budget::door(Duration::from_millis(40), None, old.room_names())).await.unwrap();
    station.until("select outcome from api_calls", &["suspended"]).await;
    station.until("select state from rooms", &["open"]).await;
    station.start_dispatcher();
    station.until(STATES, &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alarm_of_a_suspended_room_is_raised_also_if_its_finder_died() {
    let mut station = Station::with(two_rooms()).await;
    let died = "update rooms set state = 'suspended', state_reason = 'HTTP 404' where name = 'staff'";
    station.db().await.batch_execute(died).await.unwrap();
    station.start_dispatcher();
    let told = |lines: &[groupme_sim::Line]| {
        lines.iter().any(|l| l.group_id == "777" && l.text.as_deref().is_some_and(|t| t.contains("staff")))
    };
    station.sim.wait_for(told, crate::station::PATIENCE).await.unwrap();
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_message_waits_for_its_call_in_the_air() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message("a")]).await;
    claims(&relay, "posting").await;
    // Withdrawn in the middle of its call, and sent again by a person at once.
    let withdrawn = "update deliveries set state = 'withdrawn'; update lanes set token = null";
    let client = station.db().await;
    client.batch_execute(withdrawn).await.unwrap();
    let uid: String = client.query_one("select uid from messages", &[]).await.unwrap().get(0);
    assert_eq!(relay.store.replay(&uid).await.unwrap(), 1);
    let taken = relay.store.take("next", &relay.room_names(), &relay.settings.lanes).await.unwrap();
    assert!(taken.is_none(), "its call may still end well");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_postgres_was_away_a_lost_answer_is_looked_for_anew() {
    let mut station = Station::with(plain_room()).await;
    // Postgres has been up for less than this window.
    let config = station.vars["TALKBACK_CONFIG"].replace("window = \"1s\"", "window = \"90000h\"");
    station.vars.insert("TALKBACK_CONFIG".into(), config);
    station.settings = Settings::from_vars(&station.vars).unwrap();
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message("a")]).await;
    claims(&relay, "died").await;
    let client = station.db().await;
    let before = "update parts set claimed_at = pg_postmaster_start_time() - interval '1 min';
                  update deliveries set blocked_until = null; update lanes set token = null";
    client.batch_execute(before).await.unwrap();
    // Whoever takes the lane once finds that it must wait, and nobody finds it twice.
    let rooms = relay.room_names();
    let first = relay.store.take("next", &rooms, &relay.settings.lanes).await.unwrap();
    assert!(matches!(first, Some((_, Claim::Wait(_)))));
    assert!(relay.store.take("next", &rooms, &relay.settings.lanes).await.unwrap().is_none());
    station.until(PARTS, &["posting 1"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_others_are_kept_nowhere_also_in_what_strict_readers_refuse() {
    let station = Station::open().await;
    // Half a surrogate pair, as Python writes it.
    let raw = br#"{"text": "\ud83d", "bot_id": "someone-elses-bot", "nested": [{"password": "letmein"}], "uid": []}"#;
    station.consume(&[Station::raw_message("source.standard", raw, json!({}))]).await;
    let row = station.db().await.query_one("select id::text, raw_sealed from rejected", &[]).await.unwrap();
    let (id, sealed): (String, Vec<u8>) = (row.get(0), row.get(1));
    let place = talkback::seal::Place { table: "rejected", column: "raw_sealed", row: &id };
    let kept = String::from_utf8(station.settings.data_keys.open(place, &sealed).unwrap()).unwrap();
    assert!(kept.contains("***") && !kept.contains("someone-elses-bot") && !kept.contains("letmein"), "{kept}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_lacks_a_part_is_never_called_sent() {
    let station = Station::with(plain_room()).await;
    let relay = station.relay("dispatcher");
    accepted(&relay, &[message(&"long ".repeat(300))]).await;
    let client = station.db().await;
    let refused =
        "update parts set state = case n when 1 then 'failed' else 'sent' end; update deliveries set sent = 1";
    client.batch_execute(refused).await.unwrap();
    let taken = relay.store.take("next", &relay.room_names(), &relay.settings.lanes).await.unwrap();
    assert!(matches!(taken, Some((_, Claim::Settled { .. }))));
    station.until(STATES, &["failed"]).await;
    station.end().await;
}
