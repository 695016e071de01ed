//! Whether GroupMe has what came by its callback's address; and commands that nobody could finish at once.
use groupme_sim::{Endpoint, Fault, What};
use serde_json::{Value, json};

use super::hostile::line;
use super::{ADA, proving, with};
use crate::station::{GROUP, PATIENCE, Setup, Station};

fn not_shown_yet() -> What {
    // "Nothing new", as GroupMe says it.
    What::Status { code: 304, retry_after: None, shown: false }
}

fn away() -> Fault {
    Fault::always(What::Status { code: 503, retry_after: None, shown: false })
}

fn removal(id: &str) -> Value {
    json!({
        "attachments": [], "created_at": jiff::Timestamp::now().as_second(), "group_id": GROUP, "id": id,
        "name": "GroupMe", "sender_id": "system", "sender_type": "system", "system": true, "user_id": "system",
        "text": "Ada removed Talkback", "event": { "type": "bot.del", "data": { "bot": "Talkback" } },
    })
}

async fn told(station: &Station, text: &str) {
    let there = |lines: &[groupme_sim::Line]| lines.iter().any(|line| line.text.as_deref() == Some(text));
    station.sim.wait_for(there, PATIENCE).await.unwrap_or_else(|instead| panic!("{text}: {instead}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_groupme_shows_a_little_later_is_obeyed() {
    let mut station = Station::with(proving("")).await;
    station.sim.fault_at(Endpoint::Messages, Fault::once(not_shown_yet()));
    station.sim.say(GROUP, ADA.0, ADA.1, "!cancel 12345678").await;
    station.until("select state || ' ' || handed from commands", &["due true"]).await;
    station.start_dispatcher();
    told(&station, "I know no message with that uid.").await;
    assert_eq!(station.outcomes().await, ["cancel none"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groupme_that_is_silent_holds_up_neither_other_commands_nor_the_sweep() {
    // A minute that is longer than all of them would wait one after the other.
    let lanes = "stay_unknown_deadline = \"120s\"".to_owned();
    let mut station = Station::with(Setup { lanes, ..proving("") }).await;
    station.sim.fault_at(Endpoint::Messages, Fault::always(What::Silence { shown: false }));
    for n in 0..8 {
        assert_eq!(station.call(&line(&format!("silent-{n}"), "!cancel 12345678", 0)).await, 200);
    }
    // Behind them one that asks nobody, and whose function died.
    assert_eq!(station.call(&line("ping", "!ping", 0)).await, 200);
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let died = "delete from parts; delete from deliveries; delete from messages;
                update commands set at = at - interval '3 s';
                update commands set state = 'due', outcome = null, reply_sealed = null where line_id = 'ping'";
    let db = station.db().await;
    db.batch_execute(died).await.unwrap();
    station.start_dispatcher();
    station.until("select state from commands where line_id = 'ping'", &["told"]).await;
    // And what only the sweep does is done while they wait.
    station.done_by_sweep().await;
    assert_eq!(station.column("select distinct state from commands where line_id <> 'ping'").await, ["due"]);
    // It would wait for GroupMe until its minute ends.
    station.sim.clear_faults();
    db.batch_execute("update commands set at = at - interval '1 min'").await.unwrap();
    station.until("select distinct state from commands", &["told"]).await;
    station.end().await;
}

impl Station {
    /// A mute ends, and the room is told.
    async fn done_by_sweep(&self) {
        let over = "insert into mutes (pattern, matches, room, muted_by_sealed, until)
                    values ('x', '^x$', 'staff', '', clock_timestamp())";
        self.db().await.batch_execute(over).await.unwrap();
        told(self, "The mute of x is over: nothing was held.").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_groupme_could_not_be_asked_about_in_time_is_left_and_that_is_said() {
    let mut station = Station::with(proving("")).await;
    station.sim.fault_at(Endpoint::Messages, away());
    station.sim.say(GROUP, ADA.0, ADA.1, "!cancel 12345678").await;
    station.until("select state || ' ' || handed from commands", &["due true"]).await;
    station.db().await.batch_execute("update commands set at = at - interval '5 min'").await.unwrap();
    station.start_dispatcher();
    told(&station, "!cancel could not be done within five minutes, and is left: type it again.").await;
    assert_eq!(station.outcomes().await, ["cancel stale"]);
    station.sim.clear_faults();
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_its_time_proves_nothing_and_grows_stale_as_any() {
    let mut station = Station::with(proving("")).await;
    let without = |id: &str, text: &str| {
        let mut line = line(id, text, 0);
        line.as_object_mut().unwrap().remove("created_at");
        line
    };
    // The room has more lines than are ever read back, so that nothing could be found out.
    assert_eq!(station.call(&without("acts", "!cancel 12345678")).await, 200);
    station.until("select state || ' ' || handed from commands", &["due true"]).await;
    assert_eq!(station.column("select count(*)::text from api_calls where operation = 'read'").await, ["0"]);
    assert_eq!(station.call(&without("looks", "!ping")).await, 200);
    station.until("select outcome from commands where line_id = 'looks'", &["done"]).await;
    let old = "update commands set at = at - interval '301 s', state = 'due', outcome = null, reply_sealed = null";
    station.db().await.batch_execute(old).await.unwrap();
    station.start_dispatcher();
    station.until("select distinct state || ' ' || outcome from commands", &["told stale"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_stored_as_a_line_and_not_as_a_command_is_done() {
    let mut station = Station::with(with("")).await;
    assert_eq!(station.call(&line("died", "!ping", 0)).await, 200);
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let died = "delete from parts; delete from deliveries; delete from messages; delete from commands;
                update groupme_callbacks set received_at = received_at - interval '3 s'";
    station.db().await.batch_execute(died).await.unwrap();
    station.start_dispatcher();
    station.until("select line_id || ' ' || state || ' ' || outcome from commands", &["died told done"]).await;
    // One as old as that is left.
    assert_eq!(station.call(&line("old", "!ping", 0)).await, 200);
    station.stop_dispatcher().await;
    let old = "delete from commands where line_id = 'old';
               update groupme_callbacks set received_at = received_at - interval '6 min' where line_id = 'old'";
    station.db().await.batch_execute(old).await.unwrap();
    let open = station.relay("story").store.open_commands().await.unwrap();
    assert!(open.is_empty(), "{} commands", open.len());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_learns_the_callbacks_address_cannot_stop_a_room() {
    let station = Station::with(proving("")).await;
    assert_eq!(station.call(&removal("forged")).await, 200);
    assert_eq!(station.column("select state from rooms").await, ["open"]);
    // Nor with the id and the words of a line that is there.
    let said = station.sim.say(GROUP, ADA.0, ADA.1, "Ada removed Talkback").await;
    let mut forged = removal(&said);
    forged["user_id"] = json!(ADA.0);
    assert_eq!(station.call(&forged).await, 200);
    assert_eq!(station.column("select state from rooms").await, ["open"]);
    let event = json!({ "type": "bot.del", "data": { "bot": "Talkback" } });
    station.sim.say_as_system(GROUP, "Ada removed Talkback", Some(event)).await;
    station.until("select state from rooms", &["paused"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_comes_again_pauses_what_was_not_and_not_what_was_opened_since() {
    let station = Station::with(with("")).await;
    let line = removal("removal");
    assert_eq!(station.call(&line).await, 200);
    let state = "select state from rooms";
    assert_eq!(station.column(state).await, ["paused"]);
    // As if it had failed the first time.
    let failed = "update rooms set state = 'open', state_since = (select min(received_at) from groupme_callbacks) - interval '1 s'";
    station.db().await.batch_execute(failed).await.unwrap();
    assert_eq!(station.call(&line).await, 200);
    assert_eq!(station.column(state).await, ["paused"]);
    let relay = station.relay("operator");
    assert_eq!(operator::run(&relay, &["resume", "staff"]).await.unwrap(), "staff is open again");
    assert_eq!(station.call(&line).await, 200);
    assert_eq!(station.column(state).await, ["open"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_are_one_too_many_one_is_warned() {
    let station = Station::with(super::races::patient()).await;
    for n in 0..20 {
        assert_eq!(station.call(&line(&format!("n{n}"), "!ping", 0)).await, 200);
    }
    // Both have found that nobody was warned, and wait for each other.
    let warning = station.db().await;
    warning
        .batch_execute("begin; select pg_advisory_xact_lock(10, get_byte(author_hash, 0)) from commands limit 1")
        .await
        .unwrap();
    let relay = station.relay("story");
    let too_many = async |id: &str| {
        let line = talkback::chat::Line::read(&line(id, "!ping", 0)).unwrap();
        relay.hear(&line).await.map(drop).unwrap();
    };
    let release = async {
        station.locked("2").await;
        warning.batch_execute("commit").await.unwrap();
    };
    tokio::join!(too_many("n20"), too_many("n21"), release);
    let counts = "select outcome || ' ' || count(*) from commands group by outcome order by outcome";
    assert_eq!(station.column(counts).await, ["done 20", "ignored 1", "warned 1"]);
    station.end().await;
}
