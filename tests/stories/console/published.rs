//! What the outside logger hears of the console: that something was answered, and not what.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::{ADA, text_from};
use crate::outside_logger::{bind_logger, publishing, record};
use crate::station::Station;
use crate::vhost::Vhost;

const NUMBER: &str = "+12075553250";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sent_it_is_not_published_with_the_line_that_tells_it() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    let uid = Uuid::new_v4().to_string();
    station.consume(&[text_from(NUMBER, &uid, "hello")]).await;
    let answer = station.typed(ADA, &format!("!who {uid}")).await;
    assert!(answer.contains("Grace Hopper"), "{answer}");
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    // The text, the command and its answer; what was shown to be a listener's is there as it was.
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(record(&vhost, "callback").await);
    }
    let bots: Vec<_> = lines.iter().filter(|line| line["sender_type"] == "bot").collect();
    assert_eq!(bots.len(), 2);
    assert!(bots.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains("hello"))), "{bots:?}");
    let private = bots.iter().find(|line| line["text"].is_null()).unwrap_or_else(|| panic!("{bots:?}"));
    assert_eq!(private["text_length"], answer.chars().count());
    let hash = station.column("select encode(fingerprint, 'base64') from parts where text_sealed is not null").await;
    let plain = STANDARD.decode(private["text_hash"].as_str().unwrap()).unwrap();
    assert_eq!(STANDARD.encode(plain), hash[0].replace('\n', ""));
    for _ in 0..2 {
        lines.push(record(&vhost, "msg").await);
    }
    for line in &lines {
        let told = line.to_string();
        assert!(!told.contains("Grace") && !told.contains("PORTLAND") && !told.contains("XXXXX53250"), "{told}");
    }
    // Said once more than anybody knows of, it is no less private.
    let again = serde_json::json!({
        "attachments": [], "created_at": jiff::Timestamp::now().as_second(), "group_id": crate::station::GROUP,
        "id": "once-more", "name": "Talkback", "sender_id": "1", "sender_type": "bot", "system": false,
        "text": answer, "user_id": "1", "source_guid": "g",
    });
    assert_eq!(station.call(&again).await, 200);
    let line = record(&vhost, "callback").await;
    assert_eq!((line["id"].as_str(), line["text"].is_null()), (Some("once-more"), true), "{line}");
    station.end().await;
    vhost.gone().await;
}
