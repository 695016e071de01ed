//! GroupMe at its worst: every status, silence, resets before and after the request was read, lines that are never shown,
//! callbacks that come twice, late, in another order or not at all; one message that it never takes, one that it
//! refuses, a room that it does not know. Two dispatchers and a consumer post meanwhile.
mod reckoning;

use std::time::Duration;

use groupme_sim::{CallbackMode, Fault, What};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::attack::{Tally, attack};
use crate::process::chance::Chance;
use crate::station::{BOT, GROUP, MEMBER, OTHER_BOT, OTHER_GROUP, PATIENCE, Setup, Station, two_rooms};

const ROOMS: [(&str, &str, &str); 2] = [("staff", BOT, GROUP), ("tech", OTHER_BOT, OTHER_GROUP)];

const PACE: Duration = Duration::from_millis(100);

/// How long a room goes at half its pace after a rate limit.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// Words of messages with one, two and three parts.
const WORDS: [u64; 5] = [6, 6, 6, 150, 240];

const LANES: &str = "http = \"500ms\"
unconfirmed_after = \"4s\"
slow_for = \"1s\"
pause_max = \"500ms\"
set_aside_delays = [\"300ms\"]";

/// What is to become of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// All of it is shown.
    Whole,
    /// A part is answered like any other, and never shown.
    Hidden,
    /// GroupMe does not take it, and says so.
    Refused,
    /// It alone fails, however often it is tried.
    Poison,
}

struct Said {
    uid: String,
    room: usize,
    words: Vec<String>,
    fate: Fate,
    /// Rate limits that it meets.
    limits: usize,
    /// One of them says how long to wait.
    waits: bool,
}

fn status(code: u16, shown: bool) -> What {
    What::Status { code, retry_after: None, shown }
}

impl Said {
    fn new(number: usize, chance: &mut Chance) -> Self {
        let words = (0..chance.one_of(&WORDS)).map(|word| format!("m{number:03}w{word:03}")).collect();
        let room = usize::try_from(chance.within(0..2)).unwrap();
        Self { uid: chance.uuid(), room, words, fate: Fate::Whole, limits: 0, waits: false }
    }

    /// A short one that is not to be shown.
    fn doomed(number: usize, chance: &mut Chance, fate: Fate) -> Self {
        let mut said = Self::new(number, chance);
        said.words.truncate(6);
        Self { fate, ..said }
    }

    fn event(&self) -> Value {
        let body = json!({
            "body": self.words.join(" "), "wbor_message_id": self.uid, "rooms": [ROOMS[self.room].0],
        });
        Station::message("source.standard", &body)
    }

    fn fault(&self, station: &Station, word: &str, times: Option<u32>, what: What) {
        let bot_id = Some(ROOMS[self.room].1.to_owned());
        station.sim.fault(Fault { bot_id, containing: Some(word.to_owned()), times, what });
    }

    /// Orders what goes wrong with it. At most two calls of a part end unknown: a third would have it set aside, which is
    /// for the one that never ends otherwise.
    fn order_faults(&mut self, station: &Station, chance: &mut Chance) {
        match self.fate {
            Fate::Refused => return self.fault(station, &self.words[0], None, status(400, false)),
            Fate::Poison => return self.fault(station, &self.words[0], None, status(500, false)),
            Fate::Whole | Fate::Hidden => {}
        }
        for _ in 0..chance.within(1..3) {
            let word = if chance.within(0..2) == 0 { &self.words[0] } else { &self.words[self.words.len() - 1] };
            let (word, shown) = (word.clone(), chance.within(0..2) == 0);
            let kind = chance.within(0..14);
            self.limits += usize::from(kind < 5);
            let what = match kind {
                0 => status(420, false),
                1 => status(429, false),
                2 => {
                    self.waits = true;
                    What::Status { code: 429, retry_after: Some(1), shown: false }
                }
                3 => status(403, false),
                4 => What::MetaCode429,
                5 => status(500, shown),
                6 => status(502, shown),
                7 => status(503, shown),
                8 => status(504, shown),
                9 => What::Silence { shown },
                10 => What::ResetBeforeRead,
                11 => What::ResetAfterRead { shown },
                12 => What::Slow(Duration::from_millis(700)),
                _ => {
                    self.fate = Fate::Hidden;
                    What::NeverShown
                }
            };
            self.fault(station, &word, Some(1), what);
        }
    }
}

/// How an attack's station differs from another's.
struct Ground {
    /// Whether the rooms can be read back.
    readable: bool,
    lanes: &'static str,
    messages: usize,
    /// Of a hundred messages so many meet a fault.
    faulty: u64,
    /// What is not to be shown, among them.
    doomed: &'static [Fate],
}

async fn station(readable: bool, lanes: &str) -> Station {
    let two = two_rooms();
    let rooms = two.rooms.replace("pace = \"20ms\"", &format!("pace = \"{}ms\"", PACE.as_millis()));
    let vars = if readable { vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())] } else { Vec::new() };
    Station::with(Setup { rooms, lanes: format!("{LANES}\n{lanes}"), vars, ..two }).await
}

/// Keeps two dispatchers at work until they are dropped.
fn dispatchers(station: &Station) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for _ in 0..2 {
        let relay = station.relay("dispatcher");
        all.spawn(async move {
            loop {
                let event = aws_lambda_events::eventbridge::EventBridgeEvent::default();
                let event = lambda_runtime::LambdaEvent::new(event, lambda_runtime::Context::default());
                if dispatcher::handle(&relay, event).await.is_err() {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    all
}

/// How callbacks go, and when that changes.
fn courier_moods(station: &Station, chance: &mut Chance) -> Vec<(Duration, usize, CallbackMode)> {
    let late = CallbackMode::Late(Duration::from_millis(chance.within(100..400)));
    let modes = [
        CallbackMode::Normal,
        CallbackMode::Normal,
        CallbackMode::Twice,
        late,
        CallbackMode::Shuffled,
        CallbackMode::LoseEvery(3),
        CallbackMode::Never,
    ];
    for (_, bot, _) in ROOMS {
        station.sim.callbacks_mode(bot, chance.one_of(&modes));
    }
    (0..8)
        .map(|_| {
            let room = usize::try_from(chance.within(0..2)).unwrap();
            (Duration::from_millis(chance.within(300..1200)), room, chance.one_of(&modes))
        })
        .collect()
}

/// Says them in batches, in their order, by a consumer that posts as well, while callbacks change their ways.
async fn say(station: &Station, said: &[Said], chance: &mut Chance) {
    let moods = courier_moods(station, chance);
    let moody = async {
        for (after, room, mode) in moods {
            sleep(after).await;
            station.sim.callbacks_mode(ROOMS[room].1, mode);
        }
    };
    let sizes: Vec<usize> = (0..said.len()).map(|_| usize::try_from(chance.within(2..9)).unwrap()).collect();
    let quick: Vec<bool> = sizes.iter().map(|_| chance.within(0..2) == 0).collect();
    let speaking = async {
        let mut rest = said;
        for (size, quick) in sizes.iter().zip(quick) {
            let (batch, later) = rest.split_at(rest.len().min(*size));
            rest = later;
            if batch.is_empty() {
                return;
            }
            let events: Vec<Value> = batch.iter().map(Said::event).collect();
            if quick {
                station.take_in(&events).await;
            } else {
                station.consume(&events).await;
            }
        }
    };
    tokio::join!(moody, speaking);
    for (_, bot, _) in ROOMS {
        station.sim.callbacks_mode(bot, CallbackMode::Normal);
    }
}

const OPEN: &str = "select count(*)::text from deliveries where state in ('queued', 'sending', 'scheduled')";

/// Waits until everything is finished. What alone keeps failing is given up only while the room is otherwise well: so
/// more is said in it meanwhile.
async fn settle(station: &Station, said: &mut Vec<Said>, chance: &mut Chance) {
    let (end, mut look) = (Instant::now() + PATIENCE * 2, interval(Duration::from_millis(300)));
    let poisoned = said.iter().find(|said| said.fate == Fate::Poison).map(|said| said.room);
    let mut more = 0;
    while station.column(OPEN).await != ["0"] && Instant::now() < end {
        look.tick().await;
        if let Some(room) = poisoned.filter(|_| more < 40) {
            more += 1;
            let mut word = Said::new(said.len(), chance);
            (word.room, word.words) = (room, word.words[..6].to_vec());
            station.take_in(&[word.event()]).await;
            said.push(word);
        }
    }
    // A line that was never told of is noticed after a while, in a room that confirms.
    let waits = "select count(*)::text from parts p join rooms r on r.name = p.room join lanes l on l.room = r.name
                 where p.state = 'posting' or p.state = 'sent' and r.confirmed_post >= l.posts - 20";
    while station.column(waits).await != ["0"] && Instant::now() < end {
        look.tick().await;
    }
}

/// After a silence a room speaks at its own pace again, whatever limited it before: three at once.
async fn speak_again(station: &Station, said: &mut Vec<Said>, chance: &mut Chance) -> usize {
    let first = said.len();
    let rested =
        "select bool_and(coalesce(slow_until < now(), true) and tat < now() - interval '300 ms')::text from lanes";
    station.until(rested, &["true"]).await;
    for number in first..first + 10 {
        let mut word = Said::new(number, chance);
        (word.room, word.words) = (number % 2, word.words[..6].to_vec());
        said.push(word);
    }
    let events: Vec<Value> = said[first..].iter().map(Said::event).collect();
    station.take_in(&events).await;
    first
}

async fn round(seed: u64, ground: Ground) -> Tally {
    let mut chance = Chance::of(seed);
    let station = station(ground.readable, ground.lanes).await;
    let mut said: Vec<Said> = (0..ground.messages).map(|number| Said::new(number, &mut chance)).collect();
    for (at, fate) in ground.doomed.iter().enumerate() {
        let number = at * 10 + usize::try_from(chance.within(0..10)).unwrap();
        said[number] = Said::doomed(number, &mut chance, *fate);
    }
    for message in &mut said {
        if message.fate != Fate::Whole || chance.within(0..100) < ground.faulty {
            message.order_faults(&station, &mut chance);
        }
    }
    let mut dispatchers = dispatchers(&station);
    say(&station, &said, &mut chance).await;
    settle(&station, &mut said, &mut chance).await;
    station.sim.clear_faults();
    let last = speak_again(&station, &mut said, &mut chance).await;
    settle(&station, &mut said, &mut chance).await;
    dispatchers.abort_all();
    while dispatchers.join_next().await.is_some() {}
    let reckoning = reckoning::reckon(&station, &said, last, ground.readable).await;
    station.end().await;
    reckoning.tally()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_groupme_answers_or_does_not_nothing_is_lost_doubled_or_disordered() {
    let ground = || Ground {
        readable: true,
        lanes: "window = \"300ms\"",
        messages: 44,
        faulty: 45,
        doomed: &[Fate::Poison, Fate::Refused],
    };
    attack("groupme-faults", &[1, 2], async |seed| round(seed, ground()).await).await;
}

/// Where only callbacks tell, a line whose answer and callback were both lost is said again: that is the named window, and
/// counted apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_callbacks_tell_whatever_groupme_does_nothing_else_is_doubled() {
    let ground =
        || Ground { readable: false, lanes: "window = \"2s\"", messages: 24, faulty: 25, doomed: &[Fate::Refused] };
    attack("groupme-callbacks", &[3], async |seed| round(seed, ground()).await).await;
}

/// One room is not known to GroupMe from some moment on; it is left alone and said in the other one, and resumes when it
/// is configured otherwise.
async fn wrong_room(seed: u64) -> Tally {
    let mut chance = Chance::of(seed);
    let mut station = station(false, "window = \"2s\"").await;
    let said: Vec<Said> = (0..24).map(|number| Said::new(number, &mut chance)).collect();
    let mut works = dispatchers(&station);
    let code = chance.one_of(&[401, 404]);
    let (before, after) = said.split_at(usize::try_from(chance.within(4..20)).unwrap());
    let wrong = Fault { bot_id: Some(OTHER_BOT.into()), ..Fault::always(status(code, false)) };
    let speaking = async |part: &[Said]| {
        for batch in part.chunks(4) {
            station.take_in(&batch.iter().map(Said::event).collect::<Vec<_>>()).await;
        }
    };
    speaking(before).await;
    sleep(Duration::from_millis(chance.within(0..1500))).await;
    station.sim.fault(wrong);
    speaking(after).await;
    let extra = Said { room: 1, ..Said::new(24, &mut chance) };
    station.take_in(&[extra.event()]).await;
    let suspended = format!("suspended HTTP {code}");
    station.until("select state || ' ' || state_reason from rooms where name = 'tech'", &[&suspended]).await;
    let told = |lines: &[groupme_sim::Line]| {
        lines
            .iter()
            .any(|line| line.group_id == GROUP && line.text.as_deref().is_some_and(|text| text.contains("“tech”")))
    };
    let is_told = station.sim.wait_for(told, PATIENCE).await.is_ok();
    station
        .until("select count(*)::text from deliveries where room = 'staff' and state in ('queued', 'sending')", &["0"])
        .await;
    let refused = station.sim.posts().iter().filter(|post| post.answer == Some(code)).count();
    works.abort_all();
    while works.join_next().await.is_some() {}
    station.sim.clear_faults();
    // The token is part of what a room is spoken to with: the configuration is another one.
    station.vars.insert("GROUPME_ACCESS_TOKEN".into(), MEMBER.into());
    station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
    let mut works = dispatchers(&station);
    let mut said: Vec<Said> = said.into_iter().chain([extra]).collect();
    settle(&station, &mut said, &mut chance).await;
    works.abort_all();
    while works.join_next().await.is_some() {}
    let mut tally = reckoning::reckon(&station, &said, said.len(), true).await.tally();
    station.end().await;
    if !is_told {
        tally.others.push("the other room was not told".to_owned());
    }
    if refused != 1 {
        tally.others.push(format!("a suspended room was called {refused} times"));
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_groupme_does_not_know_is_left_alone_and_said_and_resumes_whole() {
    attack("groupme-wrong-room", &[4], wrong_room).await;
}
