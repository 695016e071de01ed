//! `[[rooms]]`: places to speak.
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::document::{Reading, Section};
use crate::compose::Dress;

/// One place to speak.
#[derive(Clone, Debug)]
pub struct Room {
    /// What routes, keys and people call it.
    pub name: String,
    /// Which kind of chat it is in: `groupme`.
    pub channel: String,
    /// The bot that speaks; whoever has it can speak, so it is a secret.
    pub bot_id: SecretString,
    /// The group that the bot is in; callbacks of other groups are refused.
    pub group: String,
    /// The shortest time between two posts in the long run.
    pub pace: Duration,
    /// How many posts may go at once after a silence.
    pub burst: u32,
    /// How messages are dressed where the route does not say.
    pub dress: Dress,
    /// Whether our own lines are looked for in callbacks.
    pub confirm: bool,
    /// What to do about a post whose answer was lost and that can be found nowhere.
    pub unknown: Unknown,
}

/// What to do about a post whose answer was lost and that can be found nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// Post it again: doubled is better than lost.
    #[default]
    Resend,
    /// Leave it unconfirmed: lost is better than doubled.
    GiveUp,
}

/// The words for a dress, in rooms and in routes.
pub(super) const DRESSES: [(&str, Dress); 2] = [("classic", Dress::Classic), ("plain", Dress::Plain)];

/// Reads `[[rooms]]`.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Vec<Room> {
    let mut rooms: Vec<Room> = Vec::new();
    for mut section in root.sections(reading, "rooms") {
        let room = room(&mut section, reading);
        if rooms.iter().any(|known| known.name == room.name) {
            section.fault(reading, "name", "an earlier room has this name");
        }
        // A producer's record names its room by the bot that posted.
        let same_bot = |known: &Room| known.bot_id.expose_secret() == room.bot_id.expose_secret();
        if !room.bot_id.expose_secret().is_empty() && rooms.iter().any(same_bot) {
            section.fault(reading, "bot_id", "an earlier room has this bot");
        }
        section.end(reading);
        rooms.push(room);
    }
    if rooms.is_empty() {
        root.fault(reading, "rooms", "needs at least one room: [[rooms]]");
    }
    rooms
}

fn room(section: &mut Section, reading: &mut Reading<'_>) -> Room {
    let name = section.required_text(reading, "name");
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.len() > 64 || !name.bytes().all(plain) {
        section.fault(reading, "name", "must be 1 to 64 letters, digits, dots, _ or -");
    }
    let channel = section.word(reading, "channel", &[("groupme", "groupme")]).unwrap_or("groupme");
    Room {
        name,
        channel: channel.to_owned(),
        bot_id: SecretString::from(section.text_or_env(reading, "bot_id")),
        group: section.text_or_env(reading, "group"),
        pace: section.duration(reading, "pace").unwrap_or(Duration::from_secs(1)),
        burst: section.count(reading, "burst", 3),
        dress: section.word(reading, "dress", &DRESSES).unwrap_or(Dress::Classic),
        confirm: section.switch(reading, "confirm", true),
        unknown: section
            .word(reading, "unknown", &[("resend", Unknown::Resend), ("give_up", Unknown::GiveUp)])
            .unwrap_or_default(),
    }
}
