//! What is forgotten, and what is not.
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use talkback::config::Retention;
use uuid::Uuid;

use crate::station::{GROUP, Setup, Station, usual_rooms};

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn limited() -> Fault {
    Fault::always(What::Status { code: 429, retry_after: None, shown: false })
}

/// All that is trimmed, after an hour.
fn hourly() -> Retention {
    Retention { messages: None, calls: HOUR, callbacks: HOUR, events: HOUR, rejected: HOUR }
}

fn message(text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_finished_is_forgotten_with_all_that_belongs_to_it() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.consume(&[message("old"), Station::raw_message("source.standard", b"no JSON", json!({}))]).await;
    station.sim.say(GROUP, "7", "Ada", "hello").await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.until("select count(*)::text from groupme_callbacks", &["2"]).await;
    station.sim.fault(limited());
    station.consume(&[message("old, and waits")]).await;
    station.until("select distinct outcome from api_calls order by 1", &["limited", "posted"]).await;
    station.stop_dispatcher().await;
    let age = "update messages set accepted_at = accepted_at - interval '2 h';
               insert into pictures (uid, channel, n, url) select uid, 'groupme', 1, 'url' from messages;
               update rejected set at = at - interval '2 h';
               update groupme_callbacks set received_at = received_at - interval '2 h';
               insert into callback_refusals values (date_trunc('minute', now() - interval '2 h'), 'malformed', 1)";
    station.db().await.batch_execute(age).await.unwrap();
    station.take_in(&[message("young")]).await;
    let store = station.relay("dispatcher").store;
    let counts = "
        select concat_ws(' ', (select count(*) from messages), (select count(*) from deliveries),
                         (select count(distinct delivery) from parts), (select count(distinct delivery) from delivery_events),
                         (select count(distinct uid) from api_calls), (select count(*) from rejected),
                         (select count(*) from groupme_callbacks), (select count(*) from callback_refusals),
                         (select count(*) from pictures))";
    let all = ["3 3 3 3 2 1 2 1 2"];
    let keep =
        |messages, others| Retention { messages, calls: others, callbacks: others, events: None, rejected: others };
    store.forget(&keep(None, None)).await.unwrap();
    assert_eq!(station.column(counts).await, all, "for ever");
    let day = Some(Duration::from_secs(86_400));
    store.forget(&keep(day, day)).await.unwrap();
    assert_eq!(station.column(counts).await, all, "nothing is so old");
    assert!(!store.forget(&keep(HOUR, HOUR)).await.unwrap(), "that was all");
    assert_eq!(station.column(counts).await, ["2 2 2 2 1 0 0 0 1"]);
    assert_eq!(station.column("select body from messages order by body").await, ["old, and waits", "young"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_old_calls_it_stays_that_they_were_made_and_how_they_ended() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.consume(&[message("old")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.sim.fault(limited());
    station.consume(&[message("old, and waits")]).await;
    station.until("select distinct outcome from api_calls order by 1", &["limited", "posted"]).await;
    station.stop_dispatcher().await;
    let age = "update api_calls set at = at - interval '2 h'; update delivery_events set at = at - interval '2 h'";
    station.db().await.batch_execute(age).await.unwrap();
    station.take_in(&[message("young")]).await;
    let calls =
        "select distinct a.outcome || ' ' || a.status || ' ' || (a.request is not null) || ' ' || (a.latency_ms >= 0)
                 from api_calls a order by 1";
    let events = "select m.body || ' ' || (count(*) > 1) from delivery_events e join deliveries d on d.id = e.delivery
                  join messages m using (uid) group by m.body order by 1";
    assert_eq!(station.column(calls).await, ["limited 429 true true", "posted 202 true true"]);
    assert_eq!(station.column(events).await, ["old true", "old, and waits true", "young false"]);
    let store = station.relay("dispatcher").store;
    store.forget(&hourly()).await.unwrap();
    // What waits is not finished: nothing of it goes.
    assert_eq!(station.column(calls).await, ["limited 429 true true", "posted 202 false true"]);
    assert_eq!(station.column(events).await, ["old, and waits true", "young false"]);
    // All can still be posted, and sent again.
    station.sim.clear_faults();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"; 3]).await;
    assert_eq!(station.said(), ["old", "old, and waits", "young"]);
    // The gap in the events is what this is about.
    station.stop_dispatcher().await;
    station.db().await.batch_execute("delete from delivery_events").await.unwrap();
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_to_be_published_is_kept() {
    let station = Station::open().await;
    station.consume(&[message("old")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let outbox = "insert into record_publishing (wait) values ('1 s');
                  insert into record_outbox (call) select id from api_calls;
                  insert into record_outbox (group_id, line_id) select group_id, line_id from groupme_callbacks;
                  update api_calls set at = at - interval '2 h';
                  update groupme_callbacks set received_at = received_at - interval '2 h'";
    station.db().await.batch_execute(outbox).await.unwrap();
    let kept =
        "select concat_ws(' ', (select count(request) from api_calls), (select count(*) from groupme_callbacks))";
    let store = station.relay("dispatcher").store;
    store.forget(&hourly()).await.unwrap();
    assert_eq!(station.column(kept).await, ["1 1"]);
    station.db().await.batch_execute("delete from record_outbox").await.unwrap();
    store.forget(&hourly()).await.unwrap();
    assert_eq!(station.column(kept).await, ["0 0"]);
    station.end().await;
}

/// The room may be read back from when a call was begun: a line that had confirmed another part with the same text must
/// be known then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_kept_while_a_call_that_began_before_it_is_in_the_air() {
    let station = Station::open().await;
    station.sim.say(GROUP, "7", "Ada", "hello").await;
    station.until("select count(*)::text from groupme_callbacks", &["1"]).await;
    station.take_in(&[message("in the air")]).await;
    let begun = "update groupme_callbacks set received_at = received_at - interval '2 h';
                 update parts set state = 'posting', attempt = 1, claimed_at = now() - interval '3 h'";
    station.db().await.batch_execute(begun).await.unwrap();
    let store = station.relay("dispatcher").store;
    store.forget(&hourly()).await.unwrap();
    assert_eq!(station.column("select count(*)::text from groupme_callbacks").await, ["1"]);
    station.db().await.batch_execute("update parts set claimed_at = now()").await.unwrap();
    store.forget(&hourly()).await.unwrap();
    assert_eq!(station.column("select count(*)::text from groupme_callbacks").await, ["0"]);
    station.db().await.batch_execute("update parts set state = 'waiting', attempt = 0").await.unwrap();
    station.end().await;
}

/// A thousand rows at a time, past what somebody holds, while messages are posted as ever; by the times that hold where
/// nothing is configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_worked_off_while_the_budget_lasts_and_holds_up_nothing() {
    let rooms = format!("{}\n[retention]\nmessages = \"500d\"\n", usual_rooms("20ms", 3));
    let mut station = Station::with(Setup { rooms, ..Setup::default() }).await;
    let backlog = "
        insert into api_calls (at, channel, operation, outcome, request)
        select now() - interval '401 d' - n * interval '1 min', 'groupme', 'post', 'recorded', '{}' from generate_series(1, 3500) n;
        insert into rejected (id, at, door, reason, raw_sealed)
        select gen_random_uuid(), now() - interval '401 d' - n * interval '1 min', 'http', 'no_body', '\\x00' from generate_series(1, 2500) n;
        insert into delivery_events (delivery, at, new_state, cause)
        select -n, now() - interval '401 d', 'queued', 'accepted' from generate_series(1, 5500) n;
        insert into api_calls (at, channel, operation, outcome, request)
        values (now() - interval '399 d', 'groupme', 'post', 'recorded', '{}');
        insert into rejected (id, at, door, reason, raw_sealed)
        values (gen_random_uuid(), now() - interval '399 d', 'http', 'no_body', '\\x00');
        insert into delivery_events (delivery, at, new_state, cause)
        values (-1, now() - interval '399 d', 'queued', 'accepted')";
    station.db().await.batch_execute(backlog).await.unwrap();
    let holder = station.db().await;
    let hold = "begin; select 1 from rejected order by at limit 1 for update;
                select 1 from api_calls order by at limit 1 for update";
    holder.batch_execute(hold).await.unwrap();
    station.start_dispatcher();
    station.consume(&[message("as ever")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let left = "select concat_ws(' ', (select count(request) from api_calls where operation = 'post' and outcome = 'recorded'),
                                 (select count(*) from rejected), (select count(*) from delivery_events where delivery < 0))";
    station.until(left, &["2 2 1"]).await;
    holder.batch_execute("rollback").await.unwrap();
    station.until(left, &["1 1 1"]).await;
    assert_eq!(station.column("select count(*)::text from api_calls where outcome = 'recorded'").await, ["3501"]);
    station.stop_dispatcher().await;
    station.db().await.batch_execute("delete from delivery_events where delivery < 0").await.unwrap();
    station.end().await;
}
