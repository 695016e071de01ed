//! What the schemas of requests say is what the handler does: field by field, and value by value.
use lambda_http::Body;
use lambda_http::http::{HeaderMap, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::document;
use super::examples::validator;
use crate::document::{Document, LARGEST};
use crate::groupme::bot_post::BotPost;
use crate::groupme::fields::Fields;
use crate::message;
use crate::send_request::SendRequest;

/// The properties of a schema, by name.
fn properties(schema: &str) -> Map<String, Value> {
    let document = serde_json::to_value(document()).unwrap();
    document["components"]["schemas"][schema]["properties"].as_object().unwrap().clone()
}

/// The fields that `POST /send` refuses in a document.
fn refused(fields: &Value) -> Vec<String> {
    let Value::Object(fields) = fields.clone() else { panic!("no object") };
    let mut document = Document::of(fields);
    let request = SendRequest::take(&mut document);
    let Err(problem) = message::read(request, document, &HeaderMap::new()) else { return Vec::new() };
    let response = problem.into_response();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem: Value = serde_json::from_slice(response.body()).unwrap();
    serde_json::from_value(problem["fields"].clone()).unwrap()
}

/// Whether `POST /v3/bots/post` takes a document, the bot id aside.
fn is_posted(fields: &Value) -> bool {
    let request = Request::post("/v3/bots/post").body(Body::Text(fields.to_string())).unwrap();
    BotPost::take(&mut Fields::open(&request).ok().unwrap()).judge().is_ok()
}

fn long(character: &str, length: usize) -> String {
    character.repeat(length)
}

/// A right value of each field of `POST /send`, and wrong ones.
fn values() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let url = |path: &str| format!("https://a.example/{path}");
    let sized = |length: usize| json!([url(&long("x", length - url("").len()))]);
    vec![
        ("body", vec![json!("hello"), json!(long("é", 5000))], vec![json!(7), json!(["hello"]), json!({})]),
        (
            "source",
            vec![json!("standard"), json!("ups.on-battery_2"), json!("sources"), json!(long("s", 200))],
            vec![
                json!(""),
                json!("Ups"),
                json!("a..b"),
                json!("a."),
                json!("a b"),
                json!("source"),
                json!("source.ups"),
                json!("ups.*"),
                json!(long("s", 201)),
                json!(7),
            ],
        ),
        (
            "images",
            vec![
                json!([]),
                json!([url("b.png?c#d")]),
                json!(["https://a.example"]),
                json!(vec![url("b"); 10]),
                sized(2048),
            ],
            vec![
                json!(vec![url("b"); 11]),
                sized(2049),
                json!(["http://a.example/b"]),
                json!(["https://u:p@a.example/b"]),
                json!(["https://"]),
                json!(["/b"]),
                json!([""]),
                json!([7]),
                json!([null]),
                json!(url("b")),
                json!(["https://a.example/ b"]),
            ],
        ),
        (
            "uid",
            vec![json!("7"), json!(7), json!(-7), json!(u64::MAX), json!(long("~", 64))],
            vec![json!(""), json!("a b"), json!("é"), json!(long("~", 65)), json!(7.5), json!(true), json!(["7"])],
        ),
        (
            "wbor_message_id",
            vec![json!("alarm-7"), json!(7)],
            vec![json!(""), json!("a b"), json!(long("~", 65)), json!(7.5), json!({})],
        ),
        (
            "priority",
            vec![json!("normal"), json!("high"), json!("urgent")],
            vec![json!("loud"), json!("Urgent"), json!(2)],
        ),
        ("rooms", vec![json!(["staff"]), json!(["a", "b"])], vec![json!([]), json!("staff"), json!([7])]),
        (
            "expires_at",
            vec![json!("2026-11-20T18:00:00Z"), json!("2026-11-20T13:00:00-05:00")],
            vec![json!("tomorrow"), json!("2026-11-20T18:00:00"), json!(1_795_197_600)],
        ),
    ]
}

#[test]
fn the_schema_of_a_message_names_exactly_the_fields_that_are_taken() {
    let named: Vec<String> = properties("SendRequest").into_iter().map(|(name, _)| name).collect();
    let mut tried: Vec<&str> = values().into_iter().map(|(field, ..)| field).collect();
    // Judged before anything else, and by 401: see key.rs.
    tried.push("password");
    tried.sort_unstable();
    assert_eq!(named, tried);
    let schema = validator("SendRequest");
    for other in ["text", "bot_id", "Body", "timestamp", "passwords"] {
        let document = json!({ "body": "b", other: "x" });
        assert_eq!(refused(&document), [other]);
        assert!(!schema.is_valid(&document), "{other}");
    }
}

#[test]
fn the_schema_and_the_handler_agree_on_every_value_of_a_message() {
    let schema = validator("SendRequest");
    let mut tried = 0;
    for (field, right, wrong) in values() {
        let with = |value: &Value| {
            let mut document = json!({ "body": "b", "images": ["https://a.example/b"] });
            document[field] = value.clone();
            document
        };
        for value in right.iter().chain(&[Value::Null]) {
            assert_eq!(refused(&with(value)), Vec::<String>::new(), "{field}: {value}");
            assert!(schema.is_valid(&with(value)), "{field}: {value}");
        }
        for value in &wrong {
            assert_eq!(refused(&with(value)), [field], "{value}");
            assert!(!schema.is_valid(&with(value)), "{field}: {value}");
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

#[test]
fn the_schema_and_the_handler_agree_on_what_must_be_there() {
    let schema = validator("SendRequest");
    for enough in [
        json!({ "body": "b" }),
        json!({ "images": ["https://a.example/b"] }),
        json!({ "body": "", "images": ["https://a.example/b"] }),
    ] {
        assert!(refused(&enough).is_empty() && schema.is_valid(&enough), "{enough}");
    }
    for nothing in [json!({}), json!({ "body": " \n" }), json!({ "body": null, "images": [] }), json!({ "uid": "7" })] {
        assert!(!refused(&nothing).is_empty() && !schema.is_valid(&nothing), "{nothing}");
    }
}

#[test]
fn the_schema_and_the_handler_agree_on_a_bots_post() {
    let names: Vec<String> = properties("BotPost").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["attachments", "bot_id", "picture_url", "text"]);
    let schema = validator("BotPost");
    let url = "https://i.groupme.com/1";
    let attached = |attachment: Value| json!({ "bot_id": "k", "text": "t", "attachments": [attachment] });
    for right in [
        json!({ "bot_id": "k", "text": "t" }),
        json!({ "bot_id": "k", "text": long("é", 5000), "picture_url": null, "attachments": null }),
        json!({ "bot_id": "k", "text": "t", "picture_url": "", "anything": {} }),
        json!({ "bot_id": "k", "text": "", "picture_url": url }),
        json!({ "bot_id": "k", "attachments": [{ "type": "emoji" }, { "type": "image", "url": url, "more": 1 }] }),
        attached(json!({ "type": "mentions", "user_ids": [] })),
        attached(json!({ "type": "linked_image", "url": url })),
    ] {
        assert!(is_posted(&right) && schema.is_valid(&right), "{right}");
    }
    for wrong in [
        json!({ "bot_id": "k" }),
        json!({ "bot_id": "k", "text": " " }),
        json!({ "bot_id": "k", "text": null, "picture_url": "", "attachments": [] }),
        json!({ "bot_id": "k", "attachments": [{ "type": "emoji" }] }),
        json!({ "bot_id": "k", "text": ["t"] }),
        json!({ "bot_id": "k", "text": "t", "picture_url": "http://i.groupme.com/1" }),
        json!({ "bot_id": "k", "text": "t", "attachments": "image" }),
        attached(json!({ "type": "image" })),
        attached(json!({ "type": "image", "url": "/1" })),
        attached(json!({ "type": "location" })),
        attached(json!({})),
        attached(json!("image")),
    ] {
        assert!(!is_posted(&wrong) && !schema.is_valid(&wrong), "{wrong}");
    }
    assert!(
        !schema.is_valid(&json!({ "text": "t" })) && !schema.is_valid(&json!({ "bot_id": 7, "text": "t" })),
        "see the stories"
    );
}

#[test]
fn the_largest_document_is_the_one_that_is_told() {
    let document = serde_json::to_value(document()).unwrap();
    for path in ["/send", "/v3/bots/post"] {
        let told = document["paths"][path]["post"]["requestBody"]["x-max-bytes"].as_u64().unwrap();
        let sized = |bytes: usize| format!("{{\"body\":\"{}\"}}", long("x", bytes - 11));
        let status = |bytes: usize| {
            let request =
                Request::post(path).header("content-type", "application/json").body(sized(bytes).into()).unwrap();
            let opened =
                if path == "/send" { Document::open(&request).map(drop) } else { Fields::open(&request).map(drop) };
            opened.err().map(|problem| problem.into_response().status().as_u16())
        };
        assert_eq!((told, status(LARGEST), status(LARGEST + 1)), (LARGEST as u64, None, Some(413)));
    }
}
