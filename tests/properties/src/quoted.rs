//! Whether an error text holds what it must not: somebody's words or number.
use serde_json::Value;

/// Digits in a row that may be somebody's number; no line, column or status has so many.
const DIGITS: usize = 7;

/// Marks that corpus and generated input put where secrets and people's words stand.
pub(crate) const MARKS: [&str; 2] = ["hunter2", "zebra crossing"];

/// Panics if the text holds a number or a mark of the document's values.
pub(crate) fn quotes_nothing_of(document: &Value, text: &str, what: &str) {
    let mut values = Vec::new();
    collect(document, &mut values);
    for value in values {
        for run in value.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() >= DIGITS) {
            assert!(!text.contains(run), "{what} quotes a number");
        }
        for mark in MARKS.iter().filter(|mark| value.contains(**mark)) {
            assert!(!text.contains(mark), "{what} quotes what somebody said");
        }
    }
}

/// Every string and number within a value; names of fields are no values.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Number(number) => into.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        Value::Null | Value::Bool(_) => {}
    }
}
