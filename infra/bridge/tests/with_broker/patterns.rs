//! Our topic patterns beside a real broker's bindings.
use futures_util::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, ExchangeKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use talkback::route::{Pattern, RoutingKey};

use super::vhost::{PATIENCE, Vhost};

const PATTERNS: usize = 60;
const KEYS: usize = 80;
const ROUNDS: usize = 8;

fn words(choice: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(choice), 1..6)
        .prop_map(|words| words.join("."))
        .prop_filter("not empty", |text| !text.is_empty())
}

/// Which key went to which pattern's queue, as the broker has it.
async fn routed(channel: &Channel, round: usize, patterns: &[String], keys: &[String]) -> BTreeSet<(usize, usize)> {
    let exchange = format!("patterns-{round}");
    let (kind, options) = (ExchangeKind::Topic, ExchangeDeclareOptions::default());
    channel.exchange_declare(exchange.as_str().into(), kind, options, FieldTable::default()).await.unwrap();
    let mut queues = Vec::new();
    for pattern in patterns {
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await.unwrap().name().clone();
        let (from, key, options) = (exchange.as_str().into(), pattern.as_str().into(), QueueBindOptions::default());
        channel.queue_bind(queue.clone(), from, key, options, FieldTable::default()).await.unwrap();
        queues.push(queue);
    }
    let mut confirms = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let (to, key, options) = (exchange.as_str().into(), key.as_str().into(), BasicPublishOptions::default());
        let body = n.to_string();
        let none = BasicProperties::default();
        confirms.push(channel.basic_publish(to, key, options, body.as_bytes(), none).await.unwrap());
    }
    for confirm in confirms {
        assert!(confirm.await.unwrap().is_ack());
    }
    let mut arrived = BTreeSet::new();
    for (n, queue) in queues.iter().enumerate() {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let waiting = channel.queue_declare(queue.clone(), passive, FieldTable::default()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut consumer =
            channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await.unwrap();
        for _ in 0..waiting.message_count() {
            let message = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap().unwrap();
            let key: usize = String::from_utf8(message.data).unwrap().parse().unwrap();
            assert!(arrived.insert((n, key)), "routed twice");
        }
    }
    arrived
}

#[tokio::test]
async fn a_pattern_matches_the_keys_that_a_real_binding_takes() {
    let vhost = Vhost::new().await;
    let connection = vhost.client().await;
    let mut runner = TestRunner::default();
    let several = (
        prop::collection::vec(words(&["a", "b", "ab", "", "*", "*", "#", "#"]), PATTERNS),
        prop::collection::vec(words(&["a", "b", "ab", "a", "b", "", "*", "#"]), KEYS),
    );
    let mut matched = 0;
    for round in 0..ROUNDS {
        let (patterns, keys) = several.new_tree(&mut runner).unwrap().current();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let theirs = routed(&channel, round, &patterns, &keys).await;
        for (p, pattern) in patterns.iter().enumerate() {
            let ours = Pattern::parse(pattern).unwrap();
            for (k, key) in keys.iter().enumerate() {
                let (ours, theirs) = (ours.matches(&RoutingKey::parse(key).unwrap()), theirs.contains(&(p, k)));
                assert_eq!(ours, theirs, "pattern {pattern:?}, key {key:?}: the broker is right");
            }
        }
        matched += theirs.len();
    }
    assert!(
        matched > PATTERNS && matched < ROUNDS * PATTERNS * KEYS,
        "{matched} of all match: the choice tells nothing"
    );
    connection.close(200, "bye".into()).await.unwrap();
    vhost.gone().await;
}
