//! `[chat]`: who may say what to Talkback in the room, and what people may publish from there.
use super::document::{Reading, Section};
use crate::route::{Pattern, RoutingKey};

/// Keys that nobody publishes from the chat: what they would say is said by programs.
const NEVER: [&str; 2] = ["source.twilio.#", "source.groupme.#"];

/// Which members of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// All.
    Everyone,
    /// Those with these GroupMe user ids; with none of them: nobody.
    Members(Vec<String>),
}

impl Who {
    /// Whether that member is one of them.
    #[must_use]
    pub fn includes(&self, user_id: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Members(ids) => ids.iter().any(|id| id == user_id),
        }
    }
}

/// Who may use commands of which grade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Those that only show something.
    pub look: Who,
    /// Those that change something.
    pub act: Who,
    /// Those that publish to the exchange.
    pub publish: Who,
    /// The keys that may be published.
    pub publish_keys: Vec<Pattern>,
}

impl Default for Chat {
    fn default() -> Self {
        let publish = Who::Members(Vec::new());
        Self { look: Who::Everyone, act: Who::Everyone, publish, publish_keys: Vec::new() }
    }
}

impl Chat {
    /// Whether that key may be published from the chat.
    #[must_use]
    pub fn may_publish(&self, key: &RoutingKey) -> bool {
        let never = NEVER.iter().filter_map(|pattern| Pattern::parse(pattern).ok()).any(|never| never.matches(key));
        !never && self.publish_keys.iter().any(|pattern| pattern.matches(key))
    }
}

/// Reads `[chat]`.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Chat {
    let mut section = root.section(reading, "chat");
    let mut chat = Chat::default();
    for (key, who) in [("look", &mut chat.look), ("act", &mut chat.act), ("publish", &mut chat.publish)] {
        if let Some(ids) = section.word_or_texts(reading, key, "everyone") {
            *who = ids.map_or(Who::Everyone, Who::Members);
        }
    }
    for pattern in section.texts(reading, "publish_keys") {
        match Pattern::parse(&pattern) {
            Ok(pattern) => chat.publish_keys.push(pattern),
            Err(error) => section.fault(reading, "publish_keys", error.to_string()),
        }
    }
    section.end(reading);
    chat
}

#[cfg(test)]
mod tests {
    use super::super::document::Faults;
    use super::*;

    fn key(key: &str) -> RoutingKey {
        RoutingKey::parse(key).unwrap()
    }

    #[test]
    fn only_listed_keys_may_be_published_and_never_those_of_programs() {
        let chat = Chat { publish_keys: vec![Pattern::parse("#").unwrap()], ..Chat::default() };
        assert!(chat.may_publish(&key("studio.lamp")) && chat.may_publish(&key("source.standard")));
        for never in ["source.twilio", "source.twilio.ban", "source.groupme.msg", "source.groupme.dashboard.clear"] {
            assert!(!chat.may_publish(&key(never)), "{never}");
        }
        assert!(!Chat::default().may_publish(&key("studio.lamp")));
    }

    #[test]
    fn what_is_wrong_in_the_table_is_named() {
        let mut faults = Faults::default();
        let mut read_text = |text: &str| {
            let vars = std::collections::HashMap::new();
            let mut reading = Reading { vars: &vars, faults: &mut faults };
            read(&mut Section::root(text.parse().unwrap()), &mut reading)
        };
        let chat = read_text("[chat]\nlook = \"everyone\"\nact = [\"1\", \"2\"]\npublish_keys = [\"a.*\"]");
        assert_eq!((chat.look, chat.act), (Who::Everyone, Who::Members(vec!["1".to_owned(), "2".to_owned()])));
        assert_eq!((chat.publish, chat.publish_keys.len()), (Who::Members(Vec::new()), 1));
        read_text("[chat]\nlook = \"nobody\"\nact = [5]\npublish_keys = [\"a#b\"]\nlisten = true");
        let names: Vec<&str> = faults.0.iter().map(|fault| fault.name.as_str()).collect();
        let wanted = ["look", "act", "publish_keys", "listen"].map(|key| format!("TALKBACK_CONFIG chat.{key}"));
        assert_eq!(names, wanted);
    }

    #[test]
    fn nobody_is_a_member_of_an_empty_list() {
        assert!(Who::Everyone.includes("7") && !Who::Members(Vec::new()).includes("7"));
        assert!(Who::Members(vec!["7".to_owned()]).includes("7") && !Who::Members(vec!["7".to_owned()]).includes("77"));
    }
}
