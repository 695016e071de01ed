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
    let answer = station.typed(BO, "!unmute source.twilio.#").await;
    assert_eq!(answer, "Bo unmuted source.twilio.#: 3 held (3 of source.twilio.sms.incoming).");
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
