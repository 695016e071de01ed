//! Every line of the log: what it must have (`infra/log.schema.json`), and the page that lists them (`infra/logs.md`).
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::rules::sources;

fn infra(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra").join(name)).unwrap()
}

fn schema() -> &'static Validator {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| jsonschema::validator_for(&serde_json::from_str(&infra("log.schema.json")).unwrap()).unwrap())
}

fn fault(line: &str) -> Option<String> {
    let Ok(line) = serde_json::from_str::<Value>(line) else { return Some(format!("no JSON: {line}")) };
    schema().iter_errors(&line).next().map(|error| format!("{}: {error} in {line}", error.instance_path()))
}

/// Fails unless each line of a run is as the schema has it.
pub fn assert_lines(log: &str) {
    assert!(!log.trim().is_empty(), "nothing was logged");
    let faults: Vec<String> = log.lines().filter_map(fault).collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_line_that_lacks_something_or_nests_is_found() {
    let good = json!({
        "timestamp": "2026-11-29T12:00:00.123Z", "level": "INFO", "target": "t", "message": "m", "function": "send",
        "uid": "u", "duration_ms": 3,
    });
    assert_eq!(fault(&good.to_string()), None);
    for (field, value) in [
        ("timestamp", json!("2026-11-29T12:00:00Z")),
        ("level", json!("info")),
        ("duration_ms", json!("3")),
        ("error", json!({ "nested": 1 })),
        ("anything", json!(["a"])),
        ("function", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(fault(&bad.to_string()).is_some(), "{field}");
    }
    assert!(fault("thread 'main' panicked").is_some());
}

/// One place in the program that logs.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    level: usize,
    message: String,
}

const LEVELS: [&str; 3] = ["error", "warn", "info"];

/// What stands between the parentheses that this text begins in.
fn inside(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// The fields that are named before the message, and the message.
fn told(arguments: &str) -> Option<(Vec<String>, String)> {
    let end = arguments.rfind('"')?;
    let begin = arguments[..end].rfind('"')?;
    let fields = arguments[..begin].split([',', '(']).filter_map(|word| {
        let name = word.split('=').next()?.trim().trim_start_matches(['%', '?']);
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        plain.then(|| name.to_owned())
    });
    Some((fields.collect(), arguments[begin + 1..end].to_owned()))
}

/// The rows of the page, as the program has them.
fn rows() -> String {
    let mut places: BTreeMap<Place, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for (path, text) in sources() {
        let path = path.to_string_lossy().into_owned();
        let ours =
            ["shared/src", "functions/", "infra/host/src", "infra/bridge/src"].iter().any(|p| path.starts_with(p));
        if !ours || path.ends_with("tests.rs") || path.contains("/tests/") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (level, word) in LEVELS.iter().enumerate() {
            for rest in text.split(&format!("tracing::{word}!(")).skip(1) {
                let Some((fields, message)) = told(inside(rest)) else { panic!("{path}: a line without a message") };
                let (all, from) = places.entry(Place { level, message }).or_default();
                all.extend(fields);
                from.push(path.trim_end_matches(".rs").replace("/src", "").replace("shared/", "talkback/"));
            }
        }
    }
    let mut rows = "| level | message | further fields | logged by |\n| --- | --- | --- | --- |\n".to_owned();
    for (Place { level, message }, (mut fields, mut from)) in places {
        fields.sort();
        fields.dedup();
        from.sort();
        from.dedup();
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        rows += &format!("| {} | {message} | {} | {} |\n", LEVELS[level], fields.join(", "), from.join(", "));
    }
    rows
}

#[test]
fn the_page_lists_every_line_that_the_program_can_log() {
    let page = infra("logs.md");
    let listed = page.split("<!-- lines -->\n").nth(1).and_then(|rest| rest.split("<!-- /lines -->").next()).unwrap();
    let rows = rows();
    assert!(rows.lines().count() > 80, "{rows}");
    assert!(listed == rows, "between its markers, infra/logs.md must have:\n{rows}");
}
