//! Every answer that a story gets from `send` is one that `infra/openapi.yaml` tells of: status, headers, document.
use std::sync::LazyLock;

use groupme_callback::Refusal;
use serde_json::{Value, json};

use crate::send_door::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/openapi.yaml");
    yaml_serde::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

/// Asserts that this is told of as an answer to this request.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let asked = format!("{method} {path}: {answer:?}");
    let Some(operations) = operations(path) else {
        // Nothing stands there: only in which form that is said is promised.
        let schema = if path == "/v3" || path.starts_with("/v3/") { "GroupMeError" } else { "ProblemDocument" };
        assert!(answer.status == 404 && (method == "HEAD" || is_valid(&reference(schema), &answer.body)), "{asked}");
        return;
    };
    let name = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let operation = operations.get(&name).unwrap_or_else(|| {
        assert_eq!(answer.status, 405, "{asked}");
        operations.as_object().unwrap().values().next().unwrap()
    });
    let told = &operation["responses"][answer.status.to_string()];
    assert!(told.is_object(), "no such status is told of: {asked}");
    for (name, header) in told["headers"].as_object().into_iter().flatten() {
        let value = answer.headers[name.to_lowercase()].as_str().unwrap_or_else(|| panic!("no {name}: {asked}"));
        let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
        assert!(is_valid(&header["schema"], &value), "{name}: {asked}");
    }
    match told["content"].as_object().and_then(|content| content.iter().next()) {
        _ if method == "HEAD" => assert_eq!(answer.body, Value::Null, "{asked}"),
        None => assert_eq!(answer.body, Value::Null, "{asked}"),
        Some((media_type, content)) => {
            assert_eq!(answer.headers["content-type"], *media_type, "{asked}");
            assert!(is_valid(&content["schema"], &answer.body), "{asked}");
        }
    }
}

/// What stands at a path.
fn operations(path: &str) -> Option<&'static Value> {
    let uid = path.strip_prefix("/messages/").filter(|uid| !uid.is_empty());
    let path = if path == "/" { "/health" } else { path };
    DOCUMENT["paths"].get(if uid.is_some() { "/messages/{uid}" } else { path })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn is_valid(schema: &Value, value: &Value) -> bool {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap().is_valid(value)
}

#[test]
fn every_refusal_of_a_callback_is_told_of() {
    let responses = &DOCUMENT["paths"]["/groupme/callback/{token}"]["post"]["responses"];
    let refusals =
        [Refusal::WrongToken, Refusal::WrongMethod, Refusal::TooLarge, Refusal::Malformed, Refusal::ForeignGroup];
    let statuses: Vec<String> = refusals.iter().map(|refusal| refusal.status().to_string()).collect();
    let told: Vec<&String> = responses.as_object().unwrap().keys().collect();
    for status in &statuses {
        assert!(told.contains(&status), "{status}");
    }
    assert_eq!(told.len(), statuses.len() + 2, "besides these it answers 200 and 503: {told:?}");
}

#[test]
fn a_check_fails_where_the_document_tells_of_another_answer() {
    let answer = |status: u64, content_type: &str, body: Value| Answer {
        status,
        headers: json!({ "cache-control": "no-store", "content-type": content_type }),
        body,
    };
    let fails = |method: &'static str, path: &'static str, answer: Answer| {
        std::panic::catch_unwind(move || check(method, path, &answer)).is_err()
    };
    let ok = json!({ "status": "ok" });
    assert!(!fails("GET", "/health", answer(200, "application/json", ok.clone())));
    assert!(fails("GET", "/health", answer(200, "text/plain", ok.clone())));
    assert!(fails("GET", "/health", answer(200, "application/json", json!({ "status": "fine" }))));
    assert!(fails("GET", "/health", answer(201, "application/json", ok.clone())));
    assert!(fails("PUT", "/health", answer(200, "application/json", ok)));
    assert!(!fails("POST", "/v3/bots/post", answer(202, "", Value::Null)));
    assert!(fails("POST", "/v3/bots/post", answer(202, "", json!({}))));
    let body = json!({ "type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "later" });
    assert!(fails("POST", "/send", answer(503, "application/problem+json", body)), "without Retry-After");
}
