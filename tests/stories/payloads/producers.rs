//! The station's programs as they are, against our topology: how each publishes, what it waits for, and that nothing
//! need change in it.
use std::time::Duration;

use lambda_runtime::{Context, LambdaEvent};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ExchangeKind};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};
use uuid::Uuid;

use super::wire::{Wire, example};
use crate::asyncapi::assert_reply;
use crate::front_end::FrontEnd;
use crate::station::{BOT, Setup, Station, dressed};
use crate::vhost::Vhost;

const SOURCE: &str = "source_exchange";

/// How long the Twilio front end waits for the reply.
const REPLY: Duration = Duration::from_secs(5);

/// A listener's text as the front end passes it on.
fn listeners_text(uid: &str, text: &str) -> Value {
    json!({
        "ToCountry": "US", "ToState": "ME", "SmsMessageSid": "SM1", "NumMedia": "0", "ToCity": "BRUNSWICK",
        "FromZip": "04101", "SmsSid": "SM1", "FromState": "ME", "SmsStatus": "received", "FromCity": "PORTLAND",
        "Body": text, "FromCountry": "US", "To": "+12075550100", "ToZip": "04011", "NumSegments": "1",
        "MessageSid": "SM1", "AccountSid": "AC1", "From": "+12075550123", "ApiVersion": "2010-04-01",
        "wbor_message_id": uid, "SenderName": "Robin Doe", "source": "twilio", "type": "sms.incoming",
    })
}

/// What a Python client sets for a persistent message.
fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into())
}

/// The next message of a queue, before the deadline.
async fn next(channel: &Channel, queue: &str, deadline: Instant) -> BasicGetMessage {
    let mut look = interval(Duration::from_millis(10));
    loop {
        look.tick().await;
        if let Some(message) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
            channel.basic_ack(message.delivery.delivery_tag, BasicAckOptions::default()).await.unwrap();
            return message;
        }
        assert!(Instant::now() < deadline, "no answer in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_twilio_front_end_has_its_reply_within_5_s_and_its_acknowledgement() {
    let front_end = FrontEnd::answering(&[200]).await;
    let mut setup = example();
    setup.vars.push(("ACK_URL", front_end.url()));
    let wire = Wire::open(setup).await;
    // It waits on a queue of its own connection that the broker names, and that goes with it.
    let waiting = wire.client().await;
    let channel = waiting.create_channel().await.unwrap();
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), own, FieldTable::default()).await.unwrap();
    let queue = queue.name().as_str().to_owned();

    let (uid, correlation) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let properties = persistent().with_reply_to(queue.as_str().into()).with_correlation_id(correlation.as_str().into());
    let deadline = Instant::now() + REPLY;
    let text = listeners_text(&uid, "Who sang that last one?").to_string();
    wire.publish(SOURCE, "source.twilio.sms.incoming", text.as_bytes(), properties).await;
    let reply = next(&channel, &queue, deadline).await;
    let told: Value = serde_json::from_slice(&reply.delivery.data).unwrap();
    assert_reply(&told);
    assert_eq!(told, json!({ "status": "success", "message_id": uid }));
    let answered = reply.delivery.properties.correlation_id().as_ref().map(|id| id.as_str().to_owned());
    assert_eq!(answered.as_deref(), Some(correlation.as_str()));
    assert_eq!(wire.station.texts(), [dressed("Who sang that last one?", &uid)]);
    wire.station.until("select answer from messages", &["given"]).await;
    assert_eq!(front_end.heard(), [json!({ "wbor_message_id": uid })]);
    waiting.close(200, "bye".into()).await.unwrap();
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_publishes_with_no_property_at_all_is_heard() {
    let wire = Wire::open(example()).await;
    let alarm = json!({
        "ups_name": "UPS-2", "hostname": "transmitter", "timestamp_utc": "2026-11-20T17:20:00Z",
        "event_type": "onbattery", "routing_key": "notification.ups.onbattery",
        "data": { "timeleft": "41.0 Minutes", "message": "The mains failed.", "status": "on_battery" },
    });
    let bare = BasicProperties::default();
    wire.publish("wbor-ups", "notification.ups.onbattery", alarm.to_string().as_bytes(), bare.clone()).await;
    let lines = wire.station.lines(1).await;
    let text = lines[0].text.clone().unwrap();
    assert!(text.starts_with("\"⚡ On battery: UPS-2\nWhere: transmitter\nSince: Fri Nov 20, 12:20 EST\n"), "{text}");
    wire.publish(SOURCE, "source.standard", br#"{"body": "from a shell"}"#, bare.clone()).await;
    // The bare key counts too, and what is no JSON harms nobody.
    wire.publish(SOURCE, "source.standard", b"not JSON", bare.clone()).await;
    wire.publish(SOURCE, "source.standard.studio", br#"{"body": "from another"}"#, bare).await;
    wire.station.lines(3).await;
    assert_eq!(wire.station.said()[1..], ["from a shell", "from another"]);
    assert_eq!(wire.station.column("select reason from rejected").await, ["not_json"]);
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_with_the_number_of_a_user_or_an_odd_field_is_posted_each_time() {
    let wire = Wire::open(example()).await;
    for (key, ups) in [("notification.ups.onbattery", "UPS-2"), ("notification.ups.offbattery", "UPS-2")] {
        let alarm = json!({ "ups_name": ups, "uid": 1000 });
        for _ in 0..2 {
            // The same in each second, but not the same message.
            let apart = persistent().with_message_id(Uuid::new_v4().to_string().into());
            wire.publish("wbor-ups", key, alarm.to_string().as_bytes(), apart).await;
        }
    }
    let odd =
        json!({ "body": ["odd"], "text": "Call Ada.", "priority": 7, "rooms": {}, "expires_at": "soon", "uid": [] });
    wire.publish("wbor-ups", "notification.ups.onbattery", odd.to_string().as_bytes(), persistent()).await;
    wire.station.lines(5).await;
    let (on, back) = ("⚡ On battery: UPS-2", "🔌 Power is back: UPS-2");
    assert_eq!(wire.station.said(), [on, on, back, back, "Call Ada."]);
    assert!(wire.station.column("select reason from rejected").await.is_empty());
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_its_producer_posted_itself_is_settled_by_its_record() {
    let wire = Wire::open(example()).await;
    let key = "notification.ups.onbattery";
    let record = json!({ "text": "On battery.", "source": key, "uid": "alarm-7", "bot_id": BOT, "code": 202 });
    wire.publish(SOURCE, "source.groupme.msg", record.to_string().as_bytes(), persistent()).await;
    for (uid, text) in [("alarm-7", "On battery."), ("alarm-8", "Still on battery.")] {
        let alarm = json!({ "body": text, "uid": uid }).to_string();
        wire.publish("wbor-ups", key, alarm.as_bytes(), persistent()).await;
    }
    wire.station.lines(1).await;
    assert_eq!(wire.station.said(), ["Still on battery."]);
    let calls = "select outcome || ' ' || status from api_calls order by id";
    wire.station.until(calls, &["recorded 202", "posted 202"]).await;
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_producer_records_what_it_posted_and_asks_for_what_it_did_not() {
    let wire = Wire::open(example()).await;
    let mut headers = FieldTable::default();
    headers.insert("alreadysent".into(), AMQPValue::Boolean(true));
    let record = |text: &str, status: u16| {
        json!({
            "text": text, "source": "standard", "statuscode": status, "bot_id": BOT,
            "timestamp": "2026-11-20T17:10:00.123456+00:00", "alreadysent": true,
        })
        .to_string()
    };
    let sent = persistent().with_headers(headers);
    wire.publish(SOURCE, "source.standard", record("It posted this.", 202).as_bytes(), sent).await;
    assert_eq!(wire.station.column("select verdict from messages").await, ["already_sent"]);
    let calls = "select outcome || ' ' || status from api_calls order by id";
    assert_eq!(wire.station.column(calls).await, ["recorded 202"]);
    // Its other way: `text` for a body, nothing sent before, no uid.
    let text = json!({ "text": "Please post this.", "source": "standard" }).to_string();
    wire.publish(SOURCE, "source.standard", text.as_bytes(), persistent()).await;
    wire.station.lines(1).await;
    assert_eq!(wire.station.said(), ["Please post this."]);
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_declares_its_exchange_again_finds_it_as_it_wants_it() {
    let wire = Wire::open(example()).await;
    let channel = wire.client().await.create_channel().await.unwrap();
    for name in [SOURCE, "wbor-ups", "wbor-endec", "notifications"] {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(name.into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    }
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_its_machine_declared_otherwise_is_named_at_the_start_with_both_types() {
    let vhost = Vhost::new().await;
    let client = talkback::broker::connect(&vhost.url().into(), None, "a producer", REPLY).await.unwrap();
    let channel = client.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("wbor-endec".into(), ExchangeKind::Fanout, durable, FieldTable::default()).await.unwrap();

    let started = async |setup: Setup| {
        let mut setup = setup;
        setup.vars.push(("AMQP_URL", vhost.url()));
        let station = Station::with(setup).await;
        let started = migrate::handle(&station.relay("migrate"), LambdaEvent::new(json!({}), Context::default())).await;
        station.end().await;
        started.map_err(|error| std::error::Error::source(&error).unwrap().to_string())
    };
    let refused = started(example()).await.unwrap_err();
    for word in ["exchange wbor-endec", "type", "'topic'", "'fanout'"] {
        assert!(refused.contains(word), "{refused}");
    }
    // What the example says to do then.
    let mut as_it_is = example();
    let (before, after) = as_it_is.rooms.split_once("name = \"wbor-endec\"").unwrap();
    as_it_is.rooms = format!("{before}name = \"wbor-endec\"{}", after.replacen("declare = true", "declare = false", 1));
    started(as_it_is).await.unwrap();
    client.close(200, "bye".into()).await.unwrap();
    vhost.broker.close().await;
    vhost.gone().await;
}
