//! Topic patterns to rooms: which rooms a source goes to, in which dress, how urgently and for how long.
pub(crate) mod told;

pub use told::name_of;

use std::fmt;
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

/// A topic pattern: `*` is exactly one word, `#` zero or more (AMQP 0-9-1, 3.1.3.3). As in RabbitMQ, words lie between
/// dots and may be empty: `a..b` has three, `a.` two. (Only the empty key has none; we take no empty key.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

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

    /// Its words, wildcards among them.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The same as a regular expression of Postgres, for a key with a dot behind it: each word ends with one then, also
    /// the last, and any number of words is any number of such pieces.
    #[must_use]
    pub fn to_regex(&self) -> String {
        let word = |word: &String| match word.as_str() {
            "#" => "(?:[^.]*\\.)*".to_owned(),
            "*" => "[^.]*\\.".to_owned(),
            word => {
                let escape =
                    |c: char| if c.is_ascii() && !c.is_ascii_alphanumeric() { format!("\\{c}") } else { c.into() };
                word.chars().map(escape).collect::<String>() + "\\."
            }
        };
        format!("^{}$", self.0.iter().map(word).collect::<String>())
    }

    /// Whether the key falls under this pattern.
    #[must_use]
    pub fn matches(&self, key: &RoutingKey) -> bool {
        let key: Vec<&str> = key.0.split('.').collect();
        let pattern: Vec<&str> = self.0.iter().map(String::as_str).collect();
        matches(&pattern, &key)
    }
}

/// Greedy with one place to come back to: when a word fails, the last `#` takes one word more. An earlier `#` never
/// needs to take more, since the last one can take what it would; so the work is at most pattern times key.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    let (mut p, mut k) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while k < key.len() {
        match pattern.get(p) {
            Some(&"#") => {
                back = Some((p + 1, k));
                p += 1;
            }
            Some(&word) if word == "*" || word == key[k] => {
                p += 1;
                k += 1;
            }
            _ => {
                let Some((after, taken)) = back else { return false };
                back = Some((after, taken + 1));
                (p, k) = (after, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&word| word == "#")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_regular_expression_of_pieces_that_end_with_a_dot() {
        let regex = |pattern: &str| Pattern::parse(pattern).unwrap().to_regex();
        assert_eq!(regex("source.twilio.#"), r"^source\.twilio\.(?:[^.]*\.)*$");
        assert_eq!(regex("*.a-b"), r"^[^.]*\.a\-b\.$");
    }

    fn fits(pattern: &str, key: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&RoutingKey::parse(key).unwrap())
    }

    #[test]
    fn a_star_is_exactly_one_word() {
        assert!(fits("source.*", "source.standard"));
        assert!(fits("*.standard", "source.standard"));
        assert!(!fits("source.*", "source"));
        assert!(!fits("source.*", "source.standard.x"));
        assert!(!fits("*", "a.b"));
    }

    #[test]
    fn a_hash_is_any_number_of_words_also_none() {
        assert!(fits("source.#", "source"));
        assert!(fits("source.#", "source.twilio.sms.incoming"));
        assert!(!fits("source.#", "sources"));
        assert!(fits("#", "a.b.c"));
        assert!(fits("#.#", "a"));
        assert!(fits("#.b.#", "b"));
        assert!(fits("#.b.#", "a.b.c"));
        assert!(!fits("#.b.#", "a.c"));
        assert!(fits("a.#.z", "a.z"));
        assert!(!fits("a.#.z", "a.z.b"));
    }

    #[test]
    fn a_hash_gives_back_what_the_rest_of_the_pattern_needs() {
        assert!(fits("#.a.b", "a.a.b"));
        assert!(fits("#.*.b", "x.y.b"));
        assert!(!fits("#.*.b", "b"));
        assert!(fits("*.#.*", "a.b"));
        assert!(!fits("*.#.*", "a"));
        assert!(fits("a.#.b.#.c", "a.b.b.c.c"));
        assert!(!fits("a.#.b.#.c", "a.c.b"));
    }

    #[test]
    fn empty_words_are_words() {
        assert!(fits("a.*.b", "a..b"));
        assert!(fits("a..b", "a..b"));
        assert!(!fits("a.b", "a..b"));
        assert!(fits("a.*", "a."));
        assert!(!fits("a", "a."));
        assert!(fits("*.*", "."));
    }

    #[test]
    fn a_star_or_hash_in_a_key_is_a_word_like_others() {
        assert!(fits("a.*", "a.#"));
        assert!(!fits("a.b", "a.*"));
        assert!(fits("a.#", "a.#.*"));
    }

    /// What `*` and `#` mean, said once more as plainly as can be (and exponential).
    fn plainly(pattern: &[&str], key: &[&str]) -> bool {
        match pattern.split_first() {
            None => key.is_empty(),
            Some((&"#", rest)) => (0..=key.len()).any(|taken| plainly(rest, &key[taken..])),
            Some((word, rest)) => {
                key.split_first().is_some_and(|(first, after)| (*word == "*" || word == first) && plainly(rest, after))
            }
        }
    }

    #[test]
    fn every_short_pattern_agrees_with_its_meaning_on_every_short_key() {
        fn over(alphabet: &[&'static str], longest: u32) -> Vec<Vec<&'static str>> {
            let mut all: Vec<Vec<&str>> = vec![vec![]];
            let mut from = 0;
            for _ in 0..longest {
                let to = all.len();
                for i in from..to {
                    for word in alphabet {
                        let longer = [all[i].clone(), vec![*word]].concat();
                        all.push(longer);
                    }
                }
                from = to;
            }
            all
        }
        let keys = over(&["a", "b"], 5);
        for pattern in over(&["a", "b", "*", "#"], 5) {
            for key in &keys {
                assert_eq!(matches(&pattern, key), plainly(&pattern, key), "{pattern:?} {key:?}");
            }
        }
    }

    #[test]
    fn a_pattern_made_to_blow_up_is_judged_at_once() {
        // Plain backtracking would need more steps than there are atoms; the test would never end.
        let pattern = format!("{}z", "#.a.".repeat(60));
        assert!(!fits(&pattern, &vec!["a"; 127].join(".")));
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let route = |pattern: &str, room: &str| Route {
            pattern: Pattern::parse(pattern).unwrap(),
            action: Action::Post,
            rooms: vec![room.to_owned()],
            dress: None,
            priority: Priority::Normal,
            age: Duration::from_secs(60),
            patience: None,
        };
        let routes = Routes(vec![route("source.twilio.#", "texts"), route("source.#", "all")]);
        let room = |key: &str| routes.find(&RoutingKey::parse(key).unwrap()).map(|found| found.rooms[0].as_str());
        assert_eq!(room("source.twilio.sms.incoming"), Some("texts"));
        assert_eq!(room("source.standard"), Some("all"));
        assert_eq!(room("notification.ups.onbattery"), None);
    }

    #[test]
    fn keys_and_patterns_that_amqp_could_not_carry_are_refused() {
        assert_eq!(RoutingKey::parse(""), Err(RouteError::Key));
        assert_eq!(RoutingKey::parse(&"k".repeat(256)), Err(RouteError::Key));
        assert_eq!(RoutingKey::parse("a\nb"), Err(RouteError::Key));
        assert_eq!(Pattern::parse(""), Err(RouteError::Pattern));
        assert_eq!(Pattern::parse("a.b*"), Err(RouteError::Pattern));
        assert_eq!(Pattern::parse("##"), Err(RouteError::Pattern));
    }
}
