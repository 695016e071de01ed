//! The requests to `POST /bots/post`: what each was, what was answered, and whether two of one bot overlapped.

use std::time::{Duration, Instant};

/// A caller that gave up closes its connection a little after, perhaps while its next request is already here.
const HANGING_UP: Duration = Duration::from_millis(250);

/// One request to `POST /bots/post`.
#[derive(Clone, Debug)]
pub struct Post {
    /// When it had arrived.
    pub at: Instant,
    /// Whose it was; `None` if it could not be read, or was reset before it was.
    pub bot_id: Option<String>,
    /// Its text, likewise.
    pub text: Option<String>,
    /// Its picture.
    pub picture_url: Option<String>,
    /// The HTTP status of the answer; `None` while there is none: in the air, silence, reset, or the caller hung up.
    pub answer: Option<u16>,
    /// Whether the line appeared in the room.
    pub shown: bool,
    /// The id of the line that appeared.
    pub line_id: Option<String>,
}

/// All posts, in order of arrival, and those in the air.
#[derive(Default)]
pub(crate) struct Posts {
    pub(crate) all: Vec<Post>,
    in_air: Vec<usize>,
    overlaps: Vec<Overlap>,
}

/// A post that came while an older one of its bot was in the air.
struct Overlap {
    older: usize,
    newer: usize,
    since: Instant,
    certain: bool,
}

impl Posts {
    /// Takes a post that has arrived; the number is for [`Posts::end`].
    pub(crate) fn begin(&mut self, post: Post) -> usize {
        let number = self.all.len();
        if post.bot_id.is_some() {
            let same = self.in_air.iter().filter(|older| self.all[**older].bot_id == post.bot_id);
            self.overlaps.extend(same.map(|older| Overlap {
                older: *older,
                newer: number,
                since: post.at,
                certain: false,
            }));
            self.in_air.push(number);
        }
        self.all.push(post);
        number
    }

    /// A post was answered (with that status), or its connection is gone. Which posts should have waited for this.
    pub(crate) fn end(&mut self, number: usize, answer: Option<u16>, now: Instant) -> Vec<usize> {
        self.all[number].answer = answer;
        self.in_air.retain(|other| *other != number);
        let mut hasty = Vec::new();
        for overlap in self.overlaps.iter_mut().filter(|overlap| overlap.older == number) {
            overlap.certain = answer.is_some() || now.duration_since(overlap.since) > HANGING_UP;
            hasty.extend(overlap.certain.then_some(overlap.newer));
        }
        self.overlaps.retain(|overlap| overlap.older != number || overlap.certain);
        hasty
    }

    /// How many posts came while another of the same bot was in the air.
    pub(crate) fn overlaps(&self, now: Instant) -> usize {
        self.overlaps.iter().filter(|o| o.certain || now.duration_since(o.since) > HANGING_UP).count()
    }

    /// Forgets the overlaps that have been told.
    pub(crate) fn forget_overlaps(&mut self, now: Instant) {
        self.overlaps.retain(|o| !o.certain && now.duration_since(o.since) <= HANGING_UP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(bot_id: &str, at: Instant) -> Post {
        Post {
            at,
            bot_id: Some(bot_id.to_owned()),
            text: None,
            picture_url: None,
            answer: None,
            shown: false,
            line_id: None,
        }
    }

    #[test]
    fn a_post_that_waits_for_the_answer_before_it_overlaps_nothing() {
        let (mut posts, now) = (Posts::default(), Instant::now());
        for _ in 0..3 {
            let number = posts.begin(post("a", now));
            posts.end(number, Some(202), now);
        }
        let other_bot = posts.begin(post("b", now));
        posts.begin(post("a", now));
        posts.end(other_bot, Some(202), now);
        assert_eq!(posts.overlaps(now + HANGING_UP * 2), 0);
    }

    #[test]
    fn a_post_that_does_not_wait_for_the_answer_before_it_overlaps() {
        let (mut posts, now) = (Posts::default(), Instant::now());
        let older = posts.begin(post("a", now));
        let newer = posts.begin(post("a", now));
        assert_eq!(posts.end(older, Some(202), now), [newer]);
        assert_eq!(posts.overlaps(now), 1);
        posts.forget_overlaps(now);
        assert_eq!(posts.overlaps(now), 0);
    }

    #[test]
    fn a_caller_that_hung_up_on_silence_may_post_again() {
        let (mut posts, now) = (Posts::default(), Instant::now());
        let older = posts.begin(post("a", now));
        posts.begin(post("a", now));
        assert!(posts.end(older, None, now + HANGING_UP / 2).is_empty());
        assert_eq!(posts.overlaps(now + HANGING_UP * 2), 0);
    }

    #[test]
    fn a_caller_that_keeps_a_silent_call_and_posts_again_overlaps() {
        let (mut posts, now) = (Posts::default(), Instant::now());
        posts.begin(post("a", now));
        posts.begin(post("a", now));
        assert_eq!(posts.overlaps(now), 0, "it may be hanging up");
        assert_eq!(posts.overlaps(now + HANGING_UP * 2), 1);
    }
}
