//! Topic patterns to rooms: which rooms a source goes to, in which dress, how urgently and for how long.
use std::time::Duration;

use crate::compose::Dress;
use crate::message::Priority;

/// A dotted routing key as AMQP 0-9-1 has it: at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingKey(String);

/// Why a routing key or pattern was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Empty, longer than 255 bytes, or with a control character.
    #[error("a routing key is 1 to 255 bytes without control characters")]
    Key,
    /// `*` and `#` must be whole words.
    #[error("a pattern is words joined by dots, where * or # may stand for words only as a whole")]
    Pattern,
}

impl RoutingKey {
    /// Takes a key as it came over AMQP.
    pub fn parse(key: &str) -> Result<Self, RouteError> {
        if key.is_empty() || key.len() > 255 || key.chars().any(char::is_control) {
            return Err(RouteError::Key);
        }
        Ok(Self(key.to_owned()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A topic pattern: `*` is exactly one word, `#` zero or more (AMQP 0-9-1, 3.1.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Takes a pattern such as `source.twilio.#`.
    pub fn parse(pattern: &str) -> Result<Self, RouteError> {
        let words: Vec<String> = pattern.split('.').map(str::to_owned).collect();
        let whole = |w: &String| w.len() == 1 || !w.contains(['*', '#']);
        if pattern.is_empty() || pattern.len() > 255 || !words.iter().all(whole) {
            return Err(RouteError::Pattern);
        }
        Ok(Self(words))
    }

    /// Whether the key falls under this pattern.
    #[must_use]
    pub fn matches(&self, key: &RoutingKey) -> bool {
        let _ = key;
        unimplemented!()
    }
}

/// What happens to messages of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Post to the route's rooms.
    Post,
    /// Store with verdict `blocked`, sealed; never posted.
    Block,
}

/// Where messages under one pattern go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which sources.
    pub pattern: Pattern,
    /// Posted or blocked.
    pub action: Action,
    /// Which rooms, by name.
    pub rooms: Vec<String>,
    /// The dress; the room's where `None`.
    pub dress: Option<Dress>,
    /// How urgent, where the message does not say.
    pub priority: Priority,
    /// How long it is worth posting.
    pub age: Duration,
    /// How long its producers wait for an answer before they post themselves.
    pub patience: Option<Duration>,
}

/// The table of routes: the first that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(pub Vec<Route>);

impl Routes {
    /// The route of a source, if any.
    #[must_use]
    pub fn find(&self, source: &RoutingKey) -> Option<&Route> {
        self.0.iter().find(|r| r.pattern.matches(source))
    }
}
