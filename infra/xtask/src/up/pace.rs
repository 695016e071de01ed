//! How fast the functions may post, for the simulator: what it finds at fault is measured by the pace that they are told.

use std::{collections::BTreeMap, fs, time::Duration};

use jiff::SignedDuration;
use toml::{Table, Value};

use crate::checkout;

/// The pace of one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// The shortest time between two posts in the long run.
    pub(super) every: Duration,
    /// So many posts may go at once after a silence.
    pub(super) burst: u64,
}

/// The pace of the room in which this bot speaks, by the configuration that the functions get; `None` where there is no
/// such room, or where the configuration cannot be read: then the functions say what is wrong with it.
pub(super) fn of_bot(bot_id: &str, environment: &BTreeMap<String, String>) -> Option<Pace> {
    let given = environment.get("TALKBACK_CONFIG")?;
    // The TOML itself, or the path of a file, as the functions find it from where they run.
    let text = if given.contains(['\n', '=']) {
        given.clone()
    } else {
        fs::read_to_string(checkout::root().join(given)).ok()?
    };
    let document: Table = text.parse().ok()?;
    let rooms = document.get("rooms")?.as_array()?;
    let is_its = |room: &&Value| {
        let bot = room.get("bot_id").and_then(Value::as_str).unwrap_or_default();
        let value = match bot.strip_prefix("env:") {
            Some(name) => environment.get(name).cloned().or_else(|| super::settings::given(name)),
            None => Some(bot.to_owned()),
        };
        value.is_some_and(|value| value.trim() == bot_id.trim())
    };
    let room = rooms.iter().find(is_its)?;
    // What is left out has the default of `shared/src/config/room.rs`.
    let every = match room.get("pace") {
        Some(pace) => Duration::try_from(pace.as_str()?.parse::<SignedDuration>().ok()?).ok()?,
        None => Duration::from_secs(1),
    };
    let burst = match room.get("burst") {
        Some(burst) => u64::try_from(burst.as_integer()?).ok()?,
        None => 3,
    };
    Some(Pace { every, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: &str = r#"
        [[rooms]]
        name = "another"
        bot_id = "0001"
        group = "1"
        [[rooms]]
        name = "staff"
        bot_id = "env:GROUPME_BOT_ID"
        group = "1"
        pace = "1m 250ms"
        burst = 7
    "#;

    fn of(bot_id: &str, config: &str) -> Option<Pace> {
        let environment = [("TALKBACK_CONFIG", config), ("GROUPME_BOT_ID", "0002")];
        of_bot(bot_id, &environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn the_pace_is_that_of_the_bots_room() {
        assert_eq!(of("0002", ROOMS), Some(Pace { every: Duration::from_millis(60_250), burst: 7 }));
        assert_eq!(of("0001", ROOMS), Some(Pace { every: Duration::from_secs(1), burst: 3 }), "what is left out");
        assert_eq!(of("0003", ROOMS), None);
        for wrong in ["rooms = 4", "=", "no/such.toml", &ROOMS.replace("1m", "soon")] {
            assert_eq!(of("0002", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_examples_room_has_the_pace_that_talkback_gives_it() {
        assert_eq!(of("0002", "infra/talkback.toml"), Some(Pace { every: Duration::from_secs(1), burst: 3 }));
    }
}
