//! What happens at one moment: a ban, a mute, a replay, and messages that are just being accepted.
use groupme_sim::{Fault, What};
use serde_json::json;
use uuid::Uuid;

use super::{ADA, BO, text_from, with};
use crate::station::{GROUP, Setup, Station};

const NUMBER: &str = "+12075553250";

fn uid() -> String {
    Uuid::new_v4().to_string()
}

/// A station whose database waits as long as a story may hold something up.
pub fn patient() -> Setup {
    let lanes = "statement_timeout = \"8s\"\nlease = \"10s\"\nhttp = \"6s\"\nstay_unknown_deadline = \"20s\"";
    Setup { lanes: lanes.to_owned(), ..with("") }
}

const THEIRS: &str = "select m.verdict || ' ' || coalesce(d.state, '-') || ' ' || count(*)
                      from messages m left join deliveries d using (uid) where m.door = 'rabbitmq' group by m.verdict, d.state
                      order by 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_who_ban_at_once_make_one_ban_and_no_message_slips_past_it() {
    let mut station = Station::with(with("")).await;
    let first = uid();
    station.take_in(&[text_from(NUMBER, &first, "first")]).await;
    // Nothing is posted: what was accepted before the ban is there to be withdrawn.
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    let command = format!("!ban {first}");
    let both = async {
        tokio::join!(station.sim.say(GROUP, ADA.0, ADA.1, &command), station.sim.say(GROUP, BO.0, BO.1, &command));
        station.until("select count(*)::text from commands where state = 'told'", &["2"]).await;
    };
    // Texts come until both are answered, several at a time.
    let (over, done) = tokio::sync::watch::channel(false);
    let racing = async |n: usize| {
        while !*done.borrow() {
            station.take_in(&[text_from(NUMBER, &uid(), &format!("racing {n}"))]).await;
        }
    };
    let both = async {
        both.await;
        over.send(true).unwrap();
    };
    tokio::join!(both, racing(0), racing(1), racing(2), racing(3));
    station.take_in(&[text_from(NUMBER, &uid(), "behind it")]).await;
    assert_eq!(station.outcomes().await, ["ban done", "ban done"]);
    assert_eq!(station.column("select count(*)::text from bans").await, ["1"]);
    let found = station.column(THEIRS).await;
    let wanted = |kind: &String| kind.starts_with("accepted withdrawn ") || kind.starts_with("banned - ");
    assert!(found.len() == 2 && found.iter().all(wanted), "{found:?}");
    let slipped = "select count(*)::text from messages m join deliveries d using (uid), bans b
                   where m.sender_hash = b.sender_hash and m.verdict = 'accepted' and d.state <> 'withdrawn'";
    assert_eq!(station.column(slipped).await, ["0"]);
    station.db().await.batch_execute("update rooms set state = 'open'").await.unwrap();
    station.start_dispatcher();
    station
        .until(
            "select distinct state from deliveries d join messages m using (uid) where m.door = 'chat'",
            &["confirmed"],
        )
        .await;
    let texts = station.texts();
    assert!(!texts.iter().any(|text| text.contains("racing") || text.contains("behind it")), "{texts:?}");
    let said: Vec<&String> = texts.iter().filter(|text| text.contains("(ban 1)")).collect();
    assert_eq!(said.len(), 2, "{texts:?}");
    assert_eq!(said.iter().filter(|text| text.contains("was banned already")).count(), 1, "{said:?}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_waits_for_what_is_being_accepted_and_withdraws_it() {
    let station = Station::with(patient()).await;
    let (first, late) = (uid(), uid());
    station.take_in(&[text_from(NUMBER, &first, "first")]).await;
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    let holder = station.hold_up(&late).await;
    let late = [text_from(NUMBER, &late, "late")];
    let ban = async {
        station.locked("1").await;
        let relay = station.relay("story");
        let said = super::hostile::line("ban", &format!("!ban {first}"), 0);
        let line = talkback::chat::Line::read(&said).unwrap();
        let release = async {
            station.locked("2").await;
            holder.batch_execute("rollback").await.unwrap();
        };
        tokio::join!(async { relay.hear(&line).await.map(drop).unwrap() }, release);
    };
    tokio::join!(station.take_in(&late), ban);
    assert_eq!(station.column(THEIRS).await, ["accepted withdrawn 2"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_waits_for_a_ban_that_is_under_way() {
    let station = Station::with(patient()).await;
    let theirs = uid();
    let refused = What::Status { code: 400, retry_after: None, shown: false };
    station.sim.fault(Fault { containing: Some("never".to_owned()), ..Fault::always(refused) });
    station.consume(&[text_from(NUMBER, &theirs, "never")]).await;
    station.until("select state from deliveries", &["failed"]).await;
    // As a ban does, not yet committed.
    let ban = station.db().await;
    ban.batch_execute(
        "begin;
         select pg_advisory_xact_lock(8, get_byte(sender_hash, 0)) from messages;
         insert into bans (sender_hash, banned_by_sealed) select sender_hash, 'x' from messages",
    )
    .await
    .unwrap();
    let store = station.relay("story").store;
    let commit = async {
        station.locked("1").await;
        ban.batch_execute("commit").await.unwrap();
    };
    let (replayed, ()) = tokio::join!(store.replay(&theirs), commit);
    assert_eq!(replayed.unwrap(), 0);
    assert_eq!(station.column("select state from deliveries").await, ["failed"]);
    station.end().await;
}

/// A text is being accepted while somebody types that.
async fn accept_while(station: &Station, command: &str) {
    let late = uid();
    let holder = station.hold_up(&late).await;
    let late = [text_from(NUMBER, &late, command)];
    let meanwhile = async {
        station.locked("1").await;
        station.done(BO, command).await;
        holder.batch_execute("rollback").await.unwrap();
    };
    tokio::join!(station.take_in(&late), meanwhile);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_being_accepted_when_a_mute_ended_is_posted_and_when_one_began_is_held() {
    let mut station = Station::with(patient()).await;
    let states = "select d.state || ' ' || (d.held_by is not null) from deliveries d join messages m using (uid)
                  where m.door = 'rabbitmq' order by d.id";
    station.done(ADA, "!mute source.twilio.#").await;
    accept_while(&station, "!unmute source.twilio.#").await;
    assert_eq!(station.column(states).await, ["held true"], "it saw the mute");
    station.start_dispatcher();
    station.until(states, &["confirmed true"]).await;
    station.stop_dispatcher().await;
    // A dispatcher that was at work just now is believed to be, so that nobody else posts.
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    accept_while(&station, "!mute source.twilio.#").await;
    assert_eq!(station.column(states).await, ["confirmed true", "queued false"], "it did not see the mute");
    station.relay("dispatcher").tend_once().await.unwrap();
    assert_eq!(station.column(states).await, ["confirmed true", "held true"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_the_word_goes_and_what_came_behind_it_does_not_also_in_one_batch() {
    let mut station = Station::with(with("")).await;
    let told = |key: &str, field: &str| {
        Station::message(key, &json!({ "wbor_message_id": uid(), field: NUMBER, "timestamp": "2026-11-29T00:00:00Z" }))
    };
    let text = |n: u8| text_from(NUMBER, &uid(), &format!("text {n}"));
    let (ban, unban) = (told("source.twilio.ban", "ban_number"), told("source.twilio.unban", "unban_number"));
    station.take_in(&[ban, text(1), text(2), unban, text(3), text(4)]).await;
    let verdicts =
        "select verdict from messages where source = 'source.twilio.sms.incoming' order by accepted_at, verdict";
    assert_eq!(station.column(verdicts).await, ["banned", "banned", "accepted", "accepted"]);
    station.start_dispatcher();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said(), ["text 3", "text 4"]);
    station.end().await;
}
