//! What can be asked and done in the chat besides banning.
use groupme_sim::{Fault, Line, What};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ADA, BO, proving, text_from, with};
use crate::station::{GROUP, PATIENCE, Setup, Station};
use crate::vhost::Vhost;

const NUMBER: &str = "+12075553250";
const EXCHANGE: &str = "[[exchanges]]\nname = \"source_exchange\"\npatterns = [\"source.#\"]\ndeclare = true\n";

fn standard(uid: &str, text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid }))
}

fn refused(containing: &str) -> Fault {
    Fault {
        containing: Some(containing.to_owned()),
        ..Fault::always(What::Status { code: 400, retry_after: None, shown: false })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sent_it_is_shown_in_the_room_and_nowhere_in_plain() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    let (first, second) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    station.consume(&[text_from(NUMBER, &first, "hello"), text_from(NUMBER, &second, "again")]).await;
    let answer = station.typed(ADA, &format!("!who {}", &first[..8])).await;
    let wanted = format!("{}: Grace Hopper, +1XXXXX53250, PORTLAND, ME\n2 messages, first ", &first[..8]);
    assert!(answer.starts_with(&wanted), "{answer}");
    // The room's own line confirms what is sealed.
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let kept =
        "select (m.body is null)::text || (m.body_sealed is not null) || ' ' || p.text || (p.text_sealed is not null)
                from messages m join deliveries d using (uid) join parts p on p.delivery = d.id where m.door = 'chat'";
    assert_eq!(station.column(kept).await, ["truetrue true"]);
    let request = "select (request->>'text_length') || (request ? 'text')::text from api_calls c
                   join messages m using (uid) where m.door = 'chat' and c.operation = 'post'";
    assert_eq!(station.column(request).await, [format!("{}false", answer.chars().count())]);
    let machine = Uuid::new_v4().to_string();
    station.consume(&[standard(&machine, "door open")]).await;
    let answer = station.typed(ADA, &format!("!who {machine}")).await;
    assert_eq!(answer, format!("{} came from source.standard, and names no sender.", &machine[..8]));
    assert_eq!(station.typed(ADA, "!who").await, "Usage: !who <uid>");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_shown_and_sent_again_by_hand() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    assert_eq!(station.typed(ADA, "!failed").await, "Nothing failed, expired or is unconfirmed.");
    station.sim.fault(refused("never"));
    let uids: Vec<String> = (0..2).map(|_| Uuid::new_v4().to_string()).collect();
    station.consume(&[standard(&uids[0], "never one"), standard(&uids[1], "never two")]).await;
    station.until("select state from deliveries where state = 'failed'", &["failed"; 2]).await;
    let listed = station.typed(ADA, "!failed").await;
    for uid in &uids {
        assert!(listed.contains(&format!("{} failed from source.standard", &uid[..8])), "{listed}");
    }
    assert!(listed.contains("in staff: refused by the provider"), "{listed}");
    station.sim.clear_faults();
    // What is sent again may be posted before that is said.
    let said = async |command: &str, wanted: String| {
        station.sim.say(GROUP, BO.0, BO.1, command).await;
        let there = |lines: &[Line]| lines.iter().any(|line| line.text.as_ref() == Some(&wanted));
        station.sim.wait_for(there, PATIENCE).await.unwrap_or_else(|instead| panic!("{wanted}: {instead}"));
    };
    said(&format!("!replay {}", &uids[0][..8]), format!("Bo sends {} again.", &uids[0][..8])).await;
    station.until("select count(*)::text from deliveries where state = 'failed'", &["1"]).await;
    station.until("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent')", &["0"]).await;
    said("!replay failed", "Bo sends 1 message again.".to_owned()).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.typed(BO, "!replay failed").await, "Nothing failed that could be sent again.");
    assert!(station.typed(BO, "!replay 99999999").await.starts_with("I know no message"));
    assert_eq!(station.typed(BO, "!replay").await, "Usage: !replay <uid>|failed");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_can_be_withdrawn_and_its_producer_need_not_post_it() {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let vars = vec![("AMQP_URL", vhost.url())];
    let mut station = Station::with(Setup { vars, ..with("") }).await;
    let uid = Uuid::new_v4().to_string();
    station.take_in(&[crate::answers::asking(standard(&uid, "a mistake"), "answers", "c")]).await;
    let short = &uid[..8];
    assert_eq!(station.typed(ADA, &format!("!cancel {short}")).await, format!("Ada withdrew {short}."));
    assert_eq!(station.typed(BO, &format!("!cancel {short}")).await, format!("Nothing of {short} waits to be posted."));
    station.start_dispatcher();
    assert_eq!(vhost.answer("answers").await.0["status"], "success");
    assert!(!station.said().iter().any(|text| text.contains("a mistake")));
    let cause = "select state || ' ' || cause from deliveries d join messages m using (uid) where m.door = 'rabbitmq'";
    assert_eq!(station.column(cause).await, ["withdrawn withdrawn by hand"]);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_the_relay_is_one_short_post() {
    let vhost = Vhost::new().await;
    let vars = vec![("AMQP_URL", vhost.url())];
    let mut station = Station::with(Setup { vars, ..with("") }).await;
    station.start_dispatcher();
    let answer = station.typed(ADA, "!status").await;
    assert!(answer.starts_with("staff: open, 0 queued\ndatabase: well · broker: "), "{answer}");
    assert!(answer.ends_with(concat!("version ", env!("CARGO_PKG_VERSION"))), "{answer}");
    let without = Station::with(with("")).await;
    assert!(without.typed(ADA, "!status").await.contains("broker: none"));
    without.end().await;
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_is_cleared_and_who_may_publishes_with_a_confirm() {
    let vhost = Vhost::new().await;
    vhost.exchange("source_exchange").await;
    for (queue, pattern) in [("dashboard", "source.groupme.dashboard.clear"), ("studio", "studio.#")] {
        vhost.queue(queue).await;
        vhost.bind("source_exchange", queue, pattern).await;
    }
    let chat = "[chat]\npublish = [\"7\"]\npublish_keys = [\"studio.*\", \"source.#\"]\n";
    let setup = proving(&format!("{EXCHANGE}{chat}"));
    let vars = [setup.vars.clone(), vec![("AMQP_URL", vhost.url())]].concat();
    let mut station = Station::with(Setup { vars, ..setup }).await;
    station.start_dispatcher();
    assert_eq!(station.typed(BO, "!clear").await, "Bo cleared the dashboard.");
    let cleared: Value = serde_json::from_slice(&vhost.next("dashboard").await.body).unwrap();
    assert_eq!(cleared["type"], "dashboard.clear");
    assert_eq!(station.typed(ADA, "!publish studio.lamp \"on air\"").await, "Ada published to studio.lamp.");
    assert_eq!(vhost.next("studio").await.body, b"on air");
    // As it was typed, with its blanks and marks; and what begins with a bracket is a text if it is no list.
    for text in ["Say \"hi\"  now", "[on air] since noon"] {
        let answer = station.typed(ADA, &format!("!publish studio.lamp {text}")).await;
        assert_eq!(answer, "Ada published to studio.lamp.");
        let published = vhost.next("studio").await;
        assert_eq!(String::from_utf8(published.body).unwrap(), text);
    }
    let json = "{\"lamp\":  \"on\", \"n\": [1, 2]}";
    assert_eq!(station.typed(ADA, &format!("!publish studio.lamp {json}")).await, "Ada published to studio.lamp.");
    assert_eq!(vhost.next("studio").await.body, json.as_bytes());
    let refused = [
        (BO, "!publish studio.lamp on", "Bo, you may not use !publish here."),
        (ADA, "!publish source.twilio.sms.incoming hi", "That key may not be published from the chat."),
        (ADA, "!publish source.groupme.msg hi", "That key may not be published from the chat."),
        (ADA, "!publish elsewhere.lamp hi", "That key may not be published from the chat."),
        (ADA, "!publish source.nobody hi", "Nobody listens to that key: no queue takes it."),
        (ADA, "!publish studio.lamp {\"lamp\": }", "That is no JSON at column 10."),
        (ADA, "!publish studio.lamp", "Usage: !publish <routing.key> <text or JSON>"),
    ];
    for (who, line, wanted) in refused {
        assert_eq!(station.typed(who, line).await, wanted, "{line}");
    }
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_publishes_by_default_or_without_a_token_and_only_those_on_the_list_act() {
    let mut station = Station::with(with("")).await;
    station.start_dispatcher();
    assert_eq!(station.typed(ADA, "!publish a.b c").await, "Ada, you may not use !publish here.");
    station.end().await;
    let chat = "[chat]\nact = [\"7\"]\npublish = \"everyone\"\npublish_keys = [\"#\"]\n";
    let mut station = Station::with(with(chat)).await;
    station.start_dispatcher();
    let answer = station.typed(ADA, "!publish a.b c").await;
    assert_eq!(answer, "Publishing from the chat needs GROUPME_ACCESS_TOKEN, which is not set.");
    assert_eq!(station.typed(BO, "!cancel abc").await, "Bo, you may not use !cancel here.");
    assert!(station.typed(ADA, "!cancel abc").await.starts_with("I know no message"));
    assert_eq!(station.typed(BO, "!ping").await, "pong");
    assert_eq!(station.outcomes().await, ["publish refused", "cancel refused", "cancel none", "ping done"]);
    station.end().await;
}
