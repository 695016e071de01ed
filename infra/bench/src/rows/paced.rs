//! A room that is paced: as fast as its pace, and never faster.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::figure::{Figure, Target};
use crate::station::{BATCH, Plan, Station, events};

/// The shortest time between two posts in the long run.
const EVERY: Duration = Duration::from_millis(500);
/// The configuration's default.
const BURST: usize = 3;

/// The rate after the burst, and how much too early the earliest post of all windows came.
pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.size(60, 8);
    let messages = seconds * 1000 / EVERY.as_millis() as usize + BURST;
    bench.database("paced").await?;
    let station = Station::start(bench, Plan { database: "paced", rooms: 1, pace: "500ms", amqp_url: None }).await?;
    let before = bench.chat.post_count();
    for event in events(messages, 1, BATCH) {
        station.consumer.invoke(event).await?;
    }
    bench.posts(before + messages, Duration::from_secs(seconds as u64 * 2 + 30)).await?;
    let posts: Vec<Instant> = bench.chat.posts_from(before).iter().map(|post| post.at).collect();
    let (first, last) = (posts.get(BURST - 1).context("too few posts")?, posts.last().context("no post")?);
    let rate = (posts.len() - BURST) as f64 / last.duration_since(*first).as_secs_f64();
    let wanted = 1.0 / EVERY.as_secs_f64();
    let figure = format!("posts/s of a room paced at one in {} ms, over {seconds} s", EVERY.as_millis());
    let full = !bench.quick;
    let mut of_rate = Figure::beside(&figure, "posts/s", rate, ("its pace", wanted), Target::AtLeastTimes(0.98), full);
    // Above its pace is as wrong as too slow.
    of_rate.target = Some("within 2 %".to_owned());
    of_rate.met = full.then_some((rate / wanted - 1.0).abs() <= 0.02);
    let early = "the same room: the most that any post came before the pace let it";
    Ok(vec![of_rate, Figure::new(early, "ms", earliest(&posts), Target::AtMost(0.0), full)])
}

/// Over all windows: in a time `t` there may be `BURST + t / EVERY` posts. How many milliseconds too early the worst
/// post is by that; 0 if none is.
fn earliest(posts: &[Instant]) -> f64 {
    let mut worst = 0.0_f64;
    for (i, from) in posts.iter().enumerate() {
        for (j, to) in posts.iter().enumerate().skip(i + BURST) {
            let due = EVERY.as_secs_f64() * (j - i - BURST + 1) as f64;
            worst = worst.max(due - to.duration_since(*from).as_secs_f64());
        }
    }
    worst * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_before_its_turn_is_seen_in_whatever_window_it_is() {
        let start = Instant::now();
        let at = |times: &[u64]| times.iter().map(|ms| start + Duration::from_millis(*ms)).collect::<Vec<_>>();
        assert_eq!(earliest(&at(&[0, 0, 0, 500, 1000, 1500])), 0.0);
        assert!((earliest(&at(&[0, 0, 0, 500, 980, 1500])) - 20.0).abs() < 0.1);
        assert!((earliest(&at(&[0, 0, 0, 0])) - 500.0).abs() < 0.1);
        assert_eq!(earliest(&at(&[0, 3000, 3000, 3000])), 0.0, "a silence fills the burst again");
    }
}
