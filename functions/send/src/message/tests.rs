//! What `POST /send` takes, and what it refuses by which field.
use lambda_http::http::HeaderValue;
use serde_json::{Value, json};

use super::*;

fn asked(fields: Value, idempotency_key: Option<&str>) -> Result<Asked, Problem> {
    let Value::Object(fields) = fields else { panic!("no object") };
    let mut headers = HeaderMap::new();
    if let Some(key) = idempotency_key {
        headers.insert("idempotency-key", HeaderValue::from_str(key).unwrap());
    }
    let mut document = Document::of(fields);
    read(SendRequest::take(&mut document), document, &headers)
}

fn message(fields: Value) -> Message {
    asked(fields, None).unwrap_or_else(|problem| panic!("{problem:?}")).message
}

/// The names of the fields at fault, in order.
fn faults(fields: Value) -> Value {
    faults_with(fields, None)
}

fn faults_with(fields: Value, idempotency_key: Option<&str>) -> Value {
    let Some(problem) = asked(fields, idempotency_key).err() else { return json!([]) };
    let response = problem.into_response();
    assert_eq!(response.status(), 400);
    let document: Value = serde_json::from_slice(response.body()).unwrap();
    document["fields"].clone()
}

#[test]
fn a_body_alone_is_a_standard_message_with_a_uid_of_our_own() {
    let first = asked(json!({ "body": "hello" }), None).ok().unwrap();
    let second = asked(json!({ "body": "hello" }), None).ok().unwrap();
    assert!(!first.named && first.message.uid != second.message.uid);
    assert_eq!(Uuid::try_parse(first.message.uid.given()).unwrap().get_version_num(), 4);
    let Message { source, body, media, priority, rooms, expires_at, .. } = first.message;
    assert_eq!((source.as_str(), body.as_str()), ("source.standard", "hello"));
    assert!(media.is_empty() && priority.is_none() && rooms.is_none() && expires_at.is_none());
}

#[test]
fn every_field_is_taken_and_null_is_absent() {
    let all = message(json!({
        "body": "hello", "source": "ups.on-battery_2", "images": ["https://i.groupme.com/1.png"], "uid": "7",
        "wbor_message_id": 7, "priority": "urgent", "rooms": ["b", "a", "b"], "expires_at": "2026-11-20T13:00:00-05:00",
    }));
    assert_eq!((all.source.as_str(), all.uid.given()), ("source.ups.on-battery_2", "7"));
    assert_eq!(all.media[0].url, "https://i.groupme.com/1.png");
    assert_eq!((all.priority, all.rooms), (Some(Priority::Urgent), Some(vec!["a".to_owned(), "b".to_owned()])));
    assert_eq!(all.expires_at.unwrap().to_string(), "2026-11-20T18:00:00Z");
    let nulls = message(json!({
        "body": "hello", "source": null, "images": null, "uid": null, "wbor_message_id": null, "priority": null,
        "rooms": null, "expires_at": null,
    }));
    assert!(nulls.media.is_empty() && nulls.rooms.is_none());
}

#[test]
fn what_is_said_is_a_body_or_pictures() {
    assert!(message(json!({ "images": ["https://a.example/b?c#d"] })).body.is_blank());
    for nothing in [json!({}), json!({ "body": " \n" }), json!({ "body": "", "images": [] }), json!({ "body": null })] {
        assert_eq!(faults(nothing), json!(["body"]));
    }
    assert_eq!(faults(json!({ "body": 7 })), json!(["body"]));
    assert_eq!(faults(json!({ "body": ["hello"] })), json!(["body"]));
}

#[test]
fn a_uid_is_1_to_64_visible_characters_wherever_it_stands() {
    for uid in [json!("7"), json!(7), json!(-7), json!(u64::MAX), json!("~".repeat(64))] {
        assert_eq!(faults(json!({ "body": "b", "uid": uid })), json!([]), "{uid}");
        assert_eq!(faults(json!({ "body": "b", "wbor_message_id": uid })), json!([]), "{uid}");
    }
    let long = "~".repeat(65);
    for uid in [json!(""), json!("a b"), json!("é"), json!(long), json!(7.5), json!(1e3), json!(true), json!(["7"])] {
        assert_eq!(faults(json!({ "body": "b", "uid": uid })), json!(["uid"]), "{uid}");
    }
    assert_eq!(faults_with(json!({ "body": "b" }), Some("a b")), json!(["Idempotency-Key"]));
    assert_eq!(faults_with(json!({ "body": "b" }), Some("")), json!(["Idempotency-Key"]));
}

#[test]
fn two_uids_of_one_request_must_be_the_same() {
    let upper = "0B5C3C6E-93A5-4D0E-9D6C-3B8E0E0E2F11";
    let same = json!({ "body": "b", "uid": upper.to_lowercase(), "wbor_message_id": upper });
    assert_eq!(asked(same.clone(), Some(upper)).ok().unwrap().message.uid.given(), upper);
    assert_eq!(faults_with(same, Some("7")), json!(["Idempotency-Key"]));
    assert_eq!(faults(json!({ "body": "b", "uid": "7", "wbor_message_id": "8" })), json!(["uid"]));
    assert_eq!(
        faults_with(json!({ "body": "b", "uid": 7 }), Some("\"7\"")),
        json!([]),
        "quoted, as the standard has it"
    );
    assert!(asked(json!({ "body": "b" }), Some("7")).ok().unwrap().named);
}

#[test]
fn a_source_is_lower_case_words_joined_by_dots() {
    let long = "s".repeat(200);
    for source in ["standard", "standard.x", "a-b_c.9", &long, "sources"] {
        let want = format!("source.{source}");
        assert_eq!(message(json!({ "body": "b", "source": source })).source.as_str(), want);
    }
    let longer = "s".repeat(201);
    for source in
        ["", "Standard", "two words", "a..b", ".a", "a.", "a*", "a.#", "é", "a\n", &longer, "source", "source.standard"]
    {
        assert_eq!(faults(json!({ "body": "b", "source": source })), json!(["source"]), "{source}");
    }
    assert_eq!(faults(json!({ "body": "b", "source": 7 })), json!(["source"]));
}

#[test]
fn a_picture_is_named_by_an_https_address_without_credentials() {
    let ten = vec!["https://a.example/b"; 10];
    assert_eq!(message(json!({ "images": ten })).media.len(), 10);
    let long = format!("https://a.example/{}", "x".repeat(2048));
    for url in [
        "http://a.example/b",
        "ftp://a.example",
        "a.example/b",
        "/b",
        "https://",
        "https:///b",
        "https://u:p@a.example/b",
        "https://a.example/ b",
        "https://a.example/é",
        "",
        &long,
    ] {
        assert_eq!(faults(json!({ "images": [url] })), json!(["images"]), "{url}");
    }
    for images in
        [json!(vec!["https://a.example/b"; 11]), json!("https://a.example/b"), json!([7]), json!([null]), json!({})]
    {
        assert_eq!(faults(json!({ "body": "b", "images": images })), json!(["images"]), "{images}");
    }
}

#[test]
fn priority_rooms_and_expiry_are_of_their_kinds() {
    for (field, wrong) in [
        ("priority", json!("Urgent")),
        ("priority", json!(2)),
        ("rooms", json!([])),
        ("rooms", json!("staff")),
        ("rooms", json!([7])),
        ("expires_at", json!("tomorrow")),
        ("expires_at", json!("2026-11-20T18:00:00")),
        ("expires_at", json!(1_795_197_600)),
    ] {
        assert_eq!(faults(json!({ "body": "b", field: wrong })), json!([field]), "{wrong}");
    }
}

#[test]
fn an_unknown_field_is_refused_by_its_name_and_everything_wrong_is_told_at_once() {
    let all = json!({ "body": 1, "text": "hello", "priority": "loud", "bot_id": "b", "nothing": null });
    assert_eq!(faults(all), json!(["body", "priority", "bot_id", "nothing", "text"]));
}

#[test]
fn no_problem_quotes_a_value() {
    let secret = "tell-nobody";
    let problem = asked(
        json!({
            "body": { "x": secret }, "source": "Tell-nobody tell-nobody", "images": [secret], "uid": [secret],
            "priority": secret, "rooms": secret, "expires_at": secret,
        }),
        Some("tell-nobody tell-nobody"),
    );
    let problem = problem.err().unwrap();
    assert!(!format!("{problem:?}").contains(secret));
    assert!(!String::from_utf8_lossy(problem.into_response().body()).contains(secret));
}
