//! Whether the posts of a bot ever came faster than its pace: judged afterwards, over every window of time.

use std::time::Duration;

use crate::post::Post;

/// How much too early the earliest of a bot's posts came: zero if, over any window of time `t` whatsoever, there were
/// never more than `burst + t / every` of them. The posts are in the order of arrival.
#[must_use]
pub fn early(posts: &[Post], bot_id: &str, every: Duration, burst: u32) -> Duration {
    let mut posts = posts.iter().filter(|post| post.bot_id.as_deref() == Some(bot_id)).map(|post| post.at);
    // From the i-th post to the j-th there are j - i + 1 in a window of at[j] - at[i]. So no post may come before
    // at[i] + (j - i + 1 - burst) * every, for any i; of all i the one counts that puts it off the longest.
    let Some(mut due) = posts.next().map(|first| first + every) else { return Duration::ZERO };
    let mut most = Duration::ZERO;
    for at in posts {
        let not_before = due.checked_sub(every * burst.saturating_sub(1));
        most = most.max(not_before.map_or(Duration::ZERO, |not_before| not_before.saturating_duration_since(at)));
        due = due.max(at) + every;
    }
    most
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const EVERY: Duration = Duration::from_millis(100);

    /// Posts of one bot at these milliseconds, among those of another.
    fn early_of(times: &[u64]) -> u128 {
        let begin = Instant::now() + Duration::from_secs(60);
        let post = |bot_id: &str, millis: u64| Post {
            at: begin + Duration::from_millis(millis),
            bot_id: Some(bot_id.to_owned()),
            text: None,
            picture_url: None,
            answer: Some(202),
            shown: true,
            line_id: None,
        };
        let posts: Vec<Post> = times.iter().flat_map(|millis| [post("a", *millis), post("b", *millis)]).collect();
        early(&posts, "a", EVERY, 3).as_millis()
    }

    /// Every window, counted as the words say.
    fn is_kept(times: &[u64]) -> bool {
        (0..times.len()).all(|i| (i..times.len()).all(|j| (j - i + 1) as u64 * 100 <= 300 + (times[j] - times[i])))
    }

    #[test]
    fn a_burst_and_then_the_pace_is_kept_to_and_one_more_is_not() {
        assert_eq!(early_of(&[0, 0, 0, 100, 200, 300]), 0);
        assert_eq!(early_of(&[0, 0, 0, 99]), 1);
        assert_eq!(early_of(&[0, 0, 0, 0]), 100);
        assert_eq!(early_of(&[0, 500, 500, 500, 600]), 0);
        assert_eq!(early_of(&[0, 500, 500, 500, 560]), 40);
        assert_eq!(early_of(&[]), 0);
    }

    #[test]
    fn it_says_the_same_as_counting_every_window() {
        let mut number = 7_u64;
        let mut kept = 0;
        for _ in 0..2000 {
            let mut now = 0;
            let times: Vec<u64> = (0..8)
                .map(|_| {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    now += (number >> 33) % 180;
                    now
                })
                .collect();
            assert_eq!(early_of(&times) == 0, is_kept(&times), "{times:?}");
            kept += u32::from(is_kept(&times));
        }
        assert!((200..1800).contains(&kept), "{kept} of 2000 were kept to: both must be tried");
    }
}
