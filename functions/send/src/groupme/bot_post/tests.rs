//! What a bot may say, and what is refused by which field.
use lambda_http::Body;
use lambda_http::http::Request;
use serde_json::json;

use super::*;

fn said(body: Value, idempotency_key: Option<&str>) -> Result<Message, Problem> {
    let mut request = Request::post("/v3/bots/post");
    if let Some(key) = idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(Body::Text(body.to_string())).unwrap();
    let mut fields = Fields::open(&request)?;
    let source = RoutingKey::parse("source.standard").unwrap();
    BotPost::take(&mut fields).judge()?.message(source, request.headers())
}

fn message(body: Value) -> Message {
    said(body, None).unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn urls(body: Value) -> Vec<String> {
    message(body).media.into_iter().map(|media| media.url).collect()
}

/// What the envelope says is wrong.
fn errors(body: Value) -> Vec<String> {
    let Err(problem) = said(body, None) else { return Vec::new() };
    let response = problem.into_envelope();
    assert_eq!(response.status(), 400);
    let envelope: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((&envelope["response"], &envelope["meta"]["code"]), (&Value::Null, &json!(400)));
    serde_json::from_value(envelope["meta"]["errors"].clone()).unwrap()
}

/// That exactly these fields are wrong.
fn assert_faults(body: Value, fields: &[&str]) {
    let errors = errors(body.clone());
    let named: Vec<&str> = errors.iter().filter_map(|error| error.strip_prefix('`')?.split('`').next()).collect();
    assert_eq!(named, fields, "{body}: {errors:?}");
}

const PICTURE: &str = "https://i.groupme.com/640x480.jpeg.1";

#[test]
fn a_text_alone_is_a_message_with_a_uid_of_our_own() {
    let (first, second) = (message(json!({ "bot_id": "k", "text": "hello" })), message(json!({ "text": "hello" })));
    assert!(first.uid != second.uid);
    assert_eq!((first.source.as_str(), first.body.as_str()), ("source.standard", "hello"));
    assert!(first.media.is_empty() && first.priority.is_none() && first.rooms.is_none() && first.expires_at.is_none());
}

#[test]
fn unknown_fields_are_ignored_and_null_is_absent() {
    let odd = json!({ "text": "hello", "token": "t", "priority": "urgent", "rooms": ["a"], "source": "ups", "x": {} });
    let message = message(odd);
    assert!(message.priority.is_none() && message.rooms.is_none());
    assert_eq!(message.source.as_str(), "source.standard");
    assert!(urls(json!({ "text": "hello", "picture_url": null, "attachments": null })).is_empty());
    assert!(urls(json!({ "text": "hello", "picture_url": "", "attachments": [] })).is_empty());
    assert_eq!(said(json!({ "text": 7 }), None).unwrap().body.as_str(), "7");
}

#[test]
fn a_text_longer_than_groupme_takes_is_taken() {
    assert_eq!(message(json!({ "text": "é".repeat(5000) })).body.as_str().chars().count(), 5000);
}

#[test]
fn pictures_come_in_order_and_each_once() {
    let other = "https://a.example/b.png";
    let all = json!({
        "text": null, "picture_url": PICTURE,
        "attachments": [
            { "type": "image", "url": other }, { "type": "mentions", "loci": [[0, 3]], "user_ids": ["7"] },
            { "type": "image", "url": PICTURE }, { "type": "linked_image", "url": "https://a.example/c.gif" },
            { "type": "emoji" }, { "type": "reply", "reply_id": "1" }, { "type": "split", "token": "t" },
        ],
    });
    assert_eq!(urls(all.clone()), [PICTURE, other, "https://a.example/c.gif"]);
    assert!(message(all).body.is_blank());
    let many = |count: usize| {
        let list: Vec<Value> = (0..count).map(|n| json!({ "type": "image", "url": format!("{other}?{n}") })).collect();
        json!({ "attachments": list })
    };
    assert_eq!(urls(many(10)).len(), 10);
    assert_faults(many(11), &["attachments"]);
}

#[test]
fn an_attachment_that_would_be_lost_is_refused_by_its_place() {
    for kind in ["location", "video", "file", "poll", "event", "audio", "contact", "Image", ""] {
        assert_faults(
            json!({ "text": "t", "attachments": [{ "type": "emoji" }, { "type": kind }] }),
            &["attachments[1].type"],
        );
    }
    assert_faults(
        json!({ "text": "t", "attachments": [{}, 7, null] }),
        &["attachments[0].type", "attachments[1].type", "attachments[2].type"],
    );
    assert_faults(json!({ "text": "t", "attachments": { "type": "image" } }), &["attachments"]);
    assert_faults(json!({ "text": "t", "attachments": "image" }), &["attachments"]);
}

#[test]
fn a_picture_is_named_by_an_https_address_without_credentials() {
    for url in ["http://i.groupme.com/1", "i.groupme.com/1", "https://u:p@a.example/b", "https://a.example/ b"] {
        assert_faults(json!({ "text": "t", "picture_url": url }), &["picture_url"]);
        assert_faults(
            json!({ "text": "t", "attachments": [{ "type": "image", "url": url }] }),
            &["attachments[0].url"],
        );
    }
    assert_faults(json!({ "attachments": [{ "type": "image" }] }), &["attachments[0].url"]);
}

#[test]
fn nothing_to_say_and_everything_wrong_is_told_by_the_field() {
    for nothing in [
        json!({}),
        json!({ "text": "" }),
        json!({ "text": " \n" }),
        json!({ "text": null, "attachments": [{ "type": "emoji" }] }),
    ] {
        assert_faults(nothing, &["text"]);
    }
    let all = json!({ "text": {}, "picture_url": [], "attachments": [{ "type": "poll" }] });
    assert_faults(all, &["text", "picture_url", "attachments[0].type"]);
}

#[test]
fn an_idempotency_key_is_the_uid() {
    let uid = |key| said(json!({ "text": "t" }), Some(key)).map(|message| message.uid.given().to_owned()).ok();
    assert_eq!(uid("song-7").as_deref(), Some("song-7"));
    assert_eq!(uid("\"song-7\"").as_deref(), Some("song-7"));
    assert_eq!(uid("two words"), None);
    assert_eq!(uid(""), None);
}

#[test]
fn no_problem_quotes_a_value() {
    let secret = "tell-nobody";
    let wrong = json!({
        "text": { "x": secret }, "picture_url": secret, "attachments": [{ "type": secret }, { "type": "image", "url": secret }],
    });
    let problem = said(wrong, Some("tell-nobody tell-nobody")).unwrap_err();
    assert!(!format!("{problem:?}").contains(secret));
    assert!(!String::from_utf8_lossy(problem.into_envelope().body()).contains(secret));
}
