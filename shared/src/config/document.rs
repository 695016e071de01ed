//! Reading the TOML by hand, key by key: all faults are collected, each names its key, and no value is quoted. (serde
//! stops at the first fault and quotes what it found, which may be a bot id.)
use std::collections::HashMap;
use std::time::Duration;

use toml::{Table, Value};

use super::Fault;

/// What is told again is known by what is kept: a redelivery, a repeat, a late callback. They come within hours.
const SHORTEST_KEPT: Duration = Duration::from_secs(86_400);

/// A hundred years: what is kept for longer is kept for ever, and no calendar runs out.
const LONGEST_KEPT: Duration = Duration::from_secs(36_500 * 86_400);

/// Where faults are collected while the settings are read.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// Notes a fault of a variable, or of a key in the TOML by its path.
    pub(super) fn add(&mut self, name: &str, what: impl Into<String>) {
        self.0.push(Fault { name: name.to_owned(), what: what.into() });
    }
}

/// What reading any part of the TOML needs: the variables that `env:` may name, and where faults go.
pub(super) struct Reading<'a> {
    pub(super) vars: &'a HashMap<String, String>,
    pub(super) faults: &'a mut Faults,
}

/// One table of the TOML. Keys are taken out of it; what is left at the end is unknown.
pub(super) struct Section {
    path: String,
    keys: Table,
}

impl Section {
    /// The whole document.
    pub(super) fn root(keys: Table) -> Self {
        Self { path: String::new(), keys }
    }

    /// The name of a key in faults: `TALKBACK_CONFIG rooms[0].pace`.
    pub(super) fn name(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => format!("TALKBACK_CONFIG {key}"),
            path => format!("TALKBACK_CONFIG {path}.{key}"),
        }
    }

    /// Notes a fault of one key of this table.
    pub(super) fn fault(&self, reading: &mut Reading<'_>, key: &str, what: impl Into<String>) {
        reading.faults.add(&self.name(key), what);
    }

    fn take<T>(
        &mut self,
        reading: &mut Reading<'_>,
        key: &str,
        wanted: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.keys.remove(key)?);
        if value.is_none() {
            self.fault(reading, key, format!("must be {wanted}"));
        }
        value
    }

    /// A text that is not empty; `None` where it is not there.
    pub(super) fn text(&mut self, reading: &mut Reading<'_>, key: &str) -> Option<String> {
        self.take(reading, key, "a text that is not empty", filled)
    }

    /// A text that must be there. A fault gives an empty text.
    pub(super) fn required_text(&mut self, reading: &mut Reading<'_>, key: &str) -> String {
        if !self.keys.contains_key(key) {
            self.fault(reading, key, "missing");
        }
        self.text(reading, key).unwrap_or_default()
    }

    /// A text that must be there, or `env:NAME` for the variable that holds it. A fault gives an empty text.
    pub(super) fn text_or_env(&mut self, reading: &mut Reading<'_>, key: &str) -> String {
        let text = self.required_text(reading, key);
        let Some(variable) = text.strip_prefix("env:") else { return text };
        // Only what looks like a name is told in a fault: people put the secret itself there, too.
        if !variable.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
            self.fault(reading, key, "after env: must come the name of a variable, in capitals, digits and _");
            return String::new();
        }
        let value =
            reading.vars.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty()).map(str::to_owned);
        if value.is_none() {
            let what = format!("missing, and {} takes its value from it", self.name(key));
            reading.faults.add(variable, what);
        }
        value.unwrap_or_default()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, reading: &mut Reading<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let wanted = format!("one of {}", words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "));
        self.take(reading, key, &wanted, |value| {
            words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, meaning)| *meaning)
        })
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, reading: &mut Reading<'_>, key: &str, default: bool) -> bool {
        self.take(reading, key, "true or false", |value| value.as_bool()).unwrap_or(default)
    }

    /// A whole number, at least 1.
    pub(super) fn count<N: TryFrom<i64>>(&mut self, reading: &mut Reading<'_>, key: &str, default: N) -> N {
        let positive = |value: Value| value.as_integer().filter(|n| *n > 0).and_then(|n| N::try_from(n).ok());
        self.take(reading, key, "a whole number, at least 1", positive).unwrap_or(default)
    }

    /// A duration above zero, as people write it.
    pub(super) fn duration(&mut self, reading: &mut Reading<'_>, key: &str) -> Option<Duration> {
        self.take(reading, key, r#"a duration such as "200ms", "1s", "15m" or "2h""#, |value| duration(&value))
    }

    /// How long something is kept, `None` for ever; or nothing where that is not said.
    pub(super) fn keep(&mut self, reading: &mut Reading<'_>, key: &str) -> Option<Option<Duration>> {
        let wanted = r#""forever", or a duration such as "90d" or "36h", at least "1d" and at most "36500d""#;
        let kept = |value: Value| match value.as_str()? {
            "forever" => Some(None),
            text => days(text)
                .or_else(|| duration(&value))
                .filter(|time| (SHORTEST_KEPT..=LONGEST_KEPT).contains(time))
                .map(Some),
        };
        self.take(reading, key, wanted, kept)
    }

    /// A list of durations.
    pub(super) fn durations(&mut self, reading: &mut Reading<'_>, key: &str) -> Option<Vec<Duration>> {
        let wanted = r#"a list of durations such as ["1m", "5m"]"#;
        self.take(reading, key, wanted, |value| value.as_array()?.iter().map(duration).collect())
    }

    /// A list of texts, none of them empty.
    pub(super) fn texts(&mut self, reading: &mut Reading<'_>, key: &str) -> Vec<String> {
        let list = |value: Value| match value {
            Value::Array(items) => items.into_iter().map(filled).collect(),
            _ => None,
        };
        self.take(reading, key, "a list of texts", list).unwrap_or_default()
    }

    /// That word, as `None`, or a list of texts; or nothing where the key is not there.
    pub(super) fn word_or_texts(
        &mut self,
        reading: &mut Reading<'_>,
        key: &str,
        word: &str,
    ) -> Option<Option<Vec<String>>> {
        self.take(reading, key, &format!(r#""{word}", or a list of texts"#), |value| match value {
            Value::String(text) => (text == word).then_some(None),
            Value::Array(items) => items.into_iter().map(filled).collect::<Option<_>>().map(Some),
            _ => None,
        })
    }

    /// A table in this one, empty where it is not there.
    pub(super) fn section(&mut self, reading: &mut Reading<'_>, key: &str) -> Section {
        let table = |value: Value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        };
        let keys = self.take(reading, key, &format!("a table: [{key}]"), table).unwrap_or_default();
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Section { path, keys }
    }

    /// A list of tables in this one, empty where it is not there.
    pub(super) fn sections(&mut self, reading: &mut Reading<'_>, key: &str) -> Vec<Section> {
        let tables = |value: Value| -> Option<Vec<Table>> {
            let Value::Array(items) = value else { return None };
            items
                .into_iter()
                .map(|item| match item {
                    Value::Table(table) => Some(table),
                    _ => None,
                })
                .collect()
        };
        let tables = self.take(reading, key, &format!("a list of tables: [[{key}]]"), tables).unwrap_or_default();
        let numbered = |(place, keys)| Section { path: format!("{key}[{place}]"), keys };
        tables.into_iter().enumerate().map(numbered).collect()
    }

    /// Every key that is left, with its text: for tables whose keys are names.
    pub(super) fn named_texts(&mut self, reading: &mut Reading<'_>) -> Vec<(String, String)> {
        let keys: Vec<String> = self.keys.keys().cloned().collect();
        keys.into_iter().filter_map(|key| self.text(reading, &key).map(|text| (key, text))).collect()
    }

    /// Ends reading: what nobody took is unknown.
    pub(super) fn end(self, reading: &mut Reading<'_>) {
        for key in self.keys.keys() {
            self.fault(reading, key, "unknown key");
        }
    }
}

/// Parses the document. The parser's own message quotes the line, so only its place is told.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("no TOML, at line {}", before.matches('\n').count() + 1)
    })
}

fn filled(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// Days, which durations elsewhere do not have: nothing else takes so long.
fn days(text: &str) -> Option<Duration> {
    let days: u64 = text.strip_suffix('d')?.trim_end().parse().ok()?;
    days.checked_mul(86_400).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn duration(value: &Value) -> Option<Duration> {
    let duration: jiff::SignedDuration = value.as_str()?.parse().ok()?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero())
}
