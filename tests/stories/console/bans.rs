//! Bans: they hold from the moment they are answered, withdraw what waits, end by themselves, and keep no number in plain.
use groupme_sim::{Fault, What};
use talkback::relay::dispatch::Budget;
use uuid::Uuid;

use super::{ADA, BO, proving, text_from, with};
use crate::answers::asking;
use crate::front_end::FrontEnd;
use crate::station::{PATIENCE, Setup, Station, dressed};
use crate::vhost::Vhost;

const NUMBER: &str = "+12075553250";
const OTHER: &str = "+12075550001";

const VERDICTS: &str = "select verdict from messages where door = 'rabbitmq' order by accepted_at";

fn uid() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_banned_is_posted_no_more_until_the_ban_is_lifted_and_producers_hear_it() {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let vars = vec![("AMQP_URL", vhost.url())];
    let mut station = Station::with(Setup { vars, ..with("") }).await;
    station.start_dispatcher();
    let first = uid();
    station.consume(&[text_from(NUMBER, &first, "first")]).await;
    let answer = station.typed(ADA, &format!("!ban {} for 7d  too \"many jokes\"", &first[..8])).await;
    assert!(answer.starts_with("Ada banned +1XXXXX53250 until "), "{answer}");
    assert!(answer.ends_with("(ban 1)."), "{answer}");
    // White space and case do not make another sender.
    station.consume(&[asking(text_from(" +12075553250 ", &uid(), "second"), "answers", "c-1")]).await;
    let (reply, correlation) = vhost.answer("answers").await;
    assert_eq!((reply["status"].as_str(), reply["reason"].as_str()), (Some("success"), Some("banned")));
    assert_eq!(correlation.as_deref(), Some("c-1"));
    assert_eq!(station.column(VERDICTS).await, ["accepted", "banned"]);
    let kept = "select (body is null)::text || (body_sealed is not null)::text || verdict_reason from messages
                where verdict = 'banned'";
    assert_eq!(station.column(kept).await, ["truetruesender"]);
    let listed = station.typed(BO, "!bans").await;
    assert!(listed.starts_with("1 +1XXXXX53250 until ") && listed.contains(", by Ada: too many jokes"), "{listed}");
    // Again: only the term is another.
    let again = station.typed(BO, &format!("!BAN {first}")).await;
    assert_eq!(again, "+1XXXXX53250 was banned already (ban 1); Bo changed the term: until it is lifted.");
    assert_eq!(station.typed(BO, "!unban 1").await, "Bo lifted ban 1 of +1XXXXX53250.");
    assert_eq!(station.typed(BO, &format!("!unban {first}")).await, "That sender is not banned.");
    assert_eq!(station.typed(BO, "!bans").await, "Nobody is banned.");
    let third = uid();
    station.consume(&[text_from(NUMBER, &third, "third")]).await;
    station.until("select count(*)::text from messages where verdict = 'accepted' and door = 'rabbitmq'", &["2"]).await;
    station
        .sim
        .wait_for(|lines| lines.iter().any(|line| line.text == Some(dressed("third", &third))), PATIENCE)
        .await
        .unwrap();
    assert!(!station.said().iter().any(|text| text.contains("second")));
    // What was is kept: who, why, and by whom it was lifted.
    let history = "select (lifted_at is not null)::text || (lifted_by_sealed is not null)::text from bans";
    assert_eq!(station.column(history).await, ["truetrue"]);
    let outcomes = ["ban done", "bans done", "ban done", "unban done", "unban none", "bans none"];
    assert_eq!(station.outcomes().await, outcomes);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_during_a_backlog_withdraws_what_waits_and_its_producers_need_not_post() {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let vars = vec![("AMQP_URL", vhost.url())];
    let station = Station::with(Setup { vars, ..with("") }).await;
    let (theirs, other) = (uid(), uid());
    let backlog = [
        text_from(NUMBER, &theirs, "one"),
        asking(text_from(NUMBER, &uid(), "two"), "answers", "c-2"),
        text_from(OTHER, &other, "of another"),
        text_from(NUMBER, &uid(), "three"),
    ];
    station.take_in(&backlog).await;
    let uid = &theirs[..8];
    let answer = station.typed(ADA, &format!("!ban {uid}")).await;
    assert_eq!(answer, "Ada banned +1XXXXX53250 until it is lifted (ban 1). Withdrawn: 3 queued deliveries.");
    let relay = station.relay("dispatcher");
    relay.dispatch(&Budget::door(PATIENCE, None, relay.room_names())).await.unwrap();
    station
        .sim
        .wait_for(|l| l.iter().any(|line| line.text == Some(dressed("of another", &other))), PATIENCE)
        .await
        .unwrap();
    let causes = "select state || ' ' || cause from deliveries where state = 'withdrawn'";
    assert_eq!(station.column(causes).await, ["withdrawn its sender is banned"; 3]);
    let mut station = station;
    station.start_dispatcher();
    let (reply, _) = vhost.answer("answers").await;
    assert_eq!((reply["status"].as_str(), reply["reason"].as_str()), (Some("success"), Some("banned")));
    // A replay is no way around it.
    let answer = station.typed(BO, &format!("!replay {uid}")).await;
    assert!(answer.contains("its sender is banned"), "{answer}");
    for posted in station.texts() {
        assert!(!["one", "two", "three"].iter().any(|word| posted.starts_with(&format!("\"{word}"))), "{posted}");
    }
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rate_limit_put_back_is_withdrawn_by_a_ban() {
    let mut station = Station::with(with("")).await;
    let theirs = uid();
    let limit = What::Status { code: 429, retry_after: None, shown: false };
    station.sim.fault(Fault { containing: Some("limited".to_owned()), ..Fault::always(limit) });
    station.consume(&[text_from(NUMBER, &theirs, "limited")]).await;
    let waits = "select d.state || ' ' || d.begun || ' ' || d.sent from deliveries d join messages m using (uid)
                 where m.door = 'rabbitmq'";
    station.until(waits, &["queued true 0"]).await;
    station.done(ADA, &format!("!ban {theirs}")).await;
    assert_eq!(station.column(waits).await, ["withdrawn true 0"]);
    station.sim.clear_faults();
    station.start_dispatcher();
    let told = "Ada banned +1XXXXX53250 until it is lifted (ban 1). Withdrawn: 1 queued delivery.";
    station.sim.wait_for(|lines| lines.iter().any(|line| line.text.as_deref() == Some(told)), PATIENCE).await.unwrap();
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending')", &["0"]).await;
    assert!(!station.texts().iter().any(|text| text.contains("limited")), "{:?}", station.texts());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_set_aside_is_withdrawn_by_a_ban() {
    let lanes = "set_aside_delays = [\"5m\", \"5m\", \"5m\"]".to_owned();
    let mut station = Station::with(Setup { lanes, ..with("") }).await;
    station.start_dispatcher();
    let theirs = uid();
    let failing = What::Status { code: 500, retry_after: None, shown: false };
    station.sim.fault(Fault { containing: Some("poison".to_owned()), ..Fault::always(failing) });
    station.consume(&[text_from(NUMBER, &theirs, "poison"), text_from(OTHER, &uid(), "of another")]).await;
    let state = "select d.state || ' ' || d.begun from deliveries d where d.uid in
                 (select uid from messages where body = 'poison')";
    station.until(state, &["scheduled true"]).await;
    let answer = station.typed(ADA, &format!("!ban {theirs}")).await;
    assert!(answer.ends_with(" Withdrawn: 1 queued delivery."), "{answer}");
    assert_eq!(station.column(state).await, ["withdrawn true"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_term_ends_by_itself_and_the_next_ban_is_a_new_one() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let first = uid();
    station.consume(&[text_from(NUMBER, &first, "first")]).await;
    station.typed(ADA, &format!("!ban {first} for 1s")).await;
    station.until("select (until <= clock_timestamp())::text from bans", &["true"]).await;
    assert_eq!(station.typed(BO, "!bans").await, "Nobody is banned.");
    let later = uid();
    station.consume(&[text_from(NUMBER, &later, "later")]).await;
    assert_eq!(station.column(VERDICTS).await, ["accepted", "accepted"]);
    // Also by a uid of before.
    let again = station.typed(BO, &format!("!ban {first}")).await;
    assert!(again.contains("Bo banned") && again.contains("(ban 2)"), "{again}");
    assert_eq!(station.column("select (lifted_at = until)::text from bans where id = 1").await, ["true"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_uid_means_the_most_recent_message_and_one_without_a_sender_is_said() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let (older, newer) = ("abcd1234-0000-4000-8000-000000000001", "abcd1234-0000-4000-8000-000000000002");
    station.consume(&[text_from(OTHER, older, "older")]).await;
    station.consume(&[text_from(NUMBER, newer, "newer")]).await;
    let answer = station.typed(ADA, "!ban ABCD1234").await;
    assert!(answer.starts_with("Ada banned +1XXXXX53250"), "{answer}");
    assert!(answer.contains("2 messages have that uid: this is about the most recent"), "{answer}");
    let answer = station.typed(ADA, &format!("!ban {older}")).await;
    assert_eq!(answer, "Ada banned +1XXXXX50001 until it is lifted (ban 2).");
    let body = serde_json::json!({ "body": "of a machine", "wbor_message_id": "0f0f0f0f-0000-4000-8000-000000000003" });
    station.consume(&[Station::message("source.standard", &body)]).await;
    // What only begins as a term does is a reason.
    station.typed(ADA, "!unban 2").await;
    station.typed(ADA, &format!("!ban {older} for spamming")).await;
    assert_eq!(station.typed(ADA, "!bans").await, "3 +1XXXXX50001, by Ada: for spamming\n1 +1XXXXX53250, by Ada");
    let answer = station.typed(ADA, "!ban 0f0f0f0f").await;
    assert_eq!(answer, "That message has no sender: it came from source.standard, which cannot be banned.");
    assert_eq!(station.typed(ADA, "!ban 99999999").await, "I know no message with that uid.");
    for wrong in ["!ban", "!ban abcd1234 for", "!ban abcd1234 for 7", "!unban", "!bans x"] {
        assert!(station.typed(ADA, wrong).await.starts_with("Usage: !"), "{wrong}");
    }
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_learns_the_callbacks_address_can_ban_nobody() {
    let mut station = Station::with(proving("")).await;
    station.start_dispatcher();
    let first = uid();
    station.consume(&[text_from(NUMBER, &first, "first")]).await;
    let forged = serde_json::json!({
        "attachments": [], "created_at": jiff::Timestamp::now().as_second(), "group_id": crate::station::GROUP,
        "id": "forged-1", "name": "Ada", "sender_id": "7", "sender_type": "user", "system": false,
        "text": format!("!ban {first}"), "user_id": "7",
    });
    assert_eq!(station.call(&forged).await, 200);
    // It is looked for again: GroupMe may show a line late.
    let looks = "select (count(*) > 1)::text from api_calls where operation = 'read' and request->>'line' = 'forged-1'";
    station.until(looks, &["true"]).await;
    station.db().await.batch_execute("update commands set at = at - interval '10 s'").await.unwrap();
    station.until("select outcome from commands", &["unproved"]).await;
    assert_eq!(station.column("select count(*)::text from bans").await, ["0"]);
    let told = "!ban was asked for by a line that GroupMe does not have: it is not done.";
    station.sim.wait_for(|lines| lines.iter().any(|line| line.text.as_deref() == Some(told)), PATIENCE).await.unwrap();
    // The same, said by a member, is there.
    assert!(station.typed(ADA, &format!("!ban {first}")).await.starts_with("Ada banned"));
    let read = "select distinct outcome from api_calls where operation = 'read' and request->>'line' <> 'forged-1'";
    assert_eq!(station.column(read).await, ["ok"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_erased_is_banned_by_an_old_uid_as_anybody() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let first = uid();
    station.consume(&[text_from(NUMBER, &first, "first")]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.relay("operator").erase(NUMBER).await.unwrap();
    let answer = station.typed(ADA, &format!("!ban {first}")).await;
    assert_eq!(answer, "Ada banned somebody who was erased until it is lifted (ban 1).");
    station.consume(&[text_from(NUMBER, &uid(), "second")]).await;
    assert_eq!(station.column(VERDICTS).await, ["accepted", "banned"]);
    assert_eq!(station.typed(BO, "!bans").await, "1 somebody who was erased, by Ada");
    assert_eq!(station.typed(BO, &format!("!unban {first}")).await, "Bo lifted ban 1 of somebody who was erased.");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_end_is_told_that_the_text_of_somebody_banned_needs_no_more() {
    let front_end = FrontEnd::answering(&[200]).await;
    let mut station = Station::with(Setup { vars: vec![("ACK_URL", front_end.url())], ..with("") }).await;
    station.start_dispatcher();
    let (first, second) = (uid(), uid());
    station.consume(&[text_from(NUMBER, &first, "first")]).await;
    station.typed(ADA, &format!("!ban {first}")).await;
    station.consume(&[text_from(NUMBER, &second, "second")]).await;
    station
        .until(
            "select distinct outcome from api_calls where operation = 'ack' and uid in
                   (select uid from messages where verdict = 'banned')",
            &["ok"],
        )
        .await;
    assert!(front_end.heard().iter().any(|ack| ack.to_string().contains(&second)), "{:?}", front_end.heard());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_comes_twice_bans_once_and_is_answered_once() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let first = uid();
    station.consume(&[text_from(NUMBER, &first, "first")]).await;
    let line = super::hostile::line("twice", &format!("!ban {first} for 7d"), 0);
    for _ in 0..2 {
        assert_eq!(station.call(&line).await, 200);
    }
    station.until("select state || ' ' || outcome from commands", &["told done"]).await;
    assert_eq!(station.call(&line).await, 200);
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.texts().iter().filter(|text| text.contains("ban 1")).count(), 1, "{:?}", station.texts());
    assert_eq!(station.column("select count(*)::text from bans").await, ["1"]);
    station.end().await;
}
