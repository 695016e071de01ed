//! The callback: every line of a group is POSTed to each bot of the group, and once more where that did not go well.
//!
//! One courier per bot, so that lines arrive in order unless told otherwise.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{sleep, sleep_until, timeout_at},
};

use crate::{line::Line, world::World};

/// GroupMe takes a callback that has no answer after about this time for lost.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits before it tries a second and last time.
const BEFORE_RETRY: Duration = Duration::from_millis(500);
/// A shuffled bot's lines are gathered this long, up to this many, and sent at once in another order.
const SHUFFLE_TIME: Duration = Duration::from_millis(300);
const SHUFFLE_LINES: usize = 5;

/// How the callbacks of a bot go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackMode {
    /// Each line once, in order, at once.
    #[default]
    Normal,
    /// Not at all.
    Never,
    /// Each line two times.
    Twice,
    /// Each line this much later. In JSON: milliseconds.
    Late(#[serde(with = "crate::millis")] Duration),
    /// Up to five lines, or those of 0.3 s, together and in another order.
    Shuffled,
    /// Each n-th line is lost.
    LoseEvery(u32),
}

/// One try to deliver a callback.
#[derive(Clone, Debug)]
pub struct CallbackAttempt {
    /// The line that it tells of.
    pub line_id: String,
    /// The bot whose callback URL it went to.
    pub bot_id: String,
    /// The status of the answer; `None` if there was none within 3 s.
    pub status: Option<u16>,
    /// From the beginning of the request to its end.
    pub elapsed: Duration,
    /// Whether it was the second and last try.
    pub retry: bool,
}

/// A callback to deliver.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) line: Line,
    pub(crate) due: Instant,
    pub(crate) shuffled: bool,
}

/// The parcels that a new line makes in a mode, where it is the bot's `count`-th line.
pub(crate) fn parcels(mode: CallbackMode, line: &Line, count: u32) -> Vec<Parcel> {
    let parcel = Parcel { line: line.clone(), due: line.at, shuffled: false };
    match mode {
        CallbackMode::Normal => vec![parcel],
        CallbackMode::Never => vec![],
        CallbackMode::Twice => vec![parcel.clone(), parcel],
        CallbackMode::Late(by) => vec![Parcel { due: line.at + by, ..parcel }],
        CallbackMode::Shuffled => vec![Parcel { shuffled: true, ..parcel }],
        CallbackMode::LoseEvery(n) if n > 0 && count.is_multiple_of(n) => vec![],
        CallbackMode::LoseEvery(_) => vec![parcel],
    }
}

/// Delivers the callbacks of one bot for as long as the simulator runs.
pub(crate) async fn courier(
    world: Arc<World>,
    client: reqwest::Client,
    bot_id: String,
    mut parcels: UnboundedReceiver<Parcel>,
) {
    let mut next = VecDeque::new();
    loop {
        let Some(parcel) = (match next.pop_front() {
            Some(parcel) => Some(parcel),
            None => parcels.recv().await,
        }) else {
            return;
        };
        if parcel.shuffled {
            let mut batch = vec![parcel];
            let until = tokio::time::Instant::now() + SHUFFLE_TIME;
            while batch.len() < SHUFFLE_LINES {
                let Ok(Some(parcel)) = timeout_at(until, parcels.recv()).await else { break };
                if !parcel.shuffled {
                    next.push_back(parcel);
                    break;
                }
                batch.push(parcel);
            }
            for parcel in shuffle(batch) {
                deliver(&world, &client, &bot_id, &parcel.line).await;
            }
        } else {
            sleep_until(parcel.due.into()).await;
            deliver(&world, &client, &bot_id, &parcel.line).await;
        }
    }
}

/// Another order than the given one, the same in every run: evens from the back, then odds from the front.
fn shuffle<T>(batch: Vec<T>) -> Vec<T> {
    let (mut evens, mut odds) = (VecDeque::new(), Vec::new());
    for (index, one) in batch.into_iter().enumerate() {
        if index.is_multiple_of(2) { evens.push_front(one) } else { odds.push(one) }
    }
    // Two lines must change places as well.
    if evens.len() == 1 { odds.into_iter().chain(evens).collect() } else { evens.into_iter().chain(odds).collect() }
}

/// Tries once, and leaves the second try to a task of its own: the next line does not wait for it.
async fn deliver(world: &Arc<World>, client: &reqwest::Client, bot_id: &str, line: &Line) {
    let Some(url) = world.callback_url(bot_id) else { return };
    if attempt(world, client, bot_id, &url, line, false).await {
        return;
    }
    let (world, client, bot_id, line) = (Arc::clone(world), client.clone(), bot_id.to_owned(), line.clone());
    tokio::spawn(async move {
        sleep(BEFORE_RETRY).await;
        attempt(&world, &client, &bot_id, &url, &line, true).await;
    });
}

/// One request, written down; whether it was answered 2xx in time.
async fn attempt(world: &World, client: &reqwest::Client, bot_id: &str, url: &str, line: &Line, retry: bool) -> bool {
    let begun = Instant::now();
    let answer = client.post(url).timeout(PATIENCE).json(&line.callback_body()).send().await;
    let status = answer.ok().map(|answer| answer.status().as_u16());
    world.callback_attempted(CallbackAttempt {
        line_id: line.id.clone(),
        bot_id: bot_id.to_owned(),
        status,
        elapsed: begun.elapsed(),
        retry,
    });
    status.is_some_and(|status| (200..300).contains(&status))
}

/// The client that sends callbacks: no proxy, no redirect, no TLS roots, since callbacks go to loopback by http.
pub(crate) fn client() -> std::io::Result<reqwest::Client> {
    // An error only says that the process has its provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .user_agent("GroupMeBotNotifier/1.0")
        .build()
        .map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_changes_the_order_and_loses_nothing() {
        for length in 2..=SHUFFLE_LINES {
            let before: Vec<usize> = (0..length).collect();
            let mut after = shuffle(before.clone());
            assert_ne!(after, before);
            after.sort_unstable();
            assert_eq!(after, before);
        }
    }
}
