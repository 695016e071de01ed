//! The outside logger when something fails: a record may come twice, none is lost, and no room waits for it.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use talkback::broker::{Fate, Outgoing, Props, QUEUE};
use talkback::seal::{Keys, Lookup};
use talkback::store::outbox::Subject;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::outside_logger::{LOGGER, SOURCE, bind_logger, publishing, record};
use crate::station::{GROUP, PATIENCE, Station};
use crate::vhost::Vhost;

const WAITING: &str = "select count(*)::text from record_outbox";

fn message(text: &str) -> serde_json::Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() }))
}

/// How the broker is to reach.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Open,
    /// It hangs up at once.
    Gone,
    /// It takes every byte and never says a word.
    Frozen,
}

/// A way to the broker that can be closed. Connections that are open are cut when it changes.
struct Proxy {
    url: String,
    way: watch::Sender<Way>,
}

impl Proxy {
    async fn before(broker: &str) -> Self {
        let (head, path) = broker.rsplit_once('/').unwrap();
        let (login, server) = head.rsplit_once('@').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{login}@{}/{path}", listener.local_addr().unwrap());
        let (way, follow) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut changed, server) = (follow.clone(), server.clone());
                let now = *changed.borrow_and_update();
                tokio::spawn(async move {
                    let through = async {
                        match now {
                            Way::Gone => {}
                            Way::Frozen => drop(tokio::io::copy(&mut client, &mut tokio::io::sink()).await),
                            Way::Open => {
                                let mut server = TcpStream::connect(server).await.unwrap();
                                drop(copy_bidirectional(&mut client, &mut server).await);
                            }
                        }
                    };
                    tokio::select! {
                        () = through => {}
                        _ = changed.changed() => {}
                    }
                });
            }
        });
        Self { url, way }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_gone_or_frozen_holds_up_no_post_and_is_told_later() {
    let vhost = Vhost::new().await;
    let proxy = Proxy::before(&vhost.url()).await;
    let mut station = Station::with(publishing(proxy.url.clone(), "")).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    let mut posts = 0;
    for way in [Way::Frozen, Way::Gone] {
        proxy.way.send_replace(way);
        // Waiting for a frozen broker takes seconds; if each post waited for it, these would take a minute.
        let messages: Vec<_> = (0..30).map(|n| message(&format!("{posts} {n}"))).collect();
        station.take_in(&messages).await;
        posts += messages.len();
        station.until("select count(*)::text from deliveries where state = 'confirmed'", &[&posts.to_string()]).await;
        // Each post and its line.
        assert_eq!(station.column(WAITING).await, [(2 * posts).to_string()]);
        assert_eq!(vhost.broker.depth(LOGGER).await, Ok(0));
    }
    proxy.way.send_replace(Way::Open);
    station.until(WAITING, &["0"]).await;
    let mut told = Vec::new();
    for _ in 0..posts {
        told.push(record(&vhost, "msg").await["text"].as_str().unwrap().to_owned());
    }
    let texts: Vec<String> = station.texts();
    assert_eq!(told, texts, "in the order in which they were posted");
    assert_eq!(vhost.broker.depth("callback").await, Ok(u32::try_from(posts).unwrap()));
    assert_eq!(vhost.broker.depth("msg").await, Ok(0), "none twice");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_not_there_makes_records_wait_and_rooms_go_on() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(publishing(vhost.url(), "exchange = \"archive\"")).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    station.take_in(&[message("posted")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(station.column(WAITING).await, ["2"]);
    // What comes to an exchange before its queue is bound is nobody's.
    station.kill_dispatcher().await;
    vhost.exchange("archive").await;
    vhost.queue_of("archive", "shelf").await;
    station.start_dispatcher();
    assert_eq!(record(&vhost, "shelf").await["type"], "log");
    assert_eq!(record(&vhost, "shelf").await["type"], "callback");
    station.until(WAITING, &["0"]).await;
    assert_eq!(vhost.broker.depth(LOGGER).await, Ok(0));
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_dies_between_publishing_and_noting_it_tells_twice() {
    let vhost = Vhost::new().await;
    let station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    station.consume(&[message("posted")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let db = station.db().await;
    // Who deletes waits here.
    db.batch_execute(
        "select pg_advisory_lock(5);
         create function wait_here() returns trigger language plpgsql as
         $$ begin perform pg_advisory_xact_lock(5); return old; end $$;
         create trigger here before delete on record_outbox for each row execute function wait_here()",
    )
    .await
    .unwrap();
    let budget = |relay: &talkback::relay::Relay| talkback::relay::dispatch::Budget {
        until: tokio::time::Instant::now() + PATIENCE,
        end: tokio::time::Instant::now() + PATIENCE,
        rooms: relay.room_names(),
        lanes: 1,
        poll: Some(Duration::from_millis(50)),
        stop: talkback::relay::stop::Stop::default(),
    };
    let dies = station.relay("dispatcher");
    let first = {
        let tending = tokio::spawn(async move { dies.tend(&budget(&dies)).await });
        let first = [vhost.next("msg").await, vhost.next("callback").await];
        station.until("select wait_event from pg_stat_activity where wait_event = 'advisory'", &["advisory"]).await;
        tending.abort();
        assert!(tending.await.unwrap_err().is_cancelled());
        first
    };
    // The server finds that nobody is there any more when its statement's time is over; then nothing is deleted.
    station.until("select count(*)::text from pg_stat_activity where wait_event = 'advisory'", &["0"]).await;
    db.batch_execute("drop trigger here on record_outbox; select pg_advisory_unlock(5)").await.unwrap();
    assert_eq!(station.column(WAITING).await, ["2"]);

    let lives = station.relay("dispatcher");
    let lived = tokio::spawn(async move { lives.tend(&budget(&lives)).await });
    // While the lease of the dead lasts, nobody else takes them.
    let nobody = "select count(*)::text from record_outbox where due > clock_timestamp()";
    assert_eq!(station.column(nobody).await, ["2"]);
    db.execute("update record_outbox set due = due - interval '30 s'", &[]).await.unwrap();
    let again = [vhost.next("msg").await, vhost.next("callback").await];
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.body, again.body);
        assert_eq!(first.message_id, again.message_id, "by which a logger can tell");
    }
    station.until(WAITING, &["0"]).await;
    lived.abort();
    assert_eq!(vhost.broker.depth(LOGGER).await, Ok(4));
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_known_better_while_it_is_published_is_told_again() {
    let vhost = Vhost::new().await;
    let station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    let db = station.db().await;
    db.execute(
        "insert into api_calls (room, channel, operation, outcome) values ('staff', 'groupme', 'post', 'unknown')",
        &[],
    )
    .await
    .unwrap();
    db.execute("update record_outbox set due = clock_timestamp()", &[]).await.unwrap();
    let store = station.relay("dispatcher").store;
    let lease = Duration::from_secs(30);
    let held: Vec<_> = store.lease_outbox(10, lease).await.unwrap().into_iter().map(|(held, _)| held).collect();
    assert_eq!(held.len(), 1);
    db.execute("update api_calls set outcome = 'posted', status = 202", &[]).await.unwrap();
    // The one who published what was known before does not take the news with it.
    store.outbox_done(&held).await.unwrap();
    store.outbox_put_off(&held.iter().map(|held| (*held, lease)).collect::<Vec<_>>()).await.unwrap();
    store.outbox_put_back(&held).await.unwrap();
    let again = store.lease_outbox(10, lease).await.unwrap();
    assert_eq!(again.len(), 1);
    store.outbox_done(&[again[0].0]).await.unwrap();
    assert_eq!(station.column(WAITING).await, ["0"]);
    // And news after it was published is a record of its own.
    db.execute("update api_calls set outcome = 'unknown'", &[]).await.unwrap();
    db.execute("update api_calls set outcome = 'posted'", &[]).await.unwrap();
    assert_eq!(station.column(WAITING).await, ["1"]);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_or_does_not_open_holds_up_nothing() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    station.consume(&[message("forgotten")]).await;
    station.sim.say(GROUP, "7", "Ada", "sealed with a lost key").await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.until(WAITING, &["3"]).await;
    let db = station.db().await;
    db.execute("delete from api_calls", &[]).await.unwrap();
    let lost = "update groupme_callbacks set payload_sealed = '\\x00' where sender_type = 'user'";
    assert_eq!(db.execute(lost, &[]).await.unwrap(), 1);
    station.start_dispatcher();
    let told = record(&vhost, LOGGER).await;
    assert_eq!((&told["type"], &told["sender_type"]), (&json!("callback"), &json!("bot")));
    // What does not open waits for its key.
    let waits = "select (due > clock_timestamp() + interval '50 min')::text from record_outbox";
    station.until(waits, &["true"]).await;
    station.consume(&[message("next")]).await;
    assert_eq!(record(&vhost, "msg").await["code"], 202);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_among_the_dead_letters_is_ignored() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    station.consume(&[message("posted")]).await;
    let ours = vhost.next("msg").await;
    let proof = ours.headers.text("x-talkback-record").unwrap();
    let props = Props::default()
        .with_header("x-talkback-record", proof.as_str())
        .with_header("x-routing-key", "source.groupme.msg");
    vhost.broker.publish("", talkback::broker::DEAD, &ours.body, &props, true).await.unwrap();
    let gone = async {
        let mut tick = tokio::time::interval(Duration::from_millis(25));
        while vhost.broker.depth(talkback::broker::DEAD).await != Ok(0) {
            tick.tick().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    station.stop_dispatcher().await;
    assert_eq!(station.column("select distinct outcome from api_calls").await, ["posted"]);
    assert!(station.column("select reason from rejected").await.is_empty());
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_full_queue_floods_no_other_and_keeps_newer_records_from_nobody() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    vhost.full_queue("full").await;
    vhost.bind(SOURCE, "full", "source.groupme.#").await;
    // More than one batch: each post and its line.
    let messages: Vec<_> = (0..52).map(|n| message(&format!("older {n}"))).collect();
    station.consume(&messages).await;
    station.start_dispatcher();
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["52"]).await;
    // The broker says no to each of them, though the logger has it.
    let once = "select count(*)::text from record_outbox where tries > 0";
    station.until(once, &["104"]).await;
    let copies = vhost.broker.depth(LOGGER).await.unwrap();
    let tries = station.column("select sum(tries)::text from record_outbox").await;
    assert!(copies <= 2 * 104, "{copies} copies of 104 records, after {tries:?} tries");

    // Later: all of them are due again, before what is new.
    let db = station.db().await;
    db.execute("update record_outbox set due = clock_timestamp(), tries = 8", &[]).await.unwrap();
    station.consume(&[message("newer")]).await;
    let newer = async { while !record(&vhost, "msg").await["text"].as_str().unwrap().contains("newer") {} };
    timeout(PATIENCE, newer).await.unwrap();
    let waits =
        "select count(*)::text from record_outbox where tries = 9 and due > clock_timestamp() + interval '10 min'";
    station.until(waits, &["104"]).await;

    vhost.no_queue("full").await;
    db.execute("update record_outbox set due = clock_timestamp()", &[]).await.unwrap();
    station.until(WAITING, &["0"]).await;
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_off_goes_behind_what_came_meanwhile_and_what_was_not_sent_keeps_its_turn() {
    let vhost = Vhost::new().await;
    let station = Station::with(publishing(vhost.url(), "")).await;
    let db = station.db().await;
    db.batch_execute(
        "insert into api_calls (room, channel, operation, outcome, status) values
         ('staff', 'groupme', 'post', 'posted', 201), ('staff', 'groupme', 'post', 'posted', 202)",
    )
    .await
    .unwrap();
    let store = station.relay("dispatcher").store;
    let next = async || {
        let (held, subject) = store.lease_outbox(1, Duration::from_secs(30)).await.unwrap().remove(0);
        let Subject::Call(call) = subject else { panic!("no call") };
        (held, call.status.unwrap())
    };
    let (first, status) = next().await;
    assert_eq!((status, first.tries), (201, 0));
    store.outbox_put_back(&[first]).await.unwrap();
    let (again, status) = next().await;
    assert_eq!((status, again.tries), (201, 0), "before what came later");
    store.outbox_put_off(&[(again, Duration::ZERO)]).await.unwrap();
    let (second, status) = next().await;
    assert_eq!((status, second.tries), (202, 0));
    let (again, status) = next().await;
    assert_eq!((status, again.tries), (201, 1));
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_queue_refused_is_told_apart_from_what_nobody_can_have() {
    let vhost = Vhost::new().await;
    vhost.exchange("archive").await;
    vhost.full_queue("full").await;
    vhost.bind("archive", "full", "full").await;
    let messages: Vec<Outgoing> = ["nobody", "full", "nobody"]
        .into_iter()
        .map(|key| Outgoing { key, body: b"{}".to_vec(), props: Props::default() })
        .collect();
    let published = vhost.broker.publish_in_order("archive", &messages).await;
    assert_eq!((published.fates, published.error), (vec![Fate::Confirmed, Fate::Nacked, Fate::Confirmed], None));
    let published = vhost.broker.publish_in_order("nowhere", &messages).await;
    assert_eq!(published.fates, [Fate::Unsent; 3]);
    assert!(published.error.is_some());
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_that_waited_while_the_keys_were_changed_is_still_known() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    station.consume(&[message("posted")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.until(WAITING, &["0"]).await;
    station.stop_dispatcher().await;
    let key = |byte| STANDARD.encode([byte; 32]);
    let old = format!("k1:{}", key(7));
    station.settings.lookup = Lookup::parse(&key(8)).unwrap();
    station.settings.data_keys = Keys::parse(&format!("k2:{},{old}", key(6))).unwrap();
    let relay = station.relay("rabbitmq-consumer");
    for _ in 0..2 {
        let ours = vhost.broker.get(QUEUE).await.unwrap().unwrap();
        let counts = relay.take_in(vec![ours.record.clone()], jiff::Timestamp::now()).await.unwrap();
        ours.ack().await.unwrap();
        assert_eq!((counts.ignored, counts.records), (1, 0));
    }
    station.end().await;
    vhost.gone().await;
}
