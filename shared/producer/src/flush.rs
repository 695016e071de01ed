//! Going on with what lies in the spool: posting what is not posted, publishing what is not recorded.
use std::time::Duration;

use tokio::time::Instant;

use crate::journal::bot;
use crate::outcome::{Because, Outcome, Recorded};
use crate::producer::Producer;
use crate::take_over::Held;

/// What a flush came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Messages that are done with: posted, as far as they can be, and recorded.
    pub done: usize,
    /// Messages that still lie there.
    pub left: usize,
    /// Messages of which something will never be posted.
    pub failed: usize,
    /// Why the first of those that are left was left, or the first that failed failed.
    pub why: Option<String>,
}

impl Producer {
    /// Goes on with what lies in the spool, oldest first; begins no post after this time, and waits for nothing beyond
    /// it. Other programs may flush at the same time.
    pub async fn flush(&self, limit: Duration) -> Flushed {
        let until = Instant::now() + limit;
        let mut flushed = Flushed::default();
        let entries = match self.spool.list() {
            Ok(entries) => entries,
            Err(error) => return Flushed { why: Some(error.to_string()), ..flushed },
        };
        self.spool.sweep();
        let mut broker_is_away = false;
        for entry in entries {
            let leave = |flushed: &mut Flushed, why: String| {
                flushed.left += 1;
                flushed.why.get_or_insert(why);
            };
            let effort = until.saturating_duration_since(Instant::now()).min(self.settings.effort);
            if effort.is_zero() {
                leave(&mut flushed, "there was no more time".to_owned());
                continue;
            }
            let journal = match self.spool.load(&entry) {
                Ok(Some(journal)) => journal,
                Ok(None) => continue,
                Err(error) => {
                    leave(&mut flushed, error.to_string());
                    continue;
                }
            };
            if journal.bot != bot(&self.settings.room) {
                leave(&mut flushed, "it is another bot's than GROUPME_BOT_ID's".to_owned());
                continue;
            }
            if journal.ended && broker_is_away {
                leave(&mut flushed, String::new());
                continue;
            }
            match self.finish(journal, Held::at(entry), Because::Spooled, None, effort).await {
                Outcome::Posted { recorded: Recorded::Published, .. } | Outcome::Talkback { .. } => flushed.done += 1,
                Outcome::Failed { recorded: Recorded::Published, last, .. } => {
                    flushed.failed += 1;
                    flushed.why.get_or_insert(last);
                }
                Outcome::Posted { recorded: Recorded::Spooled { why } | Recorded::Nowhere { why }, .. }
                | Outcome::Failed { recorded: Recorded::Spooled { why } | Recorded::Nowhere { why }, .. } => {
                    broker_is_away = true;
                    leave(&mut flushed, why);
                }
                Outcome::Kept { last: why, .. } | Outcome::Refused { reason: why } => leave(&mut flushed, why),
            }
        }
        flushed
    }
}
