//! What became of a message that lies in the spool no more, for an hour: who waited for its turn with the same one, or
//! says it again under its uid, must not post it again, nor say that it was posted where it was not.
use serde::{Deserialize, Serialize};

use crate::journal::Journal;
use crate::outcome::{Because, Outcome, Recorded};
use crate::spool::Spool;

/// How a message ended.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Trace {
    pub(crate) posted: usize,
    parts: usize,
    last: String,
    recorded: bool,
}

impl Trace {
    pub(crate) fn of(journal: &Journal, last: &str, recorded: bool) -> Self {
        Self { posted: journal.posted(), parts: journal.parts.len(), last: last.to_owned(), recorded }
    }

    /// What is known of a message of this uid and bot.
    pub(crate) fn find(spool: &Spool, journal: &Journal) -> Option<Self> {
        spool.read_aside(&name(journal)).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// Written before the message is taken away: there is no moment in which neither is there. A disk that takes
    /// nothing costs who repeats it the knowledge, not us the post.
    pub(crate) fn leave(&self, spool: &Spool, journal: &Journal) {
        if let Ok(text) = serde_json::to_string(self) {
            let _ = spool.write_aside(&name(journal), &text);
        }
    }

    pub(crate) fn outcome(self, because: Because) -> Outcome {
        let recorded = if self.recorded {
            Recorded::Published
        } else {
            Recorded::Nowhere { why: "neither broker nor spool took one".to_owned() }
        };
        if self.posted == self.parts {
            return Outcome::Posted { because, recorded };
        }
        Outcome::Failed { because, posted: self.posted, parts: self.parts, last: self.last, recorded }
    }
}

fn name(journal: &Journal) -> String {
    format!(".{}.{}{}", journal.uid, journal.bot, Spool::TRACE)
}
