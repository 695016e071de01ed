//! JSON as programs really send it: half a surrogate pair, NUL bytes, bare newlines in strings, `NaN`, numbers that no
//! float holds, bytes that are not UTF-8. Repaired byte by byte, then read strictly; what is left is refused.
use std::borrow::Cow;

use serde_json::{Map, Value};

/// The deepest nesting that is read. Nothing we know goes beyond five; Postgres refuses what is far deeper.
const DEEPEST: usize = 64;

/// Why bytes are not JSON; never quotes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// A syntax error.
    #[error("not JSON from line {line}, column {column} on")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Nested too deeply.
    #[error("nested deeper than 64 levels")]
    TooDeep,
}

/// Reads JSON leniently.
///
/// Half a surrogate pair, escaped, is U+FFFD, as is each byte that is not UTF-8. A byte order mark is skipped. Raw
/// control characters in strings count as if escaped, NUL bytes elsewhere as white space. `NaN` and infinities are
/// null. A number that neither 64 bits nor a float can hold becomes a string of its digits: no program's odd field may
/// refuse the whole document, and the digits of a uid must not be rounded.
///
/// # Errors
/// Any other syntax error, and nesting deeper than 64 levels.
pub fn parse(bytes: &[u8]) -> Result<Value, NotJson> {
    let text = String::from_utf8_lossy(bytes);
    let repaired = repair(text.strip_prefix('\u{FEFF}').unwrap_or(&text))?;
    serde_json::from_str(&repaired).map_err(|e| NotJson::Syntax { line: e.line(), column: e.column() })
}

/// The text with every repair made; borrowed if none was needed.
fn repair(text: &str) -> Result<Cow<'_, str>, NotJson> {
    let mut out = Repaired { text, done: 0, out: String::new() };
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut in_string) = (0, 0_usize, false);
    while let Some(&byte) = bytes.get(at) {
        let mut step = 1;
        match (in_string, byte) {
            (_, b'"') => in_string = !in_string,
            (true, b'\\') => match escape(&bytes[at..]) {
                Escape::Whole(length) => step = length,
                Escape::HalfPair => step = out.put(at, 6, "\\ufffd"),
            },
            (true, 0..=0x1F) => step = out.put(at, 1, &format!("\\u{byte:04x}")),
            (false, 0) => step = out.put(at, 1, " "),
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > DEEPEST {
                    return Err(NotJson::TooDeep);
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, b'N' | b'I' | b'-' | b'0'..=b'9') => {
                let end = bytes[at..].iter().position(|b| !in_number(*b)).map_or(text.len(), |length| at + length);
                let token = &text[at..end];
                step = end - at;
                if matches!(token, "NaN" | "Infinity" | "-Infinity") {
                    out.put(at, step, "null");
                } else if !holds(token) {
                    out.put(at, step, &format!("\"{token}\""));
                }
            }
            _ => {}
        }
        at += step;
    }
    Ok(out.finish())
}

/// The text as far as it is repaired.
struct Repaired<'a> {
    text: &'a str,
    done: usize,
    out: String,
}

impl<'a> Repaired<'a> {
    /// Puts `instead` in the place of `length` bytes; says how many bytes that were.
    fn put(&mut self, at: usize, length: usize, instead: &str) -> usize {
        self.out.push_str(&self.text[self.done..at]);
        self.out.push_str(instead);
        self.done = at + length;
        length
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.done == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(&self.text[self.done..]);
        Cow::Owned(self.out)
    }
}

enum Escape {
    /// Left as it is, with its length in bytes; wrong ones too: the strict reader refuses them.
    Whole(usize),
    /// A surrogate without its other half.
    HalfPair,
}

/// Judges the escape that the bytes begin with.
fn escape(bytes: &[u8]) -> Escape {
    match unit(bytes) {
        Some(0xD800..=0xDBFF) => match bytes.get(6..).and_then(unit) {
            Some(0xDC00..=0xDFFF) => Escape::Whole(12),
            _ => Escape::HalfPair,
        },
        Some(0xDC00..=0xDFFF) => Escape::HalfPair,
        Some(_) => Escape::Whole(6),
        None => Escape::Whole(2),
    }
}

/// The UTF-16 unit of `\uXXXX`.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}

fn in_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Whether the strict reader keeps the number as it is. What is no number at all is left to it.
fn holds(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.len() < 19
            || digits.starts_with('0')
            || token.parse::<i64>().is_ok()
            || token.parse::<u64>().is_ok();
    }
    !digits.starts_with(|c: char| c.is_ascii_digit()) || token.parse::<f64>().map_or(true, f64::is_finite)
}

/// A field of the wrong type; names it, and never quotes its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {wanted}")]
pub struct WrongType {
    /// Its name.
    pub field: &'static str,
    /// What it must be.
    pub wanted: &'static str,
}

/// A JSON object whose fields are read leniently: null is absent, a number may stand for a string.
pub struct Object(Map<String, Value>);

impl Object {
    /// Takes an object; `None` for any other value.
    #[must_use]
    pub fn new(value: Value) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self(fields)),
            _ => None,
        }
    }

    /// The field, unless absent or null.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// The field as text, without U+0000, which Postgres refuses (U+FFFD stands in its place).
    ///
    /// # Errors
    /// If it is neither a string nor a number.
    pub fn text(&self, field: &'static str) -> Result<Option<String>, WrongType> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => as_text(value).map(Some).ok_or(WrongType { field, wanted: "a string" }),
        }
    }

    /// The field as text if it is any, trimmed; `None` if it is absent, blank or something else.
    #[must_use]
    pub fn word(&self, field: &str) -> Option<String> {
        let text = as_text(self.get(field)?)?;
        Some(text.trim()).filter(|word| !word.is_empty()).map(str::to_owned)
    }

    /// The field as a list of non-blank texts; a single text is a list of one; nulls are skipped.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn texts(&self, field: &'static str) -> Result<Vec<String>, WrongType> {
        let wrong = WrongType { field, wanted: "a list of strings" };
        let list = match self.get(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let texts: Option<Vec<String>> = list.iter().filter(|value| !value.is_null()).map(as_text).collect();
        Ok(texts.ok_or(wrong)?.into_iter().filter(|text| !text.trim().is_empty()).collect())
    }

    /// The texts of a list, each trimmed, and nothing of what is blank or no text; a single text is a list of one.
    #[must_use]
    pub fn words(&self, field: &str) -> Vec<String> {
        let list = match self.get(field) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let words = list.iter().filter_map(as_text).map(|text| text.trim().to_owned());
        words.filter(|word| !word.is_empty()).collect()
    }

    /// The same as one text, a line each; `None` if there are none.
    #[must_use]
    pub fn lines(&self, field: &str) -> Option<String> {
        Some(self.words(field).join("\n")).filter(|lines| !lines.is_empty())
    }

    /// The object within this one; an empty one where there is none.
    #[must_use]
    pub fn object(&self, field: &str) -> Self {
        self.get(field).and_then(|value| Self::new(value.clone())).unwrap_or_else(|| Self(Map::new()))
    }

    /// The same, or the first object in a list.
    #[must_use]
    pub fn first_object(&self, field: &str) -> Self {
        match self.get(field) {
            Some(Value::Array(list)) => list.iter().find_map(|value| Self::new(value.clone())),
            Some(one) => Self::new(one.clone()),
            None => None,
        }
        .unwrap_or_else(|| Self(Map::new()))
    }

    /// Whether the field says yes: `true`, or the word, or 1.
    #[must_use]
    pub fn says_yes(&self, field: &str) -> bool {
        match self.get(field) {
            Some(Value::Bool(yes)) => *yes,
            _ => self.word(field).is_some_and(|word| word == "1" || word.eq_ignore_ascii_case("true")),
        }
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.replace('\0', "\u{FFFD}")),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reads(cases: &[(&str, Value)]) {
        for (raw, want) in cases {
            assert_eq!(parse(raw.as_bytes()).as_ref(), Ok(want), "for {raw}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_the_rest_goes_on() {
        reads(&[
            (r#"["\ud83d"]"#, json!(["\u{FFFD}"])),
            (r#"["\ude00 x"]"#, json!(["\u{FFFD} x"])),
            (r#"["\uD83D\uDE00"]"#, json!(["😀"])),
            (r#"["\ud83d\ud83d\ude00"]"#, json!(["\u{FFFD}😀"])),
            (r#"["\ud83d\n"]"#, json!(["\u{FFFD}\n"])),
            (r#"["\ud83d\u0041"]"#, json!(["\u{FFFD}A"])),
            (r#"["\ud83d", "\ude00"]"#, json!(["\u{FFFD}", "\u{FFFD}"])),
            (r#"["\\ud83d"]"#, json!(["\\ud83d"])),
            (r#"["\\\ud83d"]"#, json!(["\\\u{FFFD}"])),
            (r#"["\ud83d\\ude00"]"#, json!(["\u{FFFD}\\ude00"])),
            (r#"["\"\ud83d\""]"#, json!(["\"\u{FFFD}\""])),
            (r#"{"\udc00": 1}"#, json!({"\u{FFFD}": 1})),
        ]);
    }

    #[test]
    fn every_pair_of_escapes_reads_as_utf16_would() {
        for first in ["0041", "d7ff", "d800", "dbff", "dc00", "dfff", "e000", "ffff"] {
            for second in ["0041", "d7ff", "d800", "dbff", "dc00", "dfff", "e000", "ffff"] {
                let units = [first, second].map(|digits| u16::from_str_radix(digits, 16).unwrap());
                let raw = format!("\"\\u{first}\\u{second}\"");
                assert_eq!(parse(raw.as_bytes()), Ok(json!(String::from_utf16_lossy(&units))), "{raw}");
            }
        }
    }

    #[test]
    fn nul_and_control_characters_hurt_nowhere() {
        reads(&[
            ("[\"a\0b\"]\0", json!(["a\0b"])),
            ("[\"a\\u0000b\"]", json!(["a\0b"])),
            ("[\"two\nlines\r\n\"]", json!(["two\nlines\r\n"])),
            ("\u{FEFF}[1]", json!([1])),
        ]);
        assert_eq!(parse(b"[\"\xFF\xC3\"]"), Ok(json!(["\u{FFFD}\u{FFFD}"])));
        assert!(parse(b"[\"\x80\\\x80\"]").is_err());
    }

    #[test]
    fn a_number_that_nothing_holds_is_kept_as_its_digits() {
        reads(&[
            ("[1e400000]", json!(["1e400000"])),
            ("[-1E+999]", json!(["-1E+999"])),
            ("[123456789012345678901234567890]", json!(["123456789012345678901234567890"])),
            ("[-9223372036854775809]", json!(["-9223372036854775809"])),
            ("[18446744073709551615]", json!([18_446_744_073_709_551_615_u64])),
            ("[-9223372036854775808]", json!([i64::MIN])),
            ("[1.5, -2, 1e-400000]", json!([1.5, -2, 0.0])),
            ("{\"a\":NaN,\"b\":-Infinity}", json!({"a": null, "b": null})),
            ("[\"NaN 1e400000\"]", json!(["NaN 1e400000"])),
        ]);
    }

    #[test]
    fn deep_nesting_is_refused_with_its_reason() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert_eq!(parse(nested(65).as_bytes()), Err(NotJson::TooDeep));
        assert_eq!(parse("[".repeat(1_000_000).as_bytes()), Err(NotJson::TooDeep));
        assert!(parse(format!("\"{}\"", "[".repeat(100)).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused_and_not_quoted() {
        for raw in [
            "",
            "secret words",
            "{\"a\": }",
            "[01]",
            "[1-2]",
            "[--1]",
            "[1x]",
            "[\"\\x\"]",
            "[\"\\u12\"]",
            "[Nope]",
            "[\"open",
            "[1] 2",
        ] {
            let error = parse(raw.as_bytes()).unwrap_err();
            assert!(matches!(error, NotJson::Syntax { .. }), "{raw}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_field_reads_leniently_but_not_wrongly() {
        let object =
            Object::new(json!({"n": 7, "s": " x\0 ", "null": null, "o": {}, "l": ["a", null, "", 1], "yes": "True"}))
                .unwrap();
        assert_eq!(object.text("n"), Ok(Some("7".to_owned())));
        assert_eq!(object.text("s"), Ok(Some(" x\u{FFFD} ".to_owned())));
        assert_eq!(object.text("null"), Ok(None));
        assert_eq!(object.text("o").unwrap_err().to_string(), "`o` must be a string");
        assert_eq!(object.word("s"), Some("x\u{FFFD}".to_owned()));
        assert_eq!(object.word("o"), None);
        assert_eq!(object.texts("l"), Ok(vec!["a".to_owned(), "1".to_owned()]));
        assert_eq!(object.texts("n"), Ok(vec!["7".to_owned()]));
        assert!(object.texts("o").is_err());
        assert!(object.says_yes("yes") && !object.says_yes("n") && !object.says_yes("gone"));
        assert!(Object::new(json!([])).is_none());
    }
}
