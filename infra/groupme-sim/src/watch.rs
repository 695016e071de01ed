//! Watches one bot as its room sees it: is it too fast, does it say things twice, are its parts in order? Facts in,
//! sights out; it knows no clock, no lock and no HTTP.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::finding::{Kind, Sight};

mod order;

use order::Order;

/// Posts that left at the right times may arrive a little closer together.
const JITTER: Duration = Duration::from_millis(250);

/// How fast a bot may post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The shortest time between two posts in the long run.
    pub(crate) every: Duration,
    /// So many may come at once after a silence.
    pub(crate) burst: u32,
}

impl Default for Pace {
    /// What Talkback keeps to where nothing else is configured: GroupMe tells no number.
    fn default() -> Self {
        Self { every: Duration::from_secs(1), burst: 3 }
    }
}

/// The memory of what one bot did.
#[derive(Default)]
pub(crate) struct Watch {
    pace: Pace,
    /// When the next post would be due if all had come at exactly the pace (GCRA's theoretical arrival time).
    due: Option<Instant>,
    /// No post before this: the last answer was a rate limit.
    limited_until: Option<Instant>,
    order: Order,
    said: HashSet<String>,
    pictures: HashSet<String>,
}

impl Watch {
    /// From now on this pace is right.
    pub(crate) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.due = None;
    }

    /// A post arrives.
    pub(crate) fn arrives(&mut self, now: Instant) -> Vec<Sight> {
        let mut sights = Vec::new();
        if let Some(until) = self.limited_until.take().filter(|until| now < *until) {
            let early = seconds(until - now);
            sights.push(Sight::fault(Kind::Pace, format!("A rate limit was not waited out: {early} too early.")));
        }
        let due = self.due.unwrap_or(now).max(now);
        let allowed = self.pace.every * self.pace.burst.saturating_sub(1) + JITTER.min(self.pace.every / 2);
        if due - now > allowed {
            let (early, every) = (seconds(due - now - allowed), seconds(self.pace.every));
            let burst = self.pace.burst;
            let what =
                format!("Faster than the pace (one post in {every}, {burst} after a silence): {early} too early.");
            sights.push(Sight::fault(Kind::Pace, what));
        }
        // One that is too early is told once: those after it are measured anew.
        self.due = Some((due + self.pace.every).min(now + self.pace.every * self.pace.burst.max(1)));
        sights
    }

    /// A post was answered by a rate limit, which may have said how long it lasts.
    pub(crate) fn limited(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.limited_until =
            Some(now + retry_after.unwrap_or(self.pace.every / 2).saturating_sub(JITTER.min(self.pace.every / 2)));
    }

    /// A post that Talkback need not make again: it is in the room, or was answered so that it seems to be, or was
    /// refused for good. What is not in the room cannot be there twice, but counts for the order of the parts.
    pub(crate) fn taken(&mut self, text: &str, picture: Option<PostedPicture<'_>>, shown: bool) -> Vec<Sight> {
        let mut sights = Vec::new();
        if let Some(part) = order::part(text) {
            sights.extend(self.order.part(part, text));
        } else if let Some(sight) = self.order.other() {
            sights.push(sight);
        }
        if !shown {
            return sights;
        }
        if let Some(uid) = short_uid(text)
            && !self.said.insert(text.to_owned())
        {
            let certain = uid.len() == 8 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
            sights.push(if certain {
                Sight::fault(Kind::Double, format!("Said twice: the same words with the same uid ({uid})."))
            } else {
                // Only UUIDs are one message wherever they come from.
                Sight::notice(
                    Kind::Double,
                    "The same words with the same uid again; two sources may have used that uid.",
                )
            });
        }
        if let Some(PostedPicture { url, uploaded: true }) = picture
            && !self.pictures.insert(url.to_owned())
        {
            sights.push(Sight::fault(Kind::Double, "A picture that was uploaded once is shown twice."));
        }
        sights
    }
}

/// The picture of a post.
#[derive(Clone, Copy)]
pub(crate) struct PostedPicture<'a> {
    pub(crate) url: &'a str,
    /// Whether the image service took it from us: each upload is for one post. What lay there before may be named by
    /// any number of messages.
    pub(crate) uploaded: bool,
}

/// The short uid of the footer that people look messages up by.
fn short_uid(text: &str) -> Option<&str> {
    let (_, footer) = text.rsplit_once("---UID---\n")?;
    footer.trim_end().ends_with("---------").then(|| footer.lines().next().unwrap_or_default())
}

/// Seconds with one decimal.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}

#[cfg(test)]
mod tests;
