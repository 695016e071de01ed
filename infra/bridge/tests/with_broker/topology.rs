//! The queues and exchanges: declared, compared, probed.
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use talkback::broker::{BrokerError, DEAD, Exchange, ExchangeKind, Props, QUEUE, RELAY, RETRY, STAMP};

use super::vhost::{SOURCE, Vhost, eventually, source_exchange};

const TTL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn declaring_again_changes_nothing() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker();
    broker.declare(&[source_exchange()], TTL).await.unwrap();
    broker.publish(SOURCE, "source.standard", b"{}", &Props::default(), true).await.unwrap();
    broker.declare(&[source_exchange()], TTL).await.unwrap();
    // The stamp forgets a message once the work queue has confirmed it.
    for (queue, holds) in [(STAMP, 0), (QUEUE, 1), (DEAD, 0), (RETRY, 0)] {
        eventually(queue, async || (broker.depth(queue).await == Ok(holds)).then_some(())).await;
    }
    vhost.gone().await;
}

#[tokio::test]
async fn every_kind_of_exchange_feeds_the_stamp() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker();
    let exchange = |name: &str, kind, pattern: &str| Exchange {
        name: name.to_owned(),
        kind,
        patterns: vec![pattern.to_owned()],
        declare: true,
    };
    let exchanges = [
        exchange("a-topic", ExchangeKind::Topic, "a.#"),
        exchange("a-fanout", ExchangeKind::Fanout, "#"),
        exchange("a-direct", ExchangeKind::Direct, "a.key"),
        exchange("a-headers", ExchangeKind::Headers, "#"),
    ];
    broker.declare(&exchanges, TTL).await.unwrap();
    for exchange in &exchanges {
        broker.publish(&exchange.name, "a.key", b"{}", &Props::default(), true).await.unwrap();
    }
    let theirs = [Exchange { declare: false, ..exchanges[0].clone() }];
    broker.declare(&theirs, TTL).await.unwrap();
    vhost.gone().await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_reported_by_name_argument_and_values() {
    let vhost = Vhost::new().await;
    let client = vhost.client().await;
    let channel = client.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    for (name, value) in
        [("x-queue-type", "quorum"), ("x-dead-letter-exchange", RELAY), ("x-dead-letter-strategy", "at-least-once")]
    {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(0));
    channel.queue_declare(STAMP.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();

    let broker = vhost.broker();
    let Err(BrokerError::Differs { what: "queue", name, difference }) = broker.declare(&[source_exchange()], TTL).await
    else {
        panic!("a stamp without reject-publish loses messages in silence");
    };
    assert_eq!(name, STAMP);
    assert!(difference.starts_with("x-overflow: received") && difference.contains("reject-publish"), "{difference}");
    // The connection is still good for other things.
    assert_eq!(broker.depth(QUEUE).await, Ok(0));
    vhost.gone().await;
}

#[tokio::test]
async fn another_time_to_live_of_the_retry_queue_is_reported() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker();
    broker.declare(&[], TTL).await.unwrap();
    let error = broker.declare(&[], Duration::from_secs(6)).await.unwrap_err().to_string();
    assert!(error.contains(RETRY) && error.contains("x-message-ttl") && error.contains("5000"), "{error}");
    vhost.gone().await;
}

#[tokio::test]
async fn an_exchange_that_should_be_there_and_is_not_is_named() {
    let vhost = Vhost::new().await;
    let theirs = Exchange { declare: false, ..source_exchange() };
    let missing = BrokerError::Missing { what: "exchange", name: SOURCE.to_owned() };
    assert_eq!(vhost.broker().declare(&[theirs], TTL).await, Err(missing));
    let missing = BrokerError::Missing { what: "queue", name: "nowhere".to_owned() };
    assert_eq!(vhost.broker().depth("nowhere").await, Err(missing));
    vhost.gone().await;
}

#[tokio::test]
async fn a_probe_comes_through_and_is_no_message() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let took = broker.probe(TTL).await.unwrap();
    assert!(took > Duration::ZERO && took < TTL);
    // It lies in the work queue, and nobody who reads it takes it for a message.
    assert!(broker.get(QUEUE).await.unwrap().is_none());
    let health = broker.health().await.unwrap();
    assert_eq!((health.way, health.waiting, health.retrying, health.dead), (took, 0, 0, 0));
    vhost.gone().await;
}

#[tokio::test]
async fn a_way_that_is_broken_behind_the_stamp_is_seen_by_the_probe() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let client = vhost.client().await;
    let channel = client.create_channel().await.unwrap();
    channel.exchange_delete(RELAY.into(), ExchangeDeleteOptions::default()).await.unwrap();
    let waited = Duration::from_millis(300);
    assert_eq!(broker.probe(waited).await, Err(BrokerError::Stuck { waited_ms: 300 }));
    vhost.gone().await;
}

#[tokio::test]
async fn a_probe_without_a_topology_says_what_is_missing() {
    let vhost = Vhost::new().await;
    assert!(matches!(vhost.broker().probe(TTL).await, Err(BrokerError::Missing { .. })));
    vhost.gone().await;
}
