//! That a reply comes, although the broker was away when it was to be given.
use std::sync::Arc;
use std::time::Duration;

use talkback::broker::Broker;
use talkback::relay::dispatch::Budget;
use talkback_producer::{Message, Outcome};
use tokio::time::Instant;

use super::desk::{Desk, Told};
use super::proxy::{Harm, Proxy};

const PATIENCE: Duration = Duration::from_secs(8);

/// Talkback posts it, and finds no broker for a second and a half: its producer, who cannot look into the room, must
/// not post it, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_for_which_the_broker_was_away_is_given_when_it_is_back() {
    let desk = Desk::open("reply-late").await;
    let name = "the way of replies";
    let heals = Some(Duration::from_millis(1500));
    let proxy = Proxy::open(&desk.vhost.url(), name, Some(Harm::CutAfter), heals).await;
    let mut relay = desk.station.relay("rabbitmq-consumer");
    relay.broker = Some(Arc::new(Broker::new(proxy.url(&desk.vhost.url()).into(), name).unwrap()));
    let producer = desk.producer(Told { is_blind: true, ..Told::default() }, PATIENCE);
    let said = Message::new("source.standard", "Signal lost.").unwrap();
    let talkback = async {
        let forms = desk.take_all(1).await;
        desk.consume(&relay, &forms).await;
        let failed = desk.station.column("select outcome from api_calls where operation = 'reply' limit 1").await;
        assert_eq!(failed, ["failed"], "the broker was not away");
        let end = Instant::now() + PATIENCE / 2;
        relay.tend(&Budget::door(PATIENCE / 2, Some(end), relay.room_names())).await;
    };
    let (outcome, ()) = tokio::join!(producer.send(&said), talkback);
    assert_eq!(outcome, Outcome::Talkback { whole: true, banned: false, seen: false });
    assert!(proxy.has_struck());
    assert_eq!(desk.lines().len(), 1);
    producer.close().await;
    desk.end().await;
}
