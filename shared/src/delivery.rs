//! The states of a delivery, a part, a room and a message, and which changes are allowed. The words are the ones that
//! rows, logs and answers use.
use std::fmt;

/// Where one message for one room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its turn in the room's lane.
    Queued,
    /// At least one of its parts was claimed.
    Sending,
    /// Set aside until a moment: because it alone kept failing, or because somebody asked for later.
    Scheduled,
    /// Set aside until somebody lets it go, for example while its sender is muted.
    Held,
    /// Every part was answered with success; no proof yet that the room shows it.
    Sent,
    /// The room shows every part.
    Confirmed,
    /// Posted, as far as known, but the proof did not come in time; never posted again by itself.
    Unconfirmed,
    /// Refused, or tried as often as is worth it.
    Failed,
    /// Too old before it could be posted.
    Expired,
    /// Not to be posted (any more): its sender was banned, its producer took over, or somebody said so.
    Withdrawn,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Sending,
        Self::Scheduled,
        Self::Held,
        Self::Sent,
        Self::Confirmed,
        Self::Unconfirmed,
        Self::Failed,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// The word used in rows, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the word back; `None` for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The states that may follow this one: the table of allowed changes.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        use DeliveryState::{
            Confirmed, Expired, Failed, Held, Queued, Scheduled, Sending, Sent, Unconfirmed, Withdrawn,
        };
        match self {
            // To `sent` from nearly everywhere: a producer's own record of the post settles the delivery, and so does an
            // answer that came late. To `confirmed` and `unconfirmed` likewise: the room shows it, whatever we thought.
            Queued => &[Sending, Scheduled, Held, Expired, Withdrawn, Sent, Confirmed, Unconfirmed, Failed],
            Scheduled | Held => &[Queued, Withdrawn, Expired, Sent, Confirmed, Unconfirmed],
            // `withdrawn`: the rest of its parts is not posted. `scheduled`, `held`: set aside.
            Sending => &[Queued, Sent, Confirmed, Unconfirmed, Failed, Withdrawn, Scheduled, Held],
            Sent => &[Confirmed, Unconfirmed],
            // To `queued` from here and below: a person replays it. To `failed`: a late answer refused it.
            Unconfirmed => &[Sent, Confirmed, Queued, Failed],
            Withdrawn | Failed | Expired => &[Sent, Confirmed, Unconfirmed, Queued],
            Confirmed => &[],
        }
    }

    /// Whether a delivery in this state may change to `to`. Staying as it is is no change.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        self.next().contains(&to)
    }

    /// How far along a delivery in this state is: 0 is the least far. What still waits counts as less far than
    /// what has ended, so that a message is not done before its last delivery is; among the ended, what did not reach
    /// its room counts as less far than what did, so that a failure in one room shows.
    #[must_use]
    pub const fn progress(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Scheduled => 1,
            Self::Queued => 2,
            Self::Sending => 3,
            Self::Failed => 4,
            Self::Expired => 5,
            Self::Withdrawn => 6,
            Self::Unconfirmed => 7,
            Self::Sent => 8,
            Self::Confirmed => 9,
        }
    }
}

/// Where one part of a delivery (one API call's worth) stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Not tried, or surely not posted.
    Waiting,
    /// In the air: claimed, and its call not yet recorded.
    Posting,
    /// Answered with success.
    Sent,
    /// Seen in the room.
    Confirmed,
    /// Perhaps posted; the proof did not come in time.
    Unconfirmed,
    /// Refused for good.
    Failed,
}

impl PartState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Posting, Self::Sent, Self::Confirmed, Self::Unconfirmed, Self::Failed];

    /// The word used in rows, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Posting => "posting",
            Self::Sent => "sent",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Failed => "failed",
        }
    }

    /// Reads the word back; `None` for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What `accept` decided about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Stored with its planned deliveries.
    Accepted,
    /// Same uid, same content as one stored before.
    Duplicate,
    /// Its producer posted it itself: recorded, never posted.
    AlreadySent,
    /// Its sender is banned: stored, never posted.
    Banned,
    /// Its route says so: stored sealed, never posted.
    Blocked,
    /// Unreadable or refused: kept for a person to see.
    Rejected,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Duplicate, Self::AlreadySent, Self::Banned, Self::Blocked, Self::Rejected];

    /// The word used in rows, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::AlreadySent => "already_sent",
            Self::Banned => "banned",
            Self::Blocked => "blocked",
            Self::Rejected => "rejected",
        }
    }

    /// Reads the word back; `None` for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// Whether a room takes posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomState {
    /// Posts go out at its pace.
    Open,
    /// Nothing is posted until a moment, or until somebody opens it; deliveries wait.
    Paused,
    /// Its address or key is wrong; deliveries wait until the configuration changes or somebody resumes it.
    Suspended,
}

impl RoomState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Paused, Self::Suspended];

    /// The word used in rows, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
        }
    }

    /// Reads the word back; `None` for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The state of a message: its verdict unless that is `accepted`, else the state of the delivery that is least far
/// by [`DeliveryState::progress`]. An accepted message without deliveries is just `accepted`.
#[must_use]
pub fn message_state(verdict: Verdict, deliveries: &[DeliveryState]) -> &'static str {
    match (verdict, deliveries.iter().min_by_key(|state| state.progress())) {
        (Verdict::Accepted, Some(least)) => least.as_str(),
        _ => verdict.as_str(),
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PartState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RoomState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The allowed changes once more, in the words of the design page, then what the statements of the store add to
    /// them; every pair not named here is forbidden.
    const ALLOWED: &str = "
        queued -> sending scheduled held expired withdrawn
        scheduled held -> queued withdrawn expired
        sending -> queued sent confirmed unconfirmed failed withdrawn
        sending -> scheduled held
        sent -> confirmed unconfirmed
        unconfirmed -> sent confirmed queued failed
        withdrawn -> sent confirmed
        failed expired withdrawn -> queued
        queued -> failed
        queued held sending withdrawn expired scheduled failed -> sent confirmed unconfirmed";

    #[test]
    fn a_delivery_changes_only_as_the_table_says_over_every_pair() {
        let mut allowed = BTreeSet::new();
        for line in ALLOWED.lines().filter(|line| !line.trim().is_empty()) {
            let (from, to) = line.split_once("->").unwrap();
            for from in from.split_whitespace() {
                allowed.extend(to.split_whitespace().map(|to| (from, to)));
            }
        }
        let mut found = BTreeSet::new();
        for from in DeliveryState::ALL {
            for to in DeliveryState::ALL {
                if from.may_become(to) {
                    found.insert((from.as_str(), to.as_str()));
                }
            }
        }
        assert_eq!(found, allowed);
    }

    #[test]
    fn every_word_is_read_back_as_the_state_it_stands_for_and_json_uses_the_same_word() {
        fn json(value: impl serde::Serialize) -> String {
            serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
        }
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Some(state));
            assert_eq!((json(state), state.to_string()), (state.as_str().to_owned(), state.as_str().to_owned()));
        }
        for state in PartState::ALL {
            assert_eq!(PartState::parse(state.as_str()), Some(state));
            assert_eq!((json(state), state.to_string()), (state.as_str().to_owned(), state.as_str().to_owned()));
        }
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::parse(verdict.as_str()), Some(verdict));
            assert_eq!(
                (json(verdict), verdict.to_string()),
                (verdict.as_str().to_owned(), verdict.as_str().to_owned())
            );
        }
        for state in RoomState::ALL {
            assert_eq!(RoomState::parse(state.as_str()), Some(state));
            assert_eq!((json(state), state.to_string()), (state.as_str().to_owned(), state.as_str().to_owned()));
        }
        assert_eq!(DeliveryState::parse("Queued"), None);
        assert_eq!(Verdict::parse(""), None);
    }

    #[test]
    fn no_two_states_are_equally_far() {
        let ranks: BTreeSet<u8> = DeliveryState::ALL.iter().map(|state| state.progress()).collect();
        assert_eq!(ranks.len(), DeliveryState::ALL.len());
    }

    #[test]
    fn a_message_is_where_its_least_far_delivery_is() {
        use DeliveryState::{Confirmed, Failed, Queued, Sending, Sent, Unconfirmed};
        let accepted = |deliveries: &[DeliveryState]| message_state(Verdict::Accepted, deliveries);
        assert_eq!(accepted(&[Confirmed, Queued, Sent]), "queued");
        assert_eq!(accepted(&[Failed, Sending]), "sending");
        assert_eq!(accepted(&[Confirmed, Failed]), "failed");
        assert_eq!(accepted(&[Sent, Unconfirmed, Confirmed]), "unconfirmed");
        assert_eq!(accepted(&[Confirmed, Confirmed]), "confirmed");
        assert_eq!(accepted(&[]), "accepted");
    }

    #[test]
    fn a_message_that_was_not_accepted_is_what_its_verdict_says() {
        for verdict in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Accepted) {
            assert_eq!(message_state(verdict, &[DeliveryState::Sent]), verdict.as_str());
        }
    }
}
