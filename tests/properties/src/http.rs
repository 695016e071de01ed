//! The HTTP door, with no database behind it: whatever the event, there is an answer; it never says yes, since nothing
//! can be stored; and it quotes nobody's words.
use std::cell::OnceCell;

use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use talkback::relay::Relay;
use tokio::runtime::{Builder, Runtime};

use crate::callback::SETTINGS;
use crate::quoted::quotes_nothing_of;

/// The one key that is known.
pub(crate) const KEY: &str = "key-of-the-tests";

struct Door {
    runtime: Runtime,
    relay: Relay,
}

thread_local! {
    static DOOR: OnceCell<Door> = const { OnceCell::new() };
}

fn door() -> Door {
    talkback::tls::install_ring();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let relay = Relay::new(SETTINGS.clone(), "send").unwrap_or_else(|error| panic!("no relay: {error}"));
    Door { runtime, relay }
}

fn invoke(event: &Value) -> Value {
    let event = LambdaEvent::new(event.clone(), Context::default());
    DOOR.with(|door| {
        let door = door.get_or_init(self::door);
        door.runtime.block_on(send::invoke(&door.relay, event))
    })
}

/// An event; or else the document of a request that the one known key makes, to each address in turn.
pub(crate) fn holds(bytes: &[u8]) {
    let event: Option<Value> = serde_json::from_slice(bytes).ok();
    match event.filter(|event| event.get("requestContext").is_some()) {
        Some(event) => is_answered(&event),
        None => {
            for (method, path) in [("POST", "/send"), ("POST", "/v3/bots/post")] {
                is_answered(&json!({
                    "rawPath": path, "requestContext": { "http": { "method": method } },
                    "headers": { "authorization": format!("Bearer {KEY}"), "content-type": "application/json" },
                    "body": String::from_utf8_lossy(bytes), "isBase64Encoded": false,
                }));
            }
        }
    }
}

fn is_answered(event: &Value) {
    let answer = invoke(event);
    let status = answer["statusCode"].as_u64().unwrap_or_default();
    assert!((300..600).contains(&status) && status != 500, "{status}");
    let headers = answer["headers"].as_object().unwrap_or_else(|| panic!("no headers"));
    assert!(headers.values().all(Value::is_string) && headers.contains_key("content-type"));
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("no body"));
    assert_eq!(answer["isBase64Encoded"], false);
    assert!(status != 401 || headers.contains_key("www-authenticate"));
    assert!(status != 405 || headers.contains_key("allow"));
    assert!(!body.contains(KEY), "the key is quoted");
    if !body.is_empty() {
        let told: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("an answer that is no JSON"));
        let said = told.get("status").or_else(|| told.pointer("/meta/code"));
        assert!(said == Some(&Value::from(status)) || said == Some(&Value::from("unavailable")), "{body}");
        quotes_nothing_of(&said_in(event), body, "the answer");
    }
}

/// What the caller says of itself in the document; rooms and sources are named in answers, to whom has a key.
fn said_in(event: &Value) -> Value {
    let body = event["body"].as_str().unwrap_or_default();
    let document = talkback::json::parse(body.as_bytes()).unwrap_or_default();
    json!(["body", "text", "images", "password", "bot_id", "picture_url"].map(|field| document[field].clone()))
}
