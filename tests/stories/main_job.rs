//! The main job: what is sent appears in the room, once, in order, dressed, recorded.
use std::time::Duration;

use groupme_sim::CallbackMode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::station::{BOT, GROUP, Setup, Station, dressed, usual_rooms};

fn standard(text: &str) -> (String, Value) {
    let uid = Uuid::new_v4().to_string();
    let body = json!({ "body": text, "source": "standard", "wbor_message_id": uid });
    (uid, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listeners_text_appears_in_the_room_dressed_and_recorded() {
    let station = Station::open().await;
    // Else the callback may come before the answer, and the delivery is never just sent.
    station.sim.callbacks_mode(BOT, CallbackMode::Late(Duration::from_millis(500)));
    let uid = Uuid::new_v4().to_string();
    let text = json!({
        "MessageSid": "SM1", "From": "+12075550123", "To": "+12075550199", "Body": "Play some Coltrane 🎷",
        "NumMedia": "0", "SenderName": "Ada", "FromCity": "BRUNSWICK", "wbor_message_id": uid, "source": "twilio",
        "type": "sms.incoming",
    });
    station.consume(&[Station::message("source.twilio.sms.incoming", &text)]).await;
    let lines = station.lines(1).await;
    assert_eq!(lines[0].text.as_deref(), Some(dressed("Play some Coltrane 🎷", &uid).as_str()));
    station.until("select state from deliveries", &["confirmed"]).await;
    station.until("select outcome || ' ' || status || ' ' || operation from api_calls", &["posted 202 post"]).await;
    station
        .until("select new_state from delivery_events order by id", &["queued", "sending", "sent", "confirmed"])
        .await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_appears_in_the_order_accepted() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let texts: Vec<(String, Value)> = (0..30).map(|n| standard(&format!("line {n}"))).collect();
    let batch: Vec<Value> = texts.iter().map(|(_, body)| Station::message("source.standard", body)).collect();
    station.consume(&batch).await;
    station.lines(30).await;
    let wanted: Vec<String> =
        texts.iter().enumerate().map(|(n, (uid, _))| dressed(&format!("line {n}"), uid)).collect();
    assert_eq!(station.texts(), wanted);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivered_batch_posts_nothing_twice() {
    let mut station = Station::open().await;
    let batch: Vec<Value> = (0..5).map(|n| Station::message("source.standard", &standard(&format!("{n}")).1)).collect();
    let (one, two) = tokio::join!(station.consume(&batch), station.consume(&batch));
    assert_eq!((one["messages"].as_u64(), two["messages"].as_u64()), (Some(5), Some(5)));
    station.consume(&batch).await;
    station.start_dispatcher();
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["5"]).await;
    assert_eq!(station.sim.lines(GROUP).len(), 5);
    station.until("select repeats::text from messages", &["2", "2", "2", "2", "2"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_of_a_long_message_stay_together_and_in_order() {
    let mut station = Station::with(Setup { rooms: usual_rooms("10ms", 1), ..Setup::default() }).await;
    station.start_dispatcher();
    let long = "All work and no play makes Jack a dull boy. ".repeat(100);
    let (uid, body) = standard(long.trim());
    let (other, second) = standard("after it");
    station.consume(&[Station::message("source.standard", &body), Station::message("source.standard", &second)]).await;
    let parts = 5;
    let lines = station.lines(parts + 1).await;
    for (n, line) in lines.iter().take(parts).enumerate() {
        let text = line.text.as_deref().unwrap_or_default();
        assert!(text.starts_with(&format!("({}/{parts}):\n\"", n + 1)), "{text}");
        assert_eq!(text.contains("---UID---"), n + 1 == parts);
    }
    assert!(lines[parts - 1].text.as_deref().unwrap_or_default().contains(uid.split('-').next().unwrap()));
    assert_eq!(lines[parts].text.as_deref(), Some(dressed("after it", &other).as_str()));
    station.end().await;
}
