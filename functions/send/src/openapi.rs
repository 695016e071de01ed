//! `infra/openapi.yaml`: made from the types that the handlers read and write, so that it cannot say anything else.
//! Only tests know of it: what serves requests carries no schema.
mod agreement;
mod examples;
mod paths;
pub(crate) mod schemas;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

/// The document, in the order in which it is read.
#[derive(Serialize)]
struct Document {
    openapi: &'static str,
    info: Value,
    paths: Value,
    components: Value,
}

fn document() -> Document {
    let description = "The HTTP doors of Talkback, which carries what happens at a radio station into the group chat of \
                       the people who run it. Errors are RFC 9457 problem documents that name the fields; under `/v3` \
                       they stand in GroupMe's envelope. No answer is to be cached.";
    let license = json!({ "name": "MIT", "identifier": "MIT" });
    let bearer =
        json!({ "type": "http", "scheme": "bearer", "description": "A send key: `cargo xtask key NAME` makes one." });
    Document {
        openapi: "3.1.0",
        info: json!({ "title": "Talkback", "version": env!("CARGO_PKG_VERSION"), "description": description, "license": license }),
        paths: paths::paths(),
        components: json!({ "securitySchemes": { "bearer": bearer }, "schemas": schemas::schemas() }),
    }
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Takes what the test below leaves under `target/`.
const HOW: &str = "cargo xtask openapi";

#[test]
fn the_file_says_what_the_types_say() {
    let head = format!("# Made from the types in functions/send; not to be edited. To make it anew: {HOW}\n");
    let want = head + &yaml_serde::to_string(&document()).unwrap();
    let made = root().join("target");
    std::fs::create_dir_all(&made).unwrap();
    std::fs::write(made.join("openapi.yaml"), &want).unwrap();
    let is = std::fs::read_to_string(root().join("infra/openapi.yaml")).unwrap_or_default();
    assert!(is == want, "infra/openapi.yaml is stale: run `{HOW}` and look at what changes");
}

/// Every `$ref` leads somewhere, and every schema is led to.
#[test]
fn every_reference_is_to_a_schema_and_every_schema_is_referred_to() {
    let document = serde_json::to_value(document()).unwrap();
    let mut referred = Vec::new();
    references(&document, &mut referred);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in &referred {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for name in schemas.keys() {
        assert!(referred.contains(&format!("#/components/schemas/{name}")), "nothing is a {name}");
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
