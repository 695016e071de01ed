//! What could be said twice while Postgres is away, and is not.
use groupme_sim::{Endpoint, Fault, What};
use talkback::broker::Props;

use super::consumer::{alarm, publish, seen_at_once, standard};
use super::{Diary, Outage};
use crate::payloads::wire::Wire;
use crate::setup::Setup;
use crate::station::{GROUP, MEMBER};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_is_stored_and_comes_again_while_postgres_is_away_is_not_said_twice() {
    let mut diary = Diary::open("repeats-stored").await;
    let wire = Wire::open(diary.setup()).await;
    let (first, second) = (alarm("the tower is down"), alarm("the mast is down"));
    publish(&wire, "source.standard", &first, Props::default()).await;
    wire.station.lines(1).await;
    wire.station.until("select state from parts", &["confirmed"]).await;
    diary.go(Outage::Killed);
    // As a batch does whose function was ended after it had stored it.
    publish(&wire, "source.standard", &first, Props::default()).await;
    publish(&wire, "source.standard", &second, Props::default()).await;
    seen_at_once(&wire, "the mast is down").await;
    diary.come_back(Outage::Killed).await;
    wire.station.until("select repeats::text from messages where verdict = 'accepted'", &["1"]).await;
    wire.station.until("select count(*)::text from messages", &["2"]).await;
    assert_eq!(wire.station.sim.lines(GROUP).len(), 2, "{:?}", wire.station.said());
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_whose_answer_was_lost_is_looked_for_in_the_room_before_it_is_said_again() {
    let mut diary = Diary::open("repeats-found").await;
    let setup = diary.setup();
    let vars = [setup.vars, vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())]].concat();
    let wire = Wire::open(Setup { vars, ..setup }).await;
    diary.go(Outage::Killed);
    let words = "the tower is down";
    wire.station.sim.fault(Fault::once(What::ResetAfterRead { shown: true }));
    publish(&wire, "source.standard", &alarm(words), Props::default()).await;
    seen_at_once(&wire, words).await;
    // One that is not there is said again.
    wire.station.sim.fault(Fault::once(What::ResetAfterRead { shown: false }));
    publish(&wire, "source.standard", &alarm("the mast is down"), Props::default()).await;
    seen_at_once(&wire, "the mast is down").await;
    // And so is one where the room cannot be read.
    wire.station.sim.fault(Fault::once(What::ResetAfterRead { shown: true }));
    wire.station
        .sim
        .fault_at(Endpoint::Messages, Fault::once(What::Status { code: 500, retry_after: None, shown: false }));
    publish(&wire, "source.standard", &alarm("fire"), Props::default()).await;
    diary.come_back(Outage::Killed).await;
    let calls = "select outcome from api_calls where operation = 'post' order by at";
    wire.station.until(calls, &["unknown", "unknown", "posted", "unknown", "posted"]).await;
    wire.station.until("select verdict from messages", &["already_sent"; 3]).await;
    publish(&wire, "source.standard", &standard("the end"), Props::default()).await;
    let lines = wire.station.lines(5).await;
    let times = |words: &str| lines.iter().filter(|l| l.text.as_deref().unwrap_or("").contains(words)).count();
    assert_eq!((times(words), times("the mast is down"), times("fire")), (1, 1, 2));
    wire.end().await;
}
