//! Everything at once, at random: holders that die, answers that come late, lines seen before, after and never, records
//! of producers, replays, sweeps. Afterwards the counters must say what the parts say, and nothing may be stuck.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use talkback::chat::Line;
use talkback::relay::Relay;
use talkback::store::lanes::{CallReport, Claim, Claimed, Outcome};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::lanes::{called, record_and_claim, record_and_release};
use crate::station::{GROUP, Setup, Station};

/// Sequences of numbers that differ each time.
struct Dice(u128);

impl Dice {
    fn new() -> Self {
        Self(Uuid::new_v4().as_u128())
    }

    fn below(&mut self, n: u128) -> u128 {
        self.0 = self.0.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x5851_F42D_4C95_7F2D);
        (self.0 >> 64) % n
    }

    fn one_in(&mut self, n: u128) -> bool {
        self.below(n) == 0
    }
}

fn report(claimed: &Claimed, outcome: Outcome) -> CallReport<'_> {
    CallReport { pause: Duration::from_millis(5), ..called(claimed, outcome) }
}

fn seen(text: &str) -> Line {
    let line = json!({
        "group_id": GROUP, "id": Uuid::new_v4().to_string(), "sender_type": "bot", "text": text,
        "created_at": jiff::Timestamp::now().as_second(),
    });
    Line::read(&line).unwrap()
}

/// One holder: takes a lane, and does with each part whatever may happen to it. Errors of the database are part of it.
async fn holder(relay: Relay, stop: Arc<AtomicBool>) {
    let mut dice = Dice::new();
    let mut late: Vec<(String, Claimed, Outcome)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let token = Uuid::new_v4().to_string();
        let Ok(Some((room, mut claim))) = relay.store.take(&token, &relay.room_names(), &relay.settings.lanes).await
        else {
            sleep(Duration::from_millis(2)).await;
            continue;
        };
        for _ in 0..10 {
            let claimed = match claim {
                Claim::Post(claimed) => claimed,
                Claim::Settled { .. } => match relay.store.claim(&token, &room, &relay.settings.lanes, None).await {
                    Ok(next) => {
                        claim = next;
                        continue;
                    }
                    Err(_) => break,
                },
                _ => break,
            };
            if dice.one_in(12) {
                drop(relay.store.disown(&token, None).await);
                break;
            }
            let outcome = match dice.below(20) {
                0..12 => Outcome::Posted,
                12 => Outcome::Refused,
                13..15 => Outcome::Retry,
                15 => Outcome::Limited,
                _ => Outcome::Unknown,
            };
            // Half of all that may be in the room is seen in it: before the answer, after it, or much later.
            let shown = matches!(outcome, Outcome::Posted | Outcome::Unknown) && dice.one_in(2);
            if shown && dice.one_in(2) {
                drop(relay.hear(&seen(&claimed.text)).await);
            }
            if dice.one_in(10) {
                // Frozen: somebody else takes the lane, and the answer comes late.
                late.push((token.clone(), claimed, outcome));
                break;
            }
            if shown {
                drop(relay.hear(&seen(&claimed.text)).await);
            }
            match record_and_claim(&relay, &token, &report(&claimed, outcome)).await {
                Ok((_, next)) => claim = next,
                Err(_) => break,
            }
        }
        if !dice.one_in(8) {
            drop(relay.store.release(&token).await);
        }
        if late.len() > 3 || dice.one_in(5) {
            for (token, claimed, outcome) in late.drain(..) {
                drop(record_and_release(&relay, &token, &report(&claimed, outcome)).await);
            }
        }
    }
}

/// Producers, people and sweeps.
async fn the_rest(relay: Relay, stop: Arc<AtomicBool>) {
    let mut dice = Dice::new();
    let mut uids: Vec<String> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let messages: Vec<serde_json::Value> = (0..3)
            .map(|_| {
                let uid = Uuid::new_v4().to_string();
                let body = format!("{} {uid}", "word ".repeat(usize::try_from(dice.below(500)).unwrap()));
                let mut message = json!({ "body": body, "wbor_message_id": uid });
                if dice.one_in(5) {
                    let soon = jiff::Timestamp::now() + Duration::from_millis(200);
                    message["expires_at"] = json!(soon.to_string());
                }
                uids.push(uid);
                Station::message("source.standard", &message)
            })
            .collect();
        let records =
            |messages: &[serde_json::Value]| talkback::amqp_event::read_event(&Station::batch(messages)).unwrap();
        drop(relay.take_in(records(&messages), jiff::Timestamp::now()).await);
        let uid = uids[usize::try_from(dice.below(uids.len() as u128)).unwrap()].clone();
        if dice.one_in(4) {
            let posted =
                json!({ "text": "by its producer", "code": 202, "wbor_message_id": uid, "bot_id": "bot-number-0" });
            let posted = records(&[Station::message("source.groupme.msg", &posted)]);
            drop(relay.take_in(posted, jiff::Timestamp::now()).await);
        } else if dice.one_in(3) {
            drop(relay.store.replay(&uid).await);
        }
        drop(relay.tend_once().await);
        sleep(Duration::from_millis(100)).await;
    }
}

/// Deliveries whose counters do not say what their parts say.
pub const WRONG: &str = "
select d.id || ' ' || d.state || ' says ' || d.sent || ' sent, ' || d.unsure || ' unsure, ' || d.confirmed || ' confirmed'
from deliveries d cross join lateral (
  select count(*) filter (where p.state in ('sent', 'confirmed')) as sent,
         count(*) filter (where p.state = 'unconfirmed') as unsure,
         count(*) filter (where p.state = 'confirmed') as confirmed, count(*) as parts
  from parts p where p.delivery = d.id) p
where p.parts > 0 and (d.sent, d.unsure, d.confirmed, d.parts) <> (p.sent, p.unsure, p.confirmed, p.parts)
   or d.state = 'confirmed' and d.confirmed < d.parts
   or d.state in ('sent', 'unconfirmed') and d.sent + d.unsure < d.parts
      and not exists (select 1 from delivery_events e where e.delivery = d.id and e.cause = 'its producer posted it')
   or d.state in ('queued', 'scheduled', 'failed', 'withdrawn') and d.sent >= d.parts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_things_race_the_counters_say_what_the_parts_say_and_nothing_is_stuck() {
    let lanes = r#"
lease = "400ms"
http = "100ms"
margin = "50ms"
window = "100ms"
unconfirmed_after = "300ms"
pause_min = "5ms"
pause_max = "20ms"
slow_for = "50ms"
quantum = "500ms"
set_aside_delays = ["50ms"]
stay_unknown_deadline = "2s"
poll = "50ms"
statement_timeout = "390ms"
"#;
    // Eight rooms, four of them in one group, where each bot's line is heard for all.
    let names: Vec<String> = (0..8).map(|n| format!("room{n}")).collect();
    let mut rooms = String::new();
    for (n, name) in names.iter().enumerate() {
        let group = if n < 4 { GROUP.to_owned() } else { format!("{n}") };
        let unknown = if n % 2 == 0 { "give_up" } else { "resend" };
        rooms += &format!(
            "[[rooms]]\nname = \"{name}\"\nbot_id = \"bot-number-{n}\"\ngroup = \"{group}\"\npace = \"1ms\"\nburst = 5\n\
             dress = \"plain\"\nunknown = \"{unknown}\"\n"
        );
    }
    rooms += &format!("[[routes]]\npattern = \"source.#\"\nrooms = {names:?}\n");
    let bots =
        (0..8).map(|n| (format!("bot-number-{n}"), if n < 4 { GROUP.to_owned() } else { format!("{n}") })).collect();
    let mut station = Station::with(Setup { rooms, callbacks: false, bots, ..Setup::default() }).await;
    let config = station.vars["TALKBACK_CONFIG"].clone();
    let (head, _) = config.split_once("[lanes]").unwrap();
    station.vars.insert("TALKBACK_CONFIG".into(), format!("{head}[lanes]{lanes}"));
    station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let relay = station.relay("dispatcher");
    relay.wake().await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(tokio::spawn(holder(station.relay("dispatcher"), Arc::clone(&stop))));
    }
    tasks.push(tokio::spawn(the_rest(station.relay("rabbitmq-consumer"), Arc::clone(&stop))));
    let storm = Instant::now() + Duration::from_secs(4);
    timeout(Duration::from_secs(10), tokio::time::sleep_until(storm)).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    station.until(WRONG, &[]).await;
    // Now everything goes well: what is left comes to its end.
    station.start_dispatcher();
    let stuck = "select distinct d.state from deliveries d
                 where d.state in ('queued', 'sending', 'scheduled', 'held')
                    or exists (select 1 from parts p where p.delivery = d.id and p.state = 'posting')";
    station.until(stuck, &[]).await;
    station.until(WRONG, &[]).await;
    station
        .until("select (count(*) > 50)::text from deliveries where state = 'confirmed' or state = 'sent'", &["true"])
        .await;
    let client = station.db().await;
    let changes = "select distinct old_state, new_state from delivery_events where old_state is not null";
    for row in client.query(changes, &[]).await.unwrap() {
        let state = |at: usize| talkback::delivery::DeliveryState::parse(row.get::<_, &str>(at)).unwrap();
        assert!(state(0).may_become(state(1)), "{} -> {}", state(0), state(1));
    }
    station.end().await;
}
