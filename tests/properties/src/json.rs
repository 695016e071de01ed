//! The lenient reader of JSON: it agrees with a strict one wherever that has an answer, and what it made reads as itself.
use serde_json::Value;
use talkback::json::{NotJson, Object, parse};

pub(crate) fn holds(bytes: &[u8]) {
    let strict: Result<Value, _> = serde_json::from_slice(bytes);
    match (parse(bytes), strict) {
        (Ok(ours), Ok(theirs)) => assert!(same(&ours, &theirs), "{ours} is not what a strict reader reads: {theirs}"),
        (Ok(ours), Err(_)) => {
            let again = parse(ours.to_string().as_bytes());
            assert!(again.as_ref().is_ok_and(|again| same(again, &ours)), "{ours} reads as {again:?}");
        }
        (Err(NotJson::TooDeep), _) => assert!(nesting(bytes) > 64, "refused as too deep"),
        (Err(NotJson::Syntax { line, column }), strict) => {
            assert!(strict.is_err(), "a strict reader takes it");
            assert!(line <= bytes.len() + 1 && column <= 6 * bytes.len() + 6, "line {line}, column {column}");
        }
    }
    if let Some(object) = parse(bytes).ok().and_then(Object::new) {
        fields(&object);
    }
}

/// However a field is asked for, the answers agree, and no text has what Postgres refuses.
fn fields(object: &Object) {
    for field in ["body", "text", "images", "wbor_message_id", "uid", "alreadysent", "priority"] {
        let (word, texts, words) = (object.word(field), object.texts(field), object.words(field));
        let all = word.iter().chain(texts.iter().flatten()).chain(&words);
        assert!(all.clone().all(|text| !text.contains('\0') && !text.trim().is_empty()), "{field}: {all:?}");
        if let (Some(word), Ok(Some(text))) = (&word, object.text(field)) {
            assert_eq!(word, text.trim());
        }
        if let Ok(texts) = &texts {
            let trimmed: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
            assert_eq!(trimmed, words, "{field}");
        }
        assert!(object.get(field).is_some() || (word.is_none() && words.is_empty() && !object.says_yes(field)));
    }
}

/// Brackets that may be open at once, at most: also those in strings count, so this is never too few.
fn nesting(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count()
}

/// The same, but that a number which only a float of the strict reader holds may be kept as its digits.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, ours)| theirs.get(name).is_some_and(|theirs| same(ours, theirs)))
        }
        (Value::String(digits), Value::Number(number)) => near(digits.parse().ok(), number.as_f64()),
        (Value::Number(ours), Value::Number(theirs)) => ours == theirs || near(ours.as_f64(), theirs.as_f64()),
        _ => ours == theirs,
    }
}

/// Equal but for the last bits: the strict reader rounds quickly, not exactly.
fn near(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= a.abs().max(b.abs()) * 1e-14)
}
