//! Typed look-ups in a message's headers. Amazon writes a text as `{"bytes": [118, 49]}`; how it writes what is nested
//! is not documented, so every form is read at every depth, and plain text too.
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::moment;

/// The headers of a message, as the event has them.
#[derive(Clone, PartialEq, Default)]
pub struct Headers(pub(super) Map<String, Value>);

impl std::fmt::Debug for Headers {
    /// Names only: a value may be a listener's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Headers {
    /// A header, if it is there and not null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Field<'_>> {
        self.0.get(name).filter(|value| !value.is_null()).map(Field)
    }

    /// A header that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text()
    }

    /// A header that is true or false: a boolean, the words, 1 or 0.
    #[must_use]
    pub fn bool(&self, name: &str) -> Option<bool> {
        self.get(name)?.bool()
    }

    /// A header that is a whole number, or text of one.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name)?.int()
    }

    /// The names of all headers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// One value of a header, perhaps nested.
#[derive(Clone, Copy)]
pub struct Field<'a>(pub(super) &'a Value);

impl<'a> Field<'a> {
    /// Text, as `{"bytes": […]}` or plain. Bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(self) -> Option<String> {
        match self.0 {
            Value::String(text) => Some(text.clone()),
            Value::Object(fields) => {
                let bytes: Option<Vec<u8>> = fields.get("bytes")?.as_array()?.iter().map(byte).collect();
                Some(String::from_utf8_lossy(&bytes?).into_owned())
            }
            _ => None,
        }
    }

    /// Text, or a number or boolean as text.
    pub(super) fn loose_text(self) -> Option<String> {
        match self.0 {
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => self.text(),
        }
    }

    /// True or false: a boolean, the words in any case, 1 or 0.
    #[must_use]
    pub fn bool(self) -> Option<bool> {
        let text = match self.0 {
            Value::Bool(truth) => return Some(*truth),
            _ => self.loose_text()?,
        };
        match text.trim() {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// A whole number, or text of one.
    #[must_use]
    pub fn int(self) -> Option<i64> {
        match self.0 {
            Value::Number(number) => number.as_i64(),
            _ => self.text()?.trim().parse().ok(),
        }
    }

    /// A moment: seconds or milliseconds since 1970, or a date as text.
    #[must_use]
    pub fn moment(self) -> Option<Timestamp> {
        match self.0 {
            Value::Number(number) => moment::from_number(number.as_f64()?),
            _ => moment::read_moment(&self.text()?),
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn items(self) -> Option<&'a [Value]> {
        self.0.as_array().map(Vec::as_slice)
    }

    /// A field, if it is a table that has it and it is not null.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        self.0.as_object()?.get(name).filter(|value| !value.is_null()).map(Self)
    }
}

impl std::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Field(…)")
    }
}

/// Java's bytes are signed: é may come as 195, 169 or as -61, -87.
#[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the range is checked")]
fn byte(value: &Value) -> Option<u8> {
    match value.as_i64()? {
        signed @ -128..0 => Some(signed as i8 as u8),
        unsigned => u8::try_from(unsigned).ok(),
    }
}
