//! Rooms as a whole: a wrong one is suspended and said, one does not hold up another, all keep their pace.
use std::time::Duration;

use groupme_sim::Fault;
use serde_json::Value;
use talkback::relay::dispatch::Budget;

use crate::lanes::{STATES, message, said, status};
use crate::station::{BOT, MEMBER, Setup, Station, usual_rooms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_room_is_suspended_nothing_fails_and_a_mended_configuration_resumes_it() {
    for code in [401, 404] {
        let mut station = Station::open().await;
        station.sim.fault(Fault::always(status(code)));
        station.consume(&[message("a"), message("b")]).await;
        station.until("select state || ' ' || state_reason from rooms", &[&format!("suspended HTTP {code}")]).await;
        station.until(STATES, &["queued", "queued"]).await;
        let posts = station.sim.posts().len();
        assert_eq!(posts, 1, "a suspended room is left alone");
        station.sim.clear_faults();
        // The same bot in the same room, but the token changed: the configuration is another one.
        station.vars.insert("GROUPME_ACCESS_TOKEN".into(), MEMBER.into());
        station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
        station.start_dispatcher();
        station.until(STATES, &["confirmed", "confirmed"]).await;
        assert_eq!(said(&station), ["a", "b"]);
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_rooms_are_told_of_a_suspended_one() {
    let rooms = format!(
        "{}\n[[rooms]]\nname = \"tech\"\nbot_id = \"0therb0t0therb0t\"\ngroup = \"777\"\npace = \"20ms\"\n",
        usual_rooms("20ms", 3)
    );
    let bots = vec![("0therb0t0therb0t".to_owned(), "777".to_owned())];
    let mut station = Station::with(Setup { rooms, bots, ..Setup::default() }).await;
    station.sim.fault(Fault { bot_id: Some(BOT.into()), ..Fault::always(status(404)) });
    station.consume(&[message("a")]).await;
    station.start_dispatcher();
    let told = |lines: &[groupme_sim::Line]| {
        lines.iter().any(|l| l.group_id == "777" && l.text.as_deref().is_some_and(|t| t.contains("staff")))
    };
    station.sim.wait_for(told, crate::station::PATIENCE).await.unwrap();
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_room_does_not_hold_up_another() {
    let rooms = format!(
        "{}\n[[rooms]]\nname = \"tech\"\nbot_id = \"0therb0t0therb0t\"\ngroup = \"777\"\npace = \"20ms\"\n",
        usual_rooms("20ms", 3)
            .replace("\"source.#\"\nrooms = [\"staff\"]", "\"source.#\"\nrooms = [\"staff\", \"tech\"]")
    );
    let bots = vec![("0therb0t0therb0t".to_owned(), "777".to_owned())];
    let mut station = Station::with(Setup { rooms, bots, ..Setup::default() }).await;
    station.sim.fault(Fault { bot_id: Some(BOT.into()), ..Fault::always(status(429)) });
    station.start_dispatcher();
    let batch: Vec<Value> = (0..5).map(|n| message(&format!("{n}"))).collect();
    station.consume(&batch).await;
    station.until("select state from deliveries where room = 'tech'", &["confirmed"; 5]).await;
    station.until("select distinct state from deliveries where room = 'staff'", &["queued"]).await;
    station.sim.clear_faults();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(said(&station), ["0", "1", "2", "3", "4"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_instances_together_never_post_faster_than_the_rooms_pace() {
    let pace = Duration::from_millis(60);
    let burst = 3;
    let mut station = Station::with(Setup { rooms: usual_rooms("60ms", burst), ..Setup::default() }).await;
    let batch: Vec<Value> = (0..40).map(|n| message(&format!("{n:02}"))).collect();
    station.start_dispatcher();
    let second = station.relay("dispatcher");
    let other = async {
        let rooms = second.room_names();
        second.dispatch(&Budget::door(Duration::from_secs(4), None, rooms)).await.unwrap();
    };
    tokio::join!(station.consume(&batch[..20]), station.consume(&batch[20..]), other);
    let lines = station.lines(40).await;
    // The arrival may be early by the jitter of the network, never by a post.
    let slack = Duration::from_millis(15);
    for (n, line) in lines.iter().enumerate() {
        for (k, earlier) in lines[..n].iter().enumerate() {
            let gap = u32::try_from(n - k).unwrap();
            let least = pace * gap.saturating_sub(burst - 1);
            let least = least.saturating_sub(pace);
            assert!(line.at.duration_since(earlier.at) + slack >= least, "lines {k} and {n}");
        }
    }
    station.end().await;
}
