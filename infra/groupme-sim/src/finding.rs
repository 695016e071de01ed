//! What was found wrong in what Talkback does, for people who look at the page. Complaints are what a test ends by;
//! findings also hold what a test provokes on purpose, and what may have a good reason that the room cannot know.

use serde::Serialize;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Parts that are mixed, missing, or not in their order.
    Order,
    /// Posts faster than the pace, at the same time, or in spite of a rate limit.
    Pace,
    /// The same line once more.
    Double,
    /// A request that GroupMe does not take.
    Refused,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Wrong, whatever the reason.
    Fault,
    /// Wrong unless there was a reason that a room does not show.
    Notice,
}

/// Something that was seen, before it has a place and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) kind: Kind,
    pub(crate) weight: Weight,
    /// One sentence without a word of what was posted, and without a secret.
    pub(crate) what: String,
}

impl Sight {
    pub(crate) fn fault(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, weight: Weight::Fault, what: what.into() }
    }

    pub(crate) fn notice(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, weight: Weight::Notice, what: what.into() }
    }
}

/// Something that Talkback did wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// How sure it is.
    pub weight: Weight,
    /// One sentence; it repeats nothing of what was posted.
    pub what: String,
    /// The room, if it concerns one.
    pub group_id: Option<String>,
    /// The line that was wrong, if it is in the room.
    pub line_id: Option<String>,
    /// Unix time in milliseconds.
    pub at_ms: u64,
}
