//! What the chat lists, page by page, and what is sent again from it; and uids that several messages have.
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ADA, BO, text_from, with};
use crate::station::{GROUP, PATIENCE, Setup, Station};

const NUMBER: &str = "+12075553250";

fn uid() -> String {
    Uuid::new_v4().to_string()
}

fn message(source: &str, uid: &str, text: &str) -> Value {
    Station::message(source, &json!({ "body": text, "wbor_message_id": uid }))
}

fn refused(containing: &str) -> Fault {
    let refused = What::Status { code: 400, retry_after: None, shown: false };
    Fault { containing: Some(containing.to_owned()), ..Fault::always(refused) }
}

impl Station {
    /// A member types that, and this is said.
    async fn says(&self, (id, name): (&str, &str), line: &str, wanted: &str) {
        self.sim.say(GROUP, id, name, line).await;
        let there = |lines: &[groupme_sim::Line]| lines.iter().any(|line| line.text.as_deref() == Some(wanted));
        self.sim.wait_for(there, PATIENCE).await.unwrap_or_else(|instead| panic!("{line}: {wanted}: {instead}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_banned_and_what_failed_goes_on_on_another_page() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let bans: Vec<Value> = (1..=8)
        .map(|n| {
            let body = json!({ "wbor_message_id": uid(), "ban_number": format!("+12075550{n:03}") });
            Station::message("source.twilio.ban", &body)
        })
        .collect();
    station.consume(&bans).await;
    let page = |numbers: &[u8]| -> Vec<String> {
        numbers.iter().map(|n| format!("{n} +1XXXXX50{n:03}, by Twilio's front end")).collect()
    };
    let first = station.typed(ADA, "!bans").await;
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines[..6], page(&[8, 7, 6, 5, 4, 3]));
    assert_eq!(lines[6..], ["(1 of 2; !bans 2)"]);
    let second = station.typed(ADA, "!bans 2").await;
    let lines: Vec<&str> = second.lines().collect();
    assert_eq!(lines[..2], page(&[2, 1]));
    assert_eq!(lines[2..], ["(2 of 2; !bans 1)"]);
    assert_eq!(station.typed(ADA, "!bans 3").await, "There are not so many bans.");

    station.sim.fault(refused("never"));
    let uids: Vec<String> = (0..8).map(|_| uid()).collect();
    for uid in &uids {
        station.consume(&[message("source.standard", uid, "never")]).await;
    }
    station.until("select count(*)::text from deliveries where state = 'failed'", &["8"]).await;
    let named = |text: &str| {
        text.lines().filter_map(|line| line.split_once(" failed ")).map(|(uid, _)| uid.to_owned()).collect::<Vec<_>>()
    };
    let short = |uid: &String| uid[..8].to_owned();
    let first = station.typed(ADA, "!failed").await;
    assert_eq!(named(&first), uids[2..].iter().rev().map(short).collect::<Vec<_>>());
    assert!(first.ends_with("\n(more: !failed 2)"), "{first}");
    let second = station.typed(ADA, "!failed 2").await;
    assert_eq!(named(&second), uids[..2].iter().rev().map(short).collect::<Vec<_>>());
    assert_eq!(second.lines().count(), 2, "{second}");
    assert_eq!(station.typed(ADA, "!failed 3").await, "That is all.");
    // Somebody who failed and was banned since stays where it is, and the others go.
    station.sim.clear_faults();
    let theirs = uid();
    station.sim.fault(refused("theirs"));
    station.consume(&[text_from(NUMBER, &theirs, "theirs")]).await;
    station.until("select count(*)::text from deliveries where state = 'failed'", &["9"]).await;
    station.done(ADA, &format!("!ban {theirs}")).await;
    station.sim.clear_faults();
    station.says(BO, "!replay failed", "Bo sends 8 messages again.").await;
    station.until("select count(*)::text from deliveries where state = 'failed'", &["1"]).await;
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent')", &["0"]).await;
    let said: Vec<String> = station.said().into_iter().filter(|text| text == "never").collect();
    assert_eq!(said.len(), 8);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_was_never_seen_or_was_withdrawn_is_told_and_sent_again() {
    let mut station = Station::with(Setup { lanes: "record_within = \"500ms\"".to_owned(), ..with("") }).await;
    let (expired, unseen, withdrawn, left) = (uid(), uid(), uid(), uid());
    // Nothing is posted until all is as it should be.
    let db = station.db().await;
    db.batch_execute("update rooms set state = 'paused'").await.unwrap();
    let batch = [("expired", &expired), ("withdrawn", &withdrawn), ("left", &left)];
    for (text, uid) in batch {
        station.take_in(&[message("source.standard", uid, text)]).await;
    }
    db.execute("update deliveries set expires_at = clock_timestamp() where uid = $1", &[&expired]).await.unwrap();
    let told_nothing = "update deliveries set deliver_by = clock_timestamp() - interval '1 hour' where uid = $1";
    db.execute(told_nothing, &[&left]).await.unwrap();
    station.relay("dispatcher").tend_once().await.unwrap();
    let over = "select (clock_timestamp() > max(at) + interval '500 ms')::text from delivery_events where new_state = 'withdrawn'";
    station.until(over, &["true"]).await;
    station.relay("dispatcher").tend_once().await.unwrap();
    station.done(ADA, &format!("!cancel {withdrawn}")).await;
    db.batch_execute("update rooms set state = 'open'").await.unwrap();
    station.start_dispatcher();
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent')", &["0"]).await;
    station.sim.fault(Fault { containing: Some("unseen".to_owned()), ..Fault::once(What::NeverShown) });
    station.consume(&[message("source.standard", &unseen, "unseen")]).await;
    let state = "select count(*)::text from deliveries where state = 'unconfirmed'";
    station.until(state, &["1"]).await;
    let listed = station.typed(ADA, "!failed").await;
    for (uid, what) in [(&expired, "expired"), (&unseen, "unconfirmed"), (&left, "withdrawn")] {
        assert!(listed.contains(&format!("{} {what} from source.standard, ", &uid[..8])), "{what}: {listed}");
    }
    assert!(listed.contains("in staff: too old") && listed.contains("in staff: never seen in the room"), "{listed}");
    assert!(listed.contains("in staff: its producer has taken over, and told nothing"), "{listed}");
    assert!(!listed.contains(&withdrawn[..8]), "somebody wanted it so: {listed}");
    assert!(station.typed(ADA, "!status").await.contains("2 in trouble (!failed)"));
    for uid in [&expired, &unseen, &withdrawn, &left] {
        station.says(BO, &format!("!replay {uid}"), &format!("Bo sends {} again.", &uid[..8])).await;
    }
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let mut said: Vec<String> = station.said();
    said.retain(|text| ["expired", "unseen", "withdrawn", "left"].contains(&text.as_str()));
    assert_eq!(said, ["expired", "unseen", "withdrawn", "left"]);
    assert!(station.typed(BO, &format!("!replay {left}")).await.starts_with("Nothing of "));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uid_that_two_producers_use_means_the_most_recent_and_says_so() {
    let station = Station::with(with("")).await;
    station.db().await.batch_execute("update rooms set state = 'paused'").await.unwrap();
    station.take_in(&[message("source.standard", "42", "older")]).await;
    station.take_in(&[message("source.weather", "42", "newer")]).await;
    station.done(ADA, "!cancel 42").await;
    let states = "select m.source || ' ' || d.state from deliveries d join messages m using (uid)
                  where m.door = 'rabbitmq' order by 1";
    assert_eq!(station.column(states).await, ["source.standard queued", "source.weather withdrawn"]);
    // Its identity means one.
    station.done(ADA, "!cancel 42@source.standard").await;
    assert_eq!(station.column(states).await, ["source.standard withdrawn", "source.weather withdrawn"]);
    let mut station = station;
    station.db().await.batch_execute("update rooms set state = 'open'").await.unwrap();
    station.start_dispatcher();
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["2"]).await;
    let texts = station.texts();
    assert!(texts.iter().any(|text| text.starts_with("Ada withdrew 42. (2 messages have that uid: ")), "{texts:?}");
    assert!(texts.iter().any(|text| text == "Ada withdrew 42."), "{texts:?}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_air_may_still_appear_and_that_is_said() {
    // Time enough to withdraw while GroupMe thinks.
    let lanes = "lease = \"10s\"\nhttp = \"6s\"\nstay_unknown_deadline = \"20s\"".to_owned();
    for command in ["ban", "cancel"] {
        let mut station = Station::with(Setup { lanes: lanes.clone(), callbacks: false, ..with("") }).await;
        station.start_dispatcher();
        station
            .sim
            .fault(Fault { containing: Some("slow".to_owned()), ..Fault::once(What::Slow(Duration::from_secs(4))) });
        let theirs = uid();
        station.take_in(&[text_from(NUMBER, &theirs, "slow")]).await;
        station.until("select state from parts", &["posting"]).await;
        assert_eq!(station.call(&super::hostile::line("x", &format!("!{command} {theirs}"), 0)).await, 200);
        station.until("select outcome from commands", &["done"]).await;
        station.lines(2).await;
        let texts = station.texts();
        let air = " A part of it is being posted at this moment, and may still appear.";
        assert!(texts.iter().any(|text| text.ends_with(air)), "{texts:?}");
        // The answer of the call is written down, whatever became of its delivery.
        station
            .until("select d.state from deliveries d join messages m using (uid) where m.door = 'rabbitmq'", &["sent"])
            .await;
        station.end().await;
    }
}
