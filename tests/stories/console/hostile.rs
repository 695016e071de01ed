//! Lines that mean harm, come twice, too late or too often; and commands whose function died.
use groupme_sim::{Endpoint, Fault, What};
use serde_json::{Value, json};

use super::{ADA, BO, proving, with};
use crate::station::{GROUP, Station};

pub fn line(id: &str, text: &str, age: i64) -> Value {
    json!({
        "attachments": [], "created_at": jiff::Timestamp::now().as_second() - age, "group_id": GROUP, "id": id,
        "name": "Ada", "sender_id": "7", "sender_type": "user", "system": false, "text": text, "user_id": "7",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_line_is_answered_and_harms_nothing() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let long = "🎉\u{1}\u{202e}'\"“x".repeat(400);
    let hostile = [
        "!ban '; drop table messages; -- for 7d".to_owned(),
        "!ban \"\"\"\" for \"\" \u{0}".to_owned(),
        "!who a\u{0}b".to_owned(),
        "!unmute \u{0}.#".to_owned(),
        format!("!ban {long}"),
        format!("!ban abc for 7d {long}"),
        format!("!publish {long} {{\"a\": \"{long}\"}}"),
        "!unban -9223372036854775808".to_owned(),
        "!unban 99999999999999999999999999".to_owned(),
        "!bans 9223372036854775807".to_owned(),
        "!failed -1".to_owned(),
        "!who \u{feff}\u{200b}\n\n\t'or 1=1".to_owned(),
        format!("!{}", "a".repeat(4096)),
        "!help !help".to_owned(),
    ];
    for (n, text) in hostile.iter().enumerate() {
        assert_eq!(station.call(&line(&format!("h{n}"), text, 0)).await, 200, "{text}");
    }
    station.until("select count(*)::text from commands where state = 'told'", &[&hostile.len().to_string()]).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    // One that is about a message that there is: what was typed with it stays a reason.
    let theirs = uuid::Uuid::new_v4().to_string();
    station.take_in(&[super::text_from("+12075553250", &theirs, "a text")]).await;
    let reason = "'; drop table bans; -- \u{202e}\u{1}\u{0} \"nested “quotes\" 🎉 $1 %s \n\n(ban 9)";
    assert_eq!(station.call(&line("reason", &format!("!ban {theirs} for 7d {reason}{long}"), 0)).await, 200);
    station.until("select outcome from commands where line_id = 'reason'", &["done"]).await;
    station.until("select distinct state from deliveries where state <> 'withdrawn'", &["confirmed"]).await;
    let listed = station.typed(BO, "!bans").await;
    let shown = listed.strip_prefix("1 +1XXXXX53250 until ").unwrap_or_else(|| panic!("{listed}"));
    assert!(shown.contains(", by Ada: '; drop table bans; -- ") && shown.contains("🎉 $1 %s (ban 9)"), "{listed}");
    assert!(listed.lines().count() == 1 && listed.chars().count() < 150 && !listed.contains('\u{1}'), "{listed}");
    assert_eq!(station.typed(BO, "!unban 1").await, "Bo lifted ban 1 of +1XXXXX53250.");
    let count = "select count(*)::text from commands where state = 'told'";
    station.until(count, &[&(hostile.len() + 3).to_string()]).await;
    station.until("select distinct state from deliveries where state <> 'withdrawn'", &["confirmed"]).await;
    // One short post each.
    let posts = "select count(*)::text || ' ' || max(n) from parts";
    assert_eq!(station.column(posts).await, [format!("{} 1", hostile.len() + 4)]);
    let answers = station.sim.lines(GROUP).into_iter().filter(|line| line.sender_type == groupme_sim::SenderType::Bot);
    assert!(answers.into_iter().all(|line| line.text.is_none_or(|text| text.chars().count() <= 900)));
    assert_eq!(station.column("select count(*)::text from bans").await, ["1"]);
    assert_eq!(station.typed(ADA, "!ping").await, "pong");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_long_ago_is_recorded_and_not_obeyed() {
    let station = Station::with(with("")).await;
    assert_eq!(station.call(&line("old", "!ping", 301)).await, 200);
    assert_eq!(station.call(&line("young", "!ping", 200)).await, 200);
    assert_eq!(
        station.column("select line_id || ' ' || outcome from commands order by at").await,
        ["old stale", "young done"]
    );
    assert_eq!(station.column("select count(*)::text from messages").await, ["1"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_commands_a_minute_are_obeyed_then_one_warning_then_silence() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    for n in 0..24 {
        assert_eq!(station.call(&line(&format!("n{n:02}"), "!ping", 0)).await, 200);
    }
    let counts = "select outcome || ' ' || count(*) from commands group by outcome order by outcome";
    station.until(counts, &["done 20", "ignored 3", "warned 1"]).await;
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["21"]).await;
    // Somebody else is heard.
    assert_eq!(station.typed(BO, "!ping").await, "pong");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_did_not_finish_the_dispatcher_does() {
    let mut station = Station::with(with("")).await;
    // It died before its work, and between its work and its answer.
    for id in ["before", "between"] {
        assert_eq!(station.call(&line(id, "!ping", 0)).await, 200);
    }
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let db = station.db().await;
    let died = "delete from parts; delete from deliveries; delete from messages;
        update commands set at = at - interval '3 s';
        update commands set state = 'due', outcome = null, reply_sealed = null where line_id = 'before';
        update commands set state = 'done' where line_id = 'between'";
    db.batch_execute(died).await.unwrap();
    station.start_dispatcher();
    station
        .until(
            "select line_id || ' ' || state || ' ' || outcome from commands order by 1",
            &["before told done", "between told done"],
        )
        .await;
    station.until("select count(*)::text from deliveries where state in ('sent', 'confirmed')", &["2"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_groupme_is_silent_nothing_acts_and_afterwards_it_does_once() {
    let mut station = Station::with(proving("")).await;
    station
        .sim
        .fault_at(Endpoint::Messages, Fault::always(What::Status { code: 503, retry_after: None, shown: false }));
    station.sim.say(GROUP, ADA.0, ADA.1, "!cancel 12345678").await;
    station.until("select state from commands", &["due"]).await;
    station.until("select outcome from api_calls where operation = 'read'", &["failed"]).await;
    station.sim.clear_faults();
    station.start_dispatcher();
    station.until("select state || ' ' || outcome from commands", &["told none"]).await;
    station.end().await;
}
