//! The pace of all programs that share a spool: a small file says when the room's next turn is. Read and written by
//! whoever has the lock of posting.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use talkback::config::Room;

use crate::spool::Spool;

const FILE: &str = "pace";

/// No wait that the file asks for is believed beyond this: a clock may have been wrong when it was written.
const LONGEST: Duration = Duration::from_secs(3600);

/// As GCRA has it, in milliseconds of the wall clock, which the processes share.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Turns {
    /// When the room will have had a rest, as long as its posts so far ask for.
    rested: i64,
    /// `Retry-After`.
    not_before: i64,
    /// When it was said: before this no clock is right that heard it.
    #[serde(default)]
    said: i64,
}

impl Turns {
    pub(crate) fn read(spool: &Spool) -> Self {
        spool.read_aside(FILE).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// How long until the next post may go.
    pub(crate) fn wait(&self, room: &Room, now: Timestamp) -> Duration {
        let now = now.as_millisecond();
        let turn = self.rested.saturating_sub(millis(room.pace).saturating_mul(i64::from(room.burst.max(1)) - 1));
        // Who would wait longer than a burst and its rest reads what a wrong clock wrote.
        let most = millis(room.pace).saturating_mul(i64::from(room.burst) + 1);
        let paced = turn.saturating_sub(now).min(most);
        // A clock that was set back since would keep an alarm for as long as it had been ahead.
        let limited = if now < self.said { 0 } else { self.not_before.saturating_sub(now).min(millis(LONGEST)) };
        Duration::from_millis(u64::try_from(paced.max(limited)).unwrap_or(0))
    }

    /// Counts a post that goes now.
    pub(crate) fn charge(&mut self, room: &Room, now: Timestamp, spool: &Spool) {
        let (now, pace) = (now.as_millisecond(), millis(room.pace));
        let most = now.saturating_add(pace.saturating_mul(i64::from(room.burst) + 1));
        self.rested = self.rested.min(most).max(now).saturating_add(pace);
        self.write(spool);
    }

    /// GroupMe wants nothing for so long.
    pub(crate) fn pause(&mut self, now: Timestamp, pause: Duration, spool: &Spool) {
        self.said = now.as_millisecond();
        self.not_before = self.said.saturating_add(millis(pause.min(LONGEST)));
        self.write(spool);
    }

    /// A spool that cannot be written costs the others their pace, not us the post.
    fn write(&self, spool: &Spool) {
        if let Ok(text) = serde_json::to_string(self) {
            let _ = spool.write_aside(FILE, &text);
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn room() -> Room {
        let vars = [("AMQP_URL", "amqp://localhost"), ("GROUPME_BOT_ID", "b"), ("TALKBACK_SEND_SPOOL", "/nowhere")];
        Settings::from_vars(&vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).unwrap().room
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_each_pace() {
        let (room, spool) = (room(), Spool::new("/nowhere".into(), 0, 0));
        let mut turns = Turns::default();
        let mut waits = Vec::new();
        for _ in 0..5 {
            let wait = turns.wait(&room, at(0));
            waits.push(wait.as_millis());
            turns.charge(&room, at(0), &spool);
        }
        assert_eq!(waits, [0, 0, 0, 1000, 2000]);
        assert_eq!(turns.wait(&room, at(2500)), Duration::from_millis(500));
    }

    #[test]
    fn a_rate_limit_is_kept_and_a_wrong_clock_is_not_believed() {
        let (room, spool) = (room(), Spool::new("/nowhere".into(), 0, 0));
        let mut turns = Turns::default();
        turns.pause(at(0), Duration::from_secs(30), &spool);
        assert_eq!(turns.wait(&room, at(10_000)), Duration::from_secs(20));
        let ahead = Turns { rested: at(9_000_000_000).as_millisecond(), ..Turns::default() };
        assert_eq!(ahead.wait(&room, at(0)), Duration::from_secs(4));
        turns.pause(at(9_000_000_000), Duration::from_millis(250), &spool);
        assert_eq!(turns.wait(&room, at(0)), Duration::ZERO);
    }
}
