//! Keys of `POST /send`: who may send what. Only hashes of keys are configured, so the settings let nobody in.
pub mod limit;

use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq as _};

use crate::route::{Pattern, RoutingKey};

/// One sender's key, known by its hash, and what it may do.
#[derive(Clone, PartialEq, Eq)]
pub struct SendKey {
    /// Who it was given to; shown in rows and logs.
    pub name: String,
    hash: [u8; 32],
    /// Which sources, without their leading `source.`; empty: `standard` and `standard.*`.
    pub sources: Vec<Pattern>,
    /// May ask for a priority above normal.
    pub urgent: bool,
    /// May name rooms.
    pub rooms: bool,
    /// Is answered 200 where others are answered 202, for programs that know nothing else.
    pub ok200: bool,
}

/// Why an entry of `TALKBACK_SEND_KEYS` was refused. Quotes nothing: what stands in the wrong place may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendKeyError {
    /// The first field.
    #[error("the name must be 1 to 64 letters, digits, dots, _ or -")]
    Name,
    /// The second field.
    #[error("after the name must come the key's SHA-256 as 64 hex digits")]
    Hash,
    /// The source patterns.
    #[error("the source patterns are not patterns joined by |, without their leading `source.`")]
    Patterns,
    /// A word after the patterns.
    #[error("the words after the source patterns may be urgent, rooms and ok200, each once")]
    Word,
}

impl SendKey {
    /// Takes `name:sha256hex[:patterns joined by |][:urgent][:rooms][:ok200]`.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(entry: &str) -> Result<Self, SendKeyError> {
        let mut fields = entry.trim().split(':');
        let name = fields.next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(SendKeyError::Name);
        }
        let hash = fields.next().and_then(from_hex).ok_or(SendKeyError::Hash)?;
        let mut key =
            Self { name: name.to_owned(), hash, sources: Vec::new(), urgent: false, rooms: false, ok200: false };
        for (place, field) in fields.enumerate() {
            let word = match field {
                "urgent" => &mut key.urgent,
                "rooms" => &mut key.rooms,
                "ok200" => &mut key.ok200,
                "" if place == 0 => continue,
                patterns if place == 0 => {
                    let pattern = |text: &str| match Pattern::parse(text) {
                        // Almost surely a mistake, and it would match nothing.
                        Ok(_) if text.starts_with("source.") => Err(SendKeyError::Patterns),
                        Ok(pattern) => Ok(pattern),
                        Err(_) => Err(SendKeyError::Patterns),
                    };
                    key.sources = patterns.split('|').map(pattern).collect::<Result<_, _>>()?;
                    continue;
                }
                _ => return Err(SendKeyError::Word),
            };
            if std::mem::replace(word, true) {
                return Err(SendKeyError::Word);
            }
        }
        Ok(key)
    }

    /// Whether what was presented is this key. Takes the same time for every wrong one.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        self.same(digest(&SHA256, presented.as_bytes()).as_ref()).into()
    }

    fn same(&self, presented: &[u8]) -> Choice {
        self.hash.ct_eq(presented)
    }

    /// Whether the two entries stand for one and the same key.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.same(&other.hash).into()
    }

    /// Whether this key may send under a source name, given without its leading `source.`.
    ///
    /// What comes from Twilio and GroupMe comes from there alone, and what Talkback says it says itself, whatever a key
    /// says.
    #[must_use]
    pub fn may_use(&self, source_name: &str) -> bool {
        let Ok(name) = RoutingKey::parse(source_name) else { return false };
        let words: Vec<&str> = source_name.split('.').collect();
        match words[..] {
            ["twilio" | "groupme" | "talkback", ..] => false,
            ["standard"] | ["standard", _] if self.sources.is_empty() => true,
            _ => self.sources.iter().any(|pattern| pattern.matches(&name)),
        }
    }

    /// The source of what comes with this key from where no source can be named: `standard` if the key may use it;
    /// else its first pattern without a wildcard; else its first pattern with the key's name (in lower case, `-` for
    /// `.`) for each wildcard, so that `weather.*` of the key `azuracast` gives `weather.azuracast`. `None` if it may
    /// use none of these.
    #[must_use]
    pub fn own_source(&self) -> Option<RoutingKey> {
        let name = self.name.to_ascii_lowercase().replace('.', "-");
        let filled = |pattern: &Pattern| {
            let words: Vec<&str> = pattern.words().map(|word| if is_wildcard(word) { &name } else { word }).collect();
            words.join(".")
        };
        let (wild, literal): (Vec<&Pattern>, Vec<&Pattern>) =
            self.sources.iter().partition(|pattern| pattern.words().any(is_wildcard));
        let named = literal.into_iter().chain(wild).map(filled);
        let mut sources = std::iter::once("standard".to_owned()).chain(named);
        let source = sources.find(|source| self.may_use(source))?;
        RoutingKey::parse(&format!("source.{source}")).ok()
    }
}

fn is_wildcard(word: &str) -> bool {
    matches!(word, "*" | "#")
}

/// Finds whose key was presented. Every key is looked at, so the time does not tell which it was.
#[must_use]
pub fn find<'a>(keys: &'a [SendKey], presented: &str) -> Option<&'a SendKey> {
    let presented = digest(&SHA256, presented.as_bytes());
    keys.iter().fold(None, |found, key| if key.same(presented.as_ref()).into() { Some(key) } else { found })
}

impl std::fmt::Debug for SendKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SendKey({})", self.name)
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
