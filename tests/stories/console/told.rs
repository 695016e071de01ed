//! What programs tell: bans by Twilio's front end, a bot that was removed, lines that were deleted.
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ADA, text_from, with};
use crate::station::{GROUP, KEY, Station};

const NUMBER: &str = "+12075553250";

fn told(key: &str, field: &str, number: &str, uid: &str) -> Value {
    Station::message(key, &json!({ "wbor_message_id": uid, field: number, "timestamp": "2026-11-29T00:00:00Z" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_ends_bans_hold_and_are_lifted_each_once_whatever_the_routes_say() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let uids: Vec<String> = (0..3).map(|_| Uuid::new_v4().to_string()).collect();
    let ban = told("source.twilio.ban", "ban_number", " +12075553250 ", &uids[0]);
    // There is no route for this one: it would go where `source.#` goes.
    let unban = told("source.twilio.unban", "unban_number", NUMBER, &uids[1]);
    let text = |n: u8| text_from(NUMBER, &Uuid::new_v4().to_string(), &format!("text {n}"));
    station.consume(&[ban.clone(), text(1)]).await;
    station.consume(&[text(2)]).await;
    station.consume(&[unban.clone(), text(3)]).await;
    station.consume(&[text(4)]).await;
    // They come again, and do nothing.
    station.consume(&[ban]).await;
    station.consume(&[text(5)]).await;
    station.consume(&[unban]).await;
    let verdicts = "select verdict from messages where source = 'source.twilio.sms.incoming' order by accepted_at";
    let found = station.column(verdicts).await;
    assert_eq!(found, ["banned", "banned", "accepted", "accepted", "accepted"]);
    let commands = "select command || ' ' || outcome from commands order by at";
    assert_eq!(station.column(commands).await, ["ban done", "unban done"]);
    let stored =
        "select source || ' ' || verdict || (body is null)::text from messages where source ~ 'ban$' order by 1";
    assert_eq!(station.column(stored).await, ["source.twilio.ban blockedtrue", "source.twilio.unban blockedtrue"]);
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said(), ["text 3", "text 4", "text 5"]);
    // A ban of the front end is one like any other.
    station.consume(&[told("source.twilio.ban", "ban_number", NUMBER, &uids[2])]).await;
    let listed = station.typed(ADA, "!bans").await;
    assert_eq!(listed, "2 +1XXXXX53250, by Twilio's front end");
    for wrong in ["", "2075553250", "+", "+1207555x250", "+12345678901234567"] {
        let uid = Uuid::new_v4().to_string();
        station.consume(&[told("source.twilio.ban", "ban_number", wrong, &uid)]).await;
    }
    let rejected = "select distinct reason || ' ' || detail from rejected";
    assert_eq!(
        station.column(rejected).await,
        ["bad_field `ban_number` must be a number in E.164, such as +12075550123"]
    );
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_taken_for_its_uid_tells_nothing() {
    let station = Station::with(with("")).await;
    let uid = Uuid::new_v4().to_string();
    let first = json!({ "body": "of a machine", "wbor_message_id": uid });
    station.take_in(&[Station::message("source.standard", &first)]).await;
    station.take_in(&[told("source.twilio.ban", "ban_number", NUMBER, &uid)]).await;
    assert_eq!(station.column("select reason from rejected").await, ["uid_reused"]);
    assert_eq!(station.column("select (select count(*) from commands) || ' ' || count(*) from bans").await, ["0 0"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_is_removed_pauses_its_rooms_and_health_says_so() {
    let mut station = Station::with(with("")).await;
    let event = json!({ "type": "bot.del", "data": { "bot": "Talkback" } });
    station.sim.say_as_system(GROUP, "Ada removed Talkback", Some(event)).await;
    station.until("select state from rooms", &["paused"]).await;
    station.consume(&[text_from(NUMBER, &Uuid::new_v4().to_string(), "it waits")]).await;
    assert_eq!(station.column("select state from deliveries").await, ["queued"]);
    let answer = crate::send_health::health(&station, Some(KEY)).await;
    let health = &answer.body;
    assert_eq!(health["rooms"][0]["state"], "paused", "{health}");
    assert!(health["rooms"][0]["reason"].as_str().unwrap_or_default().contains("a bot was removed"), "{health}");
    // Another bot, or a person who knows that it was another's.
    let relay = station.relay("operator");
    assert_eq!(operator::run(&relay, &["resume", "staff"]).await.unwrap(), "staff is open again");
    assert_eq!(operator::run(&relay, &["resume", "staff"]).await.unwrap(), "staff was open");
    let unknown = operator::run(&relay, &["resume", "attic"]).await.unwrap_err().to_string();
    assert_eq!(unknown, "there is no room attic; there are: staff");
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_deleted_is_marked_and_kept() {
    let station = Station::with(with("")).await;
    let line = station.sim.say(GROUP, "7", "Ada", "a slip").await;
    station.until("select count(*)::text from groupme_callbacks where deleted_at is null", &["1"]).await;
    let event = json!({ "type": "message.deleted", "data": { "message_id": line, "deletion_actor": "sender" } });
    station.sim.say_as_system(GROUP, "Message deleted", Some(event)).await;
    let marked = "select line_id from groupme_callbacks where deleted_at is not null";
    station.until(marked, &[&line]).await;
    station.end().await;
}
