//! Mutes: what a source sends is held, not lost, and comes in its order when the mute is over.
use serde_json::json;
use uuid::Uuid;

use super::{ADA, BO, text_from, with};
use crate::answers::asking;
use crate::station::{PATIENCE, Setup, Station};
use crate::vhost::Vhost;

const NUMBER: &str = "+12075553250";

/// What was posted of what came, in its order.
fn posted(station: &Station) -> Vec<String> {
    let words = |text: &String| text.strip_prefix('"').and_then(|text| text.split('"').next()).map(str::to_owned);
    station.texts().iter().filter_map(words).collect()
}

fn alarm(text: &str) -> serde_json::Value {
    let body = json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() });
    Station::message("notification.ups.onbattery", &body)
}

async fn say(station: &Station, text: &str) {
    station.consume(&[text_from(NUMBER, &Uuid::new_v4().to_string(), text)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_muted_is_held_and_comes_in_its_order_and_alarms_come_at_once() {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let vars = vec![("AMQP_URL", vhost.url())];
    let mut station = Station::with(Setup { vars, ..with("") }).await;
    // One waits already.
    station.take_in(&[text_from(NUMBER, &Uuid::new_v4().to_string(), "one")]).await;
    let answer = station.typed(ADA, "!mute source.twilio.# for 2h").await;
    assert!(answer.starts_with("Ada muted source.twilio.# until ") && answer.ends_with("Held already: 1."), "{answer}");
    station.start_dispatcher();
    // Its producer need not post it.
    let asked = text_from(NUMBER, &Uuid::new_v4().to_string(), "two");
    station.consume(&[asking(asked, "answers", "c-2")]).await;
    assert_eq!(vhost.answer("answers").await.0["status"], "success");
    say(&station, "three").await;
    station.consume(&[Station::message("source.standard", &json!({ "body": "of another" }))]).await;
    station.consume(&[alarm("the power")]).await;
    station.until("select count(*)::text from deliveries where state = 'held'", &["3"]).await;
    station
        .sim
        .wait_for(|lines| lines.iter().any(|l| l.text.as_deref().is_some_and(|t| t.contains("the power"))), PATIENCE)
        .await
        .unwrap();
    assert!(!posted(&station).iter().any(|text| ["one", "two", "three"].contains(&text.as_str())));
    let listed = station.typed(BO, "!mutes").await;
    assert!(listed.starts_with("source.twilio.# until ") && listed.ends_with(", 3 held"), "{listed}");
    // What was held may be posted before that is said.
    let over = "Bo unmuted source.twilio.#: 3 held (3 of source.twilio.sms.incoming).";
    station.done(BO, "!unmute source.twilio.#").await;
    station.sim.wait_for(|lines| lines.iter().any(|line| line.text.as_deref() == Some(over)), PATIENCE).await.unwrap();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let held: Vec<String> =
        posted(&station).into_iter().filter(|t| ["one", "two", "three"].contains(&t.as_str())).collect();
    assert_eq!(held, ["one", "two", "three"]);
    assert_eq!(station.typed(BO, "!mutes").await, "Nothing is muted.");
    assert_eq!(station.typed(BO, "!unmute source.twilio.#").await, "That is not muted. !mutes lists what is.");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_that_ends_by_itself_says_once_what_was_held() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    station.typed(ADA, "!mute source.* for 1h").await;
    // `*` is one word: that of a listener is longer.
    station.consume(&[Station::message("source.standard", &json!({ "body": "held" }))]).await;
    say(&station, "not held").await;
    station.until("select count(*)::text from deliveries where state = 'held'", &["1"]).await;
    let answer = station.typed(BO, "!mute source.* for 1s").await;
    assert!(answer.starts_with("source.* was muted already; Bo changed the term: until "), "{answer}");
    let over = "The mute of source.* is over: 1 held (1 of source.standard).";
    station.sim.wait_for(|lines| lines.iter().any(|line| line.text.as_deref() == Some(over)), PATIENCE).await.unwrap();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said().iter().filter(|text| *text == over || text.contains("is over")).count(), 1);
    station.until("select told::text || (ended_at = until)::text from mutes", &["truetrue"]).await;
    assert_eq!(station.typed(BO, "!mutes").await, "Nothing is muted.");
    for wrong in ["!mute", "!mute source.# for", "!mute so#rce", "!mute source.# soon", "!mute +12075553250@"] {
        assert_eq!(station.typed(ADA, wrong).await, "Usage: !mute <source pattern> [for 2h]", "{wrong}");
    }
    station.end().await;
}

fn texts(range: std::ops::Range<u8>) -> Vec<serde_json::Value> {
    range.map(|n| text_from(NUMBER, &Uuid::new_v4().to_string(), &format!("text {n:02}"))).collect()
}

const THEIRS: &str = "select d.state || ' ' || count(*) from deliveries d join messages m using (uid)
                      where m.door = 'rabbitmq' group by d.state order by 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_comes_in_its_order_and_before_what_came_behind_it() {
    let mut station = Station::with(with("")).await;
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    // What a rate limit or a lost lease put back was never posted, and is held like any.
    station.take_in(&texts(0..8)).await;
    station
        .db()
        .await
        .batch_execute("update deliveries set begun = true where qseq = (select min(qseq) from deliveries)")
        .await
        .unwrap();
    station.done(ADA, "!mute source.twilio.#").await;
    station.take_in(&texts(8..16)).await;
    assert_eq!(station.column(THEIRS).await, ["held 16"]);
    station.done(ADA, "!unmute source.twilio.#").await;
    assert_eq!(station.column(THEIRS).await, ["queued 16"]);
    station.take_in(&texts(16..18)).await;
    // The same where a term ends: what comes before anybody has let go what was held goes behind it.
    let wanted = |range: std::ops::Range<u8>| range.map(|n| format!("text {n:02}")).collect::<Vec<_>>();
    station.db().await.batch_execute("update rooms set state = 'open'").await.unwrap();
    station.start_dispatcher();
    station.until(THEIRS, &["confirmed 18"]).await;
    station.stop_dispatcher().await;
    assert_eq!(posted(&station), wanted(0..18));
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    station.done(BO, "!mute source.twilio.# for 1h").await;
    station.take_in(&texts(18..26)).await;
    station
        .db()
        .await
        .batch_execute("update mutes set until = clock_timestamp() where ended_at is null")
        .await
        .unwrap();
    station.take_in(&texts(26..28)).await;
    assert_eq!(station.column(THEIRS).await, ["confirmed 18", "held 10"]);
    station.relay("dispatcher").tend_once().await.unwrap();
    assert_eq!(station.column(THEIRS).await, ["confirmed 18", "queued 10"]);
    // Nothing is held any more: what comes now is queued at once, though its room has not been told perhaps.
    station.relay("dispatcher").tend_once().await.unwrap();
    station.take_in(&texts(28..30)).await;
    assert_eq!(station.column(THEIRS).await, ["confirmed 18", "queued 12"]);
    station.db().await.batch_execute("update rooms set state = 'open'").await.unwrap();
    station.start_dispatcher();
    station.until(THEIRS, &["confirmed 30"]).await;
    assert_eq!(posted(&station), wanted(0..30));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_for_longer_than_it_is_worth_is_posted_when_it_is_let_go_unless_its_producer_said_otherwise() {
    let mut station = Station::with(with("")).await;
    station.done(ADA, "!mute source.# for 2h").await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let timed = json!({ "body": "doors open at eight", "expires_at": soon.to_string() });
    station.take_in(&[Station::message("source.standard", &timed)]).await;
    station.take_in(&texts(0..3)).await;
    // More time passes than any of them is worth.
    let later = "update deliveries set media_since = media_since - interval '30 days',
                                       expires_at = expires_at - interval '30 days' where state = 'held'";
    station.db().await.batch_execute(later).await.unwrap();
    station.relay("dispatcher").tend_once().await.unwrap();
    assert_eq!(station.column(THEIRS).await, ["held 4"]);
    station.start_dispatcher();
    let over = "Bo unmuted source.#: 4 held (3 of source.twilio.sms.incoming, 1 of source.standard).";
    station.done(BO, "!unmute source.#").await;
    station.sim.wait_for(|lines| lines.iter().any(|line| line.text.as_deref() == Some(over)), PATIENCE).await.unwrap();
    station.until(THEIRS, &["confirmed 3", "expired 1"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_mutes_match_is_held_until_both_are_over() {
    let mut station = Station::with(with("")).await;
    // As `!stats` shows the source.
    station.done(ADA, "!mute twilio.sms.incoming").await;
    station.done(BO, "!mute source.#").await;
    station.take_in(&texts(0..2)).await;
    station.take_in(&[Station::message("source.standard", &json!({ "body": "a machine" }))]).await;
    assert_eq!(station.column(THEIRS).await, ["held 3"]);
    let held = "select u.pattern || ' ' || count(d.id) from mutes u left join deliveries d on d.held_by = u.id and d.state = 'held'
                group by u.id, u.pattern order by u.id";
    station.done(ADA, "!unmute source.twilio.sms.incoming").await;
    assert_eq!(station.column(held).await, ["twilio.sms.incoming 0", "source.# 3"]);
    station.start_dispatcher();
    station.until(THEIRS, &["held 3"]).await;
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent')", &["0"]).await;
    let answer = station.typed(ADA, "!mutes").await;
    assert_eq!(answer, "source.#, 3 held");
    let over = "Bo unmuted source.#: 3 held (2 of source.twilio.sms.incoming, 1 of source.standard).";
    station.done(BO, "!unmute source.#").await;
    station.sim.wait_for(|lines| lines.iter().any(|line| line.text.as_deref() == Some(over)), PATIENCE).await.unwrap();
    station.until(THEIRS, &["confirmed 3"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_producer_posts_by_now_is_not_held_but_withdrawn() {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let vars = vec![("AMQP_URL", vhost.url())];
    let station = Station::with(Setup { vars, ..with("") }).await;
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    let late = |text: &str| {
        let mut message = asking(text_from(NUMBER, &Uuid::new_v4().to_string(), text), "answers", text);
        message["basicProperties"]["headers"]["deliver_by"] = json!(jiff::Timestamp::now().as_second() - 1);
        message
    };
    station.take_in(&[late("before")]).await;
    station.done(ADA, "!mute source.#").await;
    station.take_in(&[late("behind")]).await;
    station.relay("dispatcher").tend_once().await.unwrap();
    assert_eq!(station.column(THEIRS).await, ["withdrawn 2"]);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_that_is_prolonged_ends_again_and_there_are_not_more_than_twenty() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    station.typed(ADA, "!mute source.a for 1s").await;
    let over =
        |station: &Station| station.texts().iter().filter(|text| text.contains("The mute of source.a is over")).count();
    station.until("select count(*)::text from mutes where told", &["1"]).await;
    // Told, and prolonged before that was written down.
    let prolonged =
        "update mutes set told = false, ended_at = null, let_go = false, until = clock_timestamp() + interval '1 s'";
    station.db().await.batch_execute(prolonged).await.unwrap();
    station.until("select count(*)::text from mutes where told", &["1"]).await;
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent')", &["0"]).await;
    assert_eq!(over(&station), 2, "{:?}", station.texts());
    for n in 0..20 {
        let relay = station.relay("story");
        let mut line = super::hostile::line(&format!("m{n}"), &format!("!mute source.m{n}"), 0);
        (line["user_id"], line["sender_id"]) = (json!("9"), json!("9"));
        let line = talkback::chat::Line::read(&line).unwrap();
        relay.hear(&line).await.map(drop).unwrap();
    }
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent')", &["0"]).await;
    let answer = station.typed(BO, "!mute source.b").await;
    assert_eq!(answer, "There are 20 mutes already: end one first. !mutes lists them.");
    assert!(station.typed(BO, "!mute source.m3 for 1h").await.starts_with("source.m3 was muted already; "));
    let listed = station.typed(BO, "!mutes").await;
    assert_eq!(listed.lines().count(), 20, "{listed}");
    assert!(listed.contains("source.m19, 0 held"), "{listed}");
    station.end().await;
}
