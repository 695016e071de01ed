//! The examples: the bodies of the HTTP events in `events/`, each valid by the schema of its address.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{document, root};

/// The document in the body of an event.
pub(super) fn body(event: &str) -> Value {
    let event = read(event);
    let text = event["body"].as_str().unwrap();
    let bytes = if event["isBase64Encoded"] == true { STANDARD.decode(text).unwrap() } else { text.into() };
    serde_json::from_slice(&bytes).unwrap()
}

fn read(event: &str) -> Value {
    let path = root().join(format!("events/{event}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A check of documents against one schema of the components, formats too.
pub(super) fn validator(schema: &str) -> jsonschema::Validator {
    let document = serde_json::to_value(document()).unwrap();
    let whole = serde_json::json!({
        "$ref": format!("#/components/schemas/{schema}"), "components": document["components"],
    });
    jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap()
}

#[test]
fn every_http_event_is_of_an_address_and_its_body_is_valid() {
    let document = serde_json::to_value(document()).unwrap();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("http-") {
            continue;
        }
        let event = read(&name);
        let http = &event["requestContext"]["http"];
        let (path, method) = (http["path"].as_str().unwrap(), http["method"].as_str().unwrap().to_lowercase());
        let token = "/groupme/callback/";
        let path = if path.starts_with(token) { format!("{token}{{token}}") } else { path.to_owned() };
        let operation = &document["paths"][&path][&method];
        assert!(operation.is_object(), "{name}: {method} {path}");
        if event["body"].is_string() {
            let content = &operation["requestBody"]["content"]["application/json"];
            assert_eq!(content["examples"][&name]["value"], body(&name), "{name} is the example of its address");
            let schema = content["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            let validator = validator(&schema);
            let errors: Vec<String> = validator.iter_errors(&body(&name)).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
        seen.push(name);
    }
    seen.sort();
    assert_eq!(seen, ["http-bots-post", "http-callback", "http-health", "http-send"]);
}
