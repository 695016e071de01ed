//! Publishing with a confirm, and taking by hand.
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use talkback::amqp_event::{Delivery, Record, header};
use talkback::broker::{Broker, BrokerError, Cause, DEAD, Limits, Props, QUEUE, RETRY, Taken};
use uuid::Uuid;

use super::proxy::Proxy;
use super::vhost::{SOURCE, Vhost, eventually};

fn delivery(taken: &Taken<'_>) -> Delivery {
    match &taken.record {
        Record::Delivery(delivery) => (**delivery).clone(),
        Record::Odd(odd) => panic!("{odd:?}"),
    }
}

async fn take<'a>(broker: &'a Broker, queue: &str) -> Taken<'a> {
    eventually(queue, async || broker.get(queue).await.unwrap()).await
}

#[tokio::test]
async fn what_no_queue_takes_is_an_error_and_the_next_publish_is_not() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let publish = async |exchange: &str, key: &str, mandatory| {
        broker.publish(exchange, key, b"{}", &Props::default(), mandatory).await
    };
    assert_eq!(publish(SOURCE, "nobody.listens", true).await, Err(BrokerError::Unroutable));
    assert_eq!(publish("", "no-such-queue", true).await, Err(BrokerError::Unroutable));
    assert_eq!(publish(SOURCE, "nobody.listens", false).await, Ok(()));
    let refused = BrokerError::Refused { during: "publishing", cause: Cause::Code(404) };
    assert_eq!(publish("no-such-exchange", "source.standard", true).await, Err(refused));
    assert_eq!(publish(SOURCE, &"k".repeat(256), true).await, Err(BrokerError::TooLong("key")));
    assert_eq!(publish(SOURCE, "source.standard", true).await, Ok(()));
    vhost.gone().await;
}

#[tokio::test]
async fn many_at_once_each_get_their_own_answer() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let props = Props::default();
    let publish = async |n: usize| {
        let key = if n.is_multiple_of(2) { "source.standard" } else { "nobody.listens" };
        broker.publish(SOURCE, key, b"{}", &props, true).await
    };
    let outcomes = futures_util::future::join_all((0..40).map(publish)).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome, if n.is_multiple_of(2) { Ok(()) } else { Err(BrokerError::Unroutable) }, "{n}");
    }
    vhost.gone().await;
}

#[tokio::test]
async fn a_full_queue_is_not_a_lost_connection() {
    let vhost = Vhost::new().await;
    let channel = vhost.client().await.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    channel.queue_declare("small".into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    let broker = vhost.broker();
    assert_eq!(broker.publish("", "small", b"1", &Props::default(), true).await, Ok(()));
    assert_eq!(broker.publish("", "small", b"2", &Props::default(), true).await, Err(BrokerError::Nacked));
    vhost.gone().await;
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_by_the_next_publish() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let proxy = Proxy::before(vhost.port()).await;
    let broker = Broker::new(vhost.url_at(Some(proxy.port)), "test").unwrap();
    let publish = async || broker.publish(SOURCE, "source.standard", b"{}", &Props::default(), true).await;
    assert_eq!(publish().await, Ok(()));
    assert_eq!(publish().await, Ok(()));
    assert_eq!(proxy.made(), 1);
    proxy.cut();
    assert_eq!(publish().await, Ok(()));
    assert_eq!(proxy.made(), 2);
    vhost.gone().await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_an_error_within_the_limits() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let proxy = Proxy::before(vhost.port()).await;
    let limits = Limits { connect: Duration::from_millis(400), answer: Duration::from_millis(400) };
    let broker = Broker::new(vhost.url_at(Some(proxy.port)), "test").unwrap();
    assert_eq!(broker.publish(SOURCE, "source.standard", b"{}", &Props::default(), true).await, Ok(()));
    let broker = broker.with_limits(limits);
    proxy.fall_silent();
    let start = Instant::now();
    let error = broker.publish(SOURCE, "source.standard", b"{}", &Props::default(), true).await.unwrap_err();
    assert_eq!(error, BrokerError::Connect(Cause::TimedOut));
    assert!(start.elapsed() < Duration::from_secs(5));
    vhost.gone().await;
}

#[tokio::test]
async fn who_waits_for_a_connection_that_fails_waits_no_second_time() {
    let vhost = Vhost::new().await;
    let proxy = Proxy::before(vhost.port()).await;
    proxy.fall_silent();
    let limits = Limits { connect: Duration::from_millis(400), answer: Duration::from_millis(400) };
    let broker = Broker::new(vhost.url_at(Some(proxy.port)), "test").unwrap().with_limits(limits);
    let props = Props::default();
    let publish = async |_| broker.publish(SOURCE, "source.standard", b"{}", &props, true).await;
    let outcomes = futures_util::future::join_all((0..50).map(publish)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Err(BrokerError::Connect(Cause::TimedOut))));
    assert_eq!(proxy.made(), 1);
    vhost.gone().await;
}

#[tokio::test]
async fn neither_password_nor_body_nor_number_is_in_any_error() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let body = br#"{"From": "+12075550142", "Body": "my s3cr3t"}"#;
    let props = Props { reply_to: Some("s3cr3t".to_owned()), ..Props::default() }.with_header("h", "s3cr3t");
    let unroutable = broker.publish(SOURCE, "nobody.listens", body, &props, true).await.unwrap_err();
    let port = vhost.port();
    let connect = async |url: String| {
        let broker = Broker::new(url.into(), "test")?;
        broker.publish("", "q", body, &props, true).await
    };
    let errors = [
        unroutable,
        connect(format!("amqp://someone:s3cr3t@127.0.0.1:{port}/%2F")).await.unwrap_err(),
        connect(format!("amqp://someone:s3cr3t@127.0.0.1:1/{}", vhost.name())).await.unwrap_err(),
        connect("amqp://someone:s3cr3t@[::".to_owned()).await.unwrap_err(),
    ];
    for error in errors {
        let shown = format!("{error} {error:?} {broker:?} {props:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("2075550142") && !shown.contains("someone"), "{shown}");
    }
    vhost.gone().await;
}

#[tokio::test]
async fn what_is_taken_and_not_acknowledged_comes_again() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    broker.publish(SOURCE, "source.standard", b"{}", &Props::default(), true).await.unwrap();
    let taken = take(&broker, QUEUE).await;
    assert!(!delivery(&taken).redelivered);
    drop(taken);
    let taken = take(&broker, QUEUE).await;
    assert!(delivery(&taken).redelivered);
    taken.ack().await.unwrap();
    assert!(broker.get(QUEUE).await.unwrap().is_none());
    vhost.gone().await;
}

#[tokio::test]
async fn what_is_returned_too_often_lies_among_the_dead_with_its_key() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    broker.publish(SOURCE, "source.twilio.sms.incoming", b"{}", &Props::default(), true).await.unwrap();
    let mut returned = 0;
    let dead = eventually("the dead message", async || {
        if let Some(taken) = broker.get(QUEUE).await.unwrap() {
            taken.give_back().await.unwrap();
            returned += 1;
        }
        broker.get(DEAD).await.unwrap()
    })
    .await;
    assert_eq!(returned, 21);
    let key = delivery(&dead).routing_key(&[]).unwrap();
    assert_eq!(key.as_str(), "source.twilio.sms.incoming");
    dead.ack().await.unwrap();
    vhost.gone().await;
}

#[tokio::test]
async fn a_message_published_again_keeps_what_its_first_stamp_told() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let deliver_by: Timestamp = "2026-11-20T21:00:00Z".parse().unwrap();
    let props = Props {
        reply_to: Some("answers".to_owned()),
        correlation_id: Some("c-1".to_owned()),
        message_id: Some("m-1".to_owned()),
        ..Props::default()
    };
    let props = props.with_header(header::DELIVER_BY, "2026-11-20T21:00:00Z").with_header("other", "1");
    broker.publish(SOURCE, "source.standard.x", b"{\"body\": 1}", &props, true).await.unwrap();
    let taken = take(&broker, QUEUE).await;
    let first = delivery(&taken);
    let key = first.routing_key(&[]).unwrap();
    let uid = Uuid::new_v4();
    let again = Props::again(&first, Some(&key), uid, 2);
    broker.publish("", RETRY, &first.body, &again, true).await.unwrap();
    taken.ack().await.unwrap();

    let taken = take(&broker, QUEUE).await;
    let second = delivery(&taken);
    assert_eq!(second.routing_key(&[]), Some(key.clone()));
    assert_eq!((second.exchange(), second.stamp_time()), (first.exchange(), first.stamp_time()));
    assert!(first.stamp_time().is_some());
    assert_eq!(second.identity(Some(&key), 0, Timestamp::now()), uid);
    assert_eq!((second.deliver_by(), second.dead_count()), (Some(deliver_by), 2));
    assert_eq!(
        (&second.body, &second.reply_to, &second.correlation_id),
        (&first.body, &first.reply_to, &first.correlation_id)
    );
    assert_eq!(second.message_id.as_deref(), Some("m-1"));
    assert!(second.headers.get("other").is_none() && !second.already_sent());
    taken.ack().await.unwrap();
    vhost.gone().await;
}
