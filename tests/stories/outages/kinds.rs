//! What counts as down besides dead and frozen: a server that writes nothing, takes nobody, or hangs in each commit.
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use talkback::broker::{Props, RETRY};
use tokio::time::Instant;

use super::consumer::{alarm, publish, seen_at_once, standard, until};
use super::{Diary, Outage};
use crate::payloads::wire::Wire;
use crate::setup::two_rooms;
use crate::station::{GROUP, KEY, OTHER_GROUP, connect};

/// How it is made so, and how it is ended; by statements of a superuser.
struct Kind {
    story: &'static str,
    begin: &'static [&'static str],
    end: &'static [&'static str],
}

/// Ends all other sessions of the database.
const OUT: &str = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() \
                   and backend_type = 'client backend'";

const READ_ONLY: Kind = Kind {
    story: "kinds-read-only",
    begin: &["alter system set default_transaction_read_only = on", "select pg_reload_conf()"],
    end: &[
        "set default_transaction_read_only = off",
        "alter system reset default_transaction_read_only",
        "select pg_reload_conf()",
    ],
};

const NO_LOGIN: Kind = Kind {
    story: "kinds-no-login",
    begin: &["alter role talkback password 'another'", OUT],
    end: &["alter role talkback password 'PASSWORD'"],
};

const FULL_HOUSE: Kind = Kind {
    story: "kinds-full-house",
    begin: &["alter database talkback connection limit 1", "alter role talkback nosuperuser", OUT],
    end: &["alter database talkback connection limit -1"],
};

/// It lets everybody in and answers nothing of use: somebody holds the table.
const HANGING: Kind = Kind {
    story: "kinds-hanging",
    begin: &["begin", "lock table messages in access exclusive mode"],
    end: &["rollback"],
};

async fn a_kind_of_outage(kind: Kind) {
    let diary = Diary::open(kind.story).await;
    let wire = Wire::open(diary.setup()).await;
    publish(&wire, "source.standard", &standard("before"), Props::default()).await;
    wire.station.lines(1).await;
    let hand = connect(&diary.url).await;
    for statement in kind.begin {
        hand.simple_query(statement).await.unwrap();
    }
    let begun = Instant::now();
    let calls = wire.station.sim.posts().len();
    publish(&wire, "source.standard", &standard("later 0"), Props::default()).await;
    publish(&wire, "source.standard", &alarm("the tower is down"), Props::default()).await;
    publish(&wire, "source.standard", &standard("later 1"), Props::default()).await;
    seen_at_once(&wire, "the tower is down").await;
    let relay = wire.station.relay("send");
    let (sent, by_http) = (Instant::now(), json!({ "body": "fire", "priority": "urgent", "uid": "17" }));
    assert_eq!(crate::send_door::send_as(&relay, KEY, &by_http).await.status, 202);
    seen_at_once(&wire, "fire").await;
    assert!(sent.elapsed() < super::AT_ONCE, "{:?}", sent.elapsed());
    let all_aside = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 2);
    until("what is put aside", all_aside).await;
    until("some time", async || begun.elapsed() > Duration::from_secs(5)).await;
    assert_eq!(wire.station.sim.posts().len(), calls + 2);
    let password = diary.url.split([':', '@']).nth(2).unwrap();
    for statement in kind.end {
        hand.simple_query(&statement.replace("PASSWORD", password)).await.unwrap();
    }
    wire.station.lines(5).await;
    let said = wire.station.said();
    assert_eq!(said, ["before", "the tower is down", "fire", "later 0", "later 1"]);
    let rows = "select verdict || ' ' || count(*) from messages group by verdict order by 1";
    wire.station.until(rows, &["accepted 3", "already_sent 2"]).await;
    wire.station.until("select count(*)::text from api_calls where outcome = 'posted'", &["5"]).await;
    wire.station.until("select count(*)::text from rejected", &["0"]).await;
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_database_that_is_read_only_alarms_are_seen_at_once() {
    a_kind_of_outage(READ_ONLY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_database_that_takes_no_password_alarms_are_seen_at_once() {
    a_kind_of_outage(NO_LOGIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_database_that_hangs_alarms_are_seen_at_once() {
    a_kind_of_outage(HANGING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_too_many_connections_alarms_are_seen_at_once() {
    a_kind_of_outage(FULL_HOUSE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_outlives_a_provider_that_asks_for_an_age_of_silence() {
    let mut diary = Diary::open("kinds-silence").await;
    let wire = Wire::open(diary.setup()).await;
    diary.go(Outage::Killed);
    let age = What::Status { code: 429, retry_after: Some(u32::MAX), shown: false };
    wire.station.sim.fault(Fault::once(age));
    publish(&wire, "source.standard", &alarm("not now"), Props::default()).await;
    let aside = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 2);
    until("its call's record and itself on the broker", aside).await;
    assert_eq!(wire.station.sim.posts().len(), 1);
    diary.come_back(Outage::Killed).await;
    wire.station.lines(1).await;
    wire.station
        .until("select outcome || ' ' || status from api_calls order by at", &["limited 429", "posted 202"])
        .await;
    wire.station.until("select verdict from messages", &["accepted"]).await;
    wire.end().await;
}

/// The consumer that posted in the first room dies; whoever has the message then sees to the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_for_two_rooms_of_which_one_refused_it_reaches_the_other_when_the_database_is_back() {
    let mut diary = Diary::open("kinds-two-rooms").await;
    let own = diary.setup();
    let both = two_rooms();
    let exchanges = own.rooms[own.rooms.find("[[exchanges]]").unwrap()..].to_owned();
    let setup = crate::setup::Setup { rooms: format!("{}\n{exchanges}", both.rooms), bots: both.bots, ..own };
    let wire = Wire::open(setup).await;
    diary.go(Outage::Frozen);
    let wrong = What::Status { code: 400, retry_after: None, shown: false };
    wire.station.sim.fault(Fault { bot_id: Some(crate::station::OTHER_BOT.into()), ..Fault::once(wrong) });
    publish(&wire, "source.standard", &alarm("for both"), Props::default()).await;
    seen_at_once(&wire, "for both").await;
    let aside = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 3);
    until("two records and the message on the broker", aside).await;
    wire.consumer_dies();
    diary.come_back(Outage::Frozen).await;
    let shown = |lines: &[groupme_sim::Line]| lines.iter().any(|line| line.group_id == OTHER_GROUP);
    wire.station.sim.wait_for(shown, crate::station::PATIENCE).await.unwrap();
    wire.station
        .until("select room || ' ' || state from deliveries order by 1", &["staff sent", "tech confirmed"])
        .await;
    assert_eq!((wire.station.sim.lines(GROUP).len(), wire.station.sim.lines(OTHER_GROUP).len()), (1, 1));
    wire.end().await;
}

/// What is aside circles, and the consumer has it in hand again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_does_not_wait_behind_a_thousand_messages_that_are_put_aside() {
    let mut diary = Diary::open("kinds-thousand").await;
    let mut setup = diary.setup();
    // As it is by default.
    setup.lanes = setup.lanes.replace("retry_ttl = \"1s\"", "retry_ttl = \"5s\"");
    let wire = Wire::open(setup).await;
    diary.go(Outage::Frozen);
    let bodies: Vec<Value> = (0..1000).map(|n| standard(&format!("number {n}"))).collect();
    let messages: Vec<talkback::broker::Outgoing> = bodies
        .iter()
        .map(|body| talkback::broker::Outgoing {
            key: "source.standard",
            body: body.to_string().into_bytes(),
            props: Props::default(),
        })
        .collect();
    for some in messages.chunks(500) {
        let published = wire.vhost.broker.publish_in_order("source_exchange", some).await;
        assert_eq!(published.error, None);
    }
    let all_aside = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 900);
    until("what is put aside", all_aside).await;
    for number in 0..3 {
        publish(&wire, "source.standard", &alarm(&format!("fire {number}")), Props::default()).await;
        seen_at_once(&wire, &format!("fire {number}")).await;
    }
    diary.come_back(Outage::Frozen).await;
    let stored = "select count(*)::text from messages where verdict = 'accepted'";
    wire.station.until(stored, &["1000"]).await;
    // In their order.
    let late = "select count(*)::text from (select d.qseq, lag(d.qseq) over (order by substring(m.body from '\\d+')::int) as before
                from deliveries d join messages m using (uid) where m.verdict = 'accepted') x where qseq < before";
    assert_eq!(wire.station.column(late).await, ["0"]);
    wire.abandon().await;
}
