//! How saying something ended, and in words for people.
use std::fmt;

use talkback::broker::BrokerError;

/// How saying a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Talkback has it, and posts what is left of it: it must not be posted by anybody else.
    Talkback {
        /// Every part is posted; else at least the first.
        whole: bool,
        /// The sender is banned: Talkback keeps it and posts nothing.
        banned: bool,
        /// No reply told so: it was seen in the room.
        seen: bool,
    },
    /// Talkback will not post it, and says why in one word: to post it all the same would be wrong.
    Refused {
        /// The word of the reply, such as `bad_field` or `blocked`.
        reason: String,
    },
    /// It was posted from here, whole.
    Posted {
        /// Why.
        because: Because,
        /// Whether Talkback will know of it.
        recorded: Recorded,
    },
    /// It is not posted, or not wholly, and lies in the spool: the next flush goes on with it.
    Kept {
        /// Why it was not left to Talkback.
        because: Because,
        /// Parts that are posted.
        posted: usize,
        /// Parts in all.
        parts: usize,
        /// What GroupMe answered last.
        last: String,
    },
    /// It is not posted, or not wholly, and will not be.
    Failed {
        /// Why it was not left to Talkback.
        because: Because,
        /// Parts that are posted.
        posted: usize,
        /// Parts in all.
        parts: usize,
        /// Why.
        last: String,
        /// Whether Talkback will know of the parts that are posted.
        recorded: Recorded,
    },
}

/// Why a producer posts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// The broker could not be reached, or did not take it.
    Broker(BrokerError),
    /// No answer came in time; whether the broker has the message is known if it confirmed it.
    Silence {
        /// Whether the broker confirmed it.
        confirmed: bool,
    },
    /// Talkback came to it too late, and says so.
    Withdrawn,
    /// It lay in the spool.
    Spooled,
}

/// What became of the records of calls that were made from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The broker has them.
    Published,
    /// The spool has them: the next flush publishes them.
    Spooled {
        /// Why they are not on the broker.
        why: String,
    },
    /// Nobody has them: neither broker nor spool took them.
    Nowhere {
        /// Why not the spool.
        why: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Talkback { banned: true, .. } => f.write_str("Talkback has it; its sender is banned"),
            Self::Talkback { seen: true, .. } => f.write_str("Talkback posted it, as the room shows"),
            Self::Talkback { whole: true, .. } => f.write_str("Talkback posted it"),
            Self::Talkback { .. } => f.write_str("Talkback is posting it"),
            Self::Refused { reason } => write!(f, "Talkback refused it: {reason}"),
            Self::Posted { because, recorded } => write!(f, "posted from here, since {because}; {recorded}"),
            Self::Kept { because, posted, parts, last } => {
                write!(
                    f,
                    "{posted} of {parts} parts posted from here, since {because}; kept for the next flush: {last}"
                )
            }
            Self::Failed { because, posted, parts, last, recorded } => {
                write!(
                    f,
                    "{posted} of {parts} parts posted from here, since {because}, and no more: {last}; {recorded}"
                )
            }
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(error) => error.fmt(f),
            Self::Silence { confirmed: true } => f.write_str("Talkback did not answer in time"),
            Self::Silence { confirmed: false } => f.write_str("the broker did not confirm it and nobody answered"),
            Self::Withdrawn => f.write_str("Talkback came to it too late"),
            Self::Spooled => f.write_str("it lay in the spool"),
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published => f.write_str("recorded"),
            Self::Spooled { why } => write!(f, "its record waits in the spool ({why})"),
            Self::Nowhere { why } => write!(f, "THERE IS NO RECORD OF IT: {why}"),
        }
    }
}
