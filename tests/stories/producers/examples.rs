//! The examples of the protocol in `events/` are what the library really says and hears.
use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use talkback_producer::{Message, Outcome, Priority};
use uuid::Uuid;

use super::desk::{Desk, Told, is_record};

/// An example, by the name of its file.
pub fn example(name: &str) -> Value {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn names(object: &Value) -> BTreeSet<String> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Panics unless what came is like the example: the same headers and properties, and the same body but for these fields.
fn assert_like(form: &Value, example: &Value, but: &[&str]) {
    let properties = &form["basicProperties"];
    // The stamp is the broker's.
    let is_stamp = |name: &String| name.starts_with("x-") && name != "x-talkback-uid";
    let headers: BTreeSet<String> = names(&properties["headers"]).into_iter().filter(|name| !is_stamp(name)).collect();
    assert_eq!(headers, names(&example["headers"]));
    let camel = [
        ("deliveryMode", "delivery_mode"),
        ("contentType", "content_type"),
        ("timestamp", "timestamp"),
        ("messageId", "message_id"),
        ("replyTo", "reply_to"),
        ("correlationId", "correlation_id"),
    ];
    let set = camel.into_iter().filter(|(name, _)| !properties[name].is_null()).map(|(_, name)| name.to_owned());
    assert_eq!(set.collect::<BTreeSet<_>>(), names(&example["properties"]));
    let body: Value = serde_json::from_slice(&STANDARD.decode(form["data"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(names(&body), names(&example["body"]));
    for (name, value) in body.as_object().unwrap() {
        assert!(but.contains(&name.as_str()) || *value == example["body"][name], "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn original_record_and_replies_are_as_the_examples_have_them() {
    let desk = Desk::open("examples").await;
    let producer = desk.producer(Told::default(), Duration::from_secs(2));
    let (original, record) = (example("producer-original"), example("producer-record"));
    let uid = |of: &Value| Uuid::parse_str(of["body"]["wbor_message_id"].as_str().unwrap()).unwrap();
    let text = original["body"]["body"].as_str().unwrap();
    let said = Message::new("source.standard", text).unwrap().of(Priority::High);
    for reply in ["producer-reply-taken", "producer-reply-success", "producer-reply-failure"] {
        let reply = example(reply);
        crate::asyncapi::assert_reply(&reply["body"]);
        let said = said.clone().under(uid(&original));
        let answering = async {
            let form = desk.take_all(1).await.remove(0);
            assert_like(&form, &original, &[]);
            let by = form["basicProperties"]["headers"]["deliver_by"].clone();
            assert!(by["bytes"].is_array(), "deliver_by is text: {by}");
            desk.reply(&form, &reply["body"]).await;
        };
        let (outcome, ()) = tokio::join!(producer.send(&said), answering);
        assert_eq!(
            matches!(outcome, Outcome::Talkback { .. }),
            reply["body"]["status"] != json!("failure"),
            "{outcome}"
        );
    }
    let outcome = producer.send(&said.under(uid(&record))).await;
    assert!(matches!(outcome, Outcome::Posted { .. }), "{outcome}");
    let mut forms = Vec::new();
    while forms.len() < 2 {
        forms.extend(desk.take().await);
    }
    let form = forms.iter().find(|form| is_record(form)).unwrap();
    assert_like(form, &record, &["bot_id", "timestamp"]);
    producer.close().await;
    desk.end().await;
}

/// What a producer links is no database.
#[test]
fn the_producer_has_nothing_of_the_store() {
    let cargo = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "talkback-producer",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(cargo.stdout).unwrap();
    assert!(tree.contains("lapin v") && tree.contains("reqwest v"), "{tree}{}", String::from_utf8_lossy(&cargo.stderr));
    for stranger in ["tokio-postgres", "postgres-", "deadpool", "refinery", "lambda", "clap"] {
        assert!(!tree.contains(stranger), "{stranger} in {tree}");
    }
}
