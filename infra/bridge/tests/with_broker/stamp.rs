//! The routing key, from a publish to the function's event.
use serde_json::Value;
use talkback::broker::QUEUE;

use super::function::Function;
use super::program::Program;
use super::vhost::{SOURCE, Vhost};

/// The producers publish as ever, with no header; nothing but the stamp queue tells the key.
#[tokio::test]
async fn the_routing_key_survives_by_the_stamp_queue_alone() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let function = Function::answering(&[]).await;
    let program = Program::bridge(&vhost, &function, &[]).await;
    let keys = ["source.standard", "source.twilio.sms.incoming", "notification.ups.onbattery", "source.groupme.msg"];
    let messages: Vec<(&str, Vec<u8>)> =
        (0..200).map(|n| (keys[n % keys.len()], format!("{{\"n\": {n}}}").into_bytes())).collect();
    vhost.publish_bare(SOURCE, &messages).await;

    let arrived = function.received(messages.len()).await;
    assert_eq!(arrived.len(), messages.len());
    for (delivery, (key, body)) in arrived.iter().zip(&messages) {
        assert_eq!(delivery.routing_key(&[]).unwrap().as_str(), *key);
        assert_eq!(delivery.exchange().as_deref(), Some(SOURCE));
        assert!(delivery.stamp_time().is_some());
        assert_eq!(&delivery.body, body, "order is kept");
    }
    let (_, event) = &function.events()[0];
    let queue = format!("{QUEUE}::{}", vhost.name());
    let headers = event["rmqMessagesByQueue"][&queue][0]["basicProperties"]["headers"].as_object().unwrap();
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    let brokers = ["x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"];
    assert_eq!(names, brokers, "the bridge adds no header of its own");
    assert!(
        headers["x-death"][0]["time"].as_str().is_some_and(|time| time.contains(" 20")),
        "{}",
        Value::from(headers.clone())
    );
    program.stop().await;
    vhost.gone().await;
}
