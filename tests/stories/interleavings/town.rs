//! Rooms of every kind, holders, messages, and one step after the other.
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::json;
use talkback::amqp_event::read_event;
use talkback::message::Priority;
use talkback::relay::Relay;
use tokio::time::Instant;
use tokio_postgres::{Client, Statement};

use super::chat::{Arriving, Shown};
use super::holder::{Doing, Holder};
use super::reckoning;
use crate::process::chance::Chance;
use crate::station::{Setup, Station};

pub const HTTP: Duration = Duration::from_secs(10);
pub const LEASE: Duration = Duration::from_secs(20);
pub const MARGIN: Duration = Duration::from_secs(5);
pub const WINDOW: Duration = Duration::from_secs(3);
pub const PACE: Duration = Duration::from_secs(1);
pub const BURST: usize = 3;

/// A kind of room: how one can learn what became of a call there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Its lines come back at once.
    Prompt,
    /// Its lines come back late, twice, in another order or never.
    Lossy,
    /// No line comes back; it can be read.
    Read,
    /// Nothing can tell; twice is better than never.
    Mute,
    /// Nothing can tell; never is better than twice.
    Giver,
}

pub const KINDS: [Kind; 5] = [Kind::Prompt, Kind::Lossy, Kind::Read, Kind::Mute, Kind::Giver];

impl Kind {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn group(self) -> String {
        format!("70{}", self as u8)
    }

    /// Whether somebody can always tell whether a call showed: then nothing is ever seen twice there.
    pub fn tells(self) -> bool {
        matches!(self, Self::Prompt | Self::Read)
    }
}

pub fn setup() -> Setup {
    let mut rooms = String::new();
    for kind in KINDS {
        let unknown = if kind == Kind::Giver { "give_up" } else { "resend" };
        rooms += &format!(
            "[[rooms]]\nname = \"{}\"\nbot_id = \"bot-{}\"\ngroup = \"{}\"\npace = \"1s\"\nburst = {BURST}\ndress = \"plain\"\n\
             unknown = \"{unknown}\"\n",
            kind.name(),
            kind.name(),
            kind.group()
        );
    }
    let names: Vec<String> = KINDS.iter().map(|kind| kind.name()).collect();
    rooms += &format!("[[routes]]\npattern = \"source.#\"\nrooms = {names:?}\n");
    let lanes = "lease = \"20s\"\nhttp = \"10s\"\nmargin = \"5s\"\nwindow = \"3s\"\nunconfirmed_after = \"120s\"\n\
                 pause_min = \"1s\"\npause_max = \"60s\"\nslow_for = \"60s\"\nquantum = \"5s\"\nset_aside_delays = [\"60s\", \"300s\"]\n\
                 stay_unknown_deadline = \"50s\"\npoll = \"1s\"\nstatement_timeout = \"8s\"";
    let bots = KINDS.iter().map(|kind| (format!("bot-{}", kind.name()), kind.group())).collect();
    Setup { rooms, lanes: lanes.to_owned(), bots, ..Setup::default() }
}

/// A moment since the order of things began, on a clock that is moved.
pub type Moment = Duration;

/// One part of a message in one room, as the chat and its callers know it.
#[derive(Default, Clone)]
pub struct Part {
    /// Its calls, by attempt.
    pub calls: BTreeMap<i32, Call>,
    /// How often it is seen in the room.
    pub seen: usize,
    /// Somebody was told that it is there: an answer that was written down, a line that was heard.
    pub proven: bool,
    /// A person asked for it again.
    pub replayed: bool,
}

/// One call, or a claim whose holder died before it could make one.
#[derive(Clone)]
pub struct Call {
    pub claimed: Moment,
    pub began: Option<Moment>,
    pub ended: Option<Moment>,
    /// What was written down of it.
    pub told: Option<&'static str>,
    /// By then somebody else had the lane.
    pub late: bool,
    /// Taken back as never made: it leaves no row.
    pub disowned: bool,
}

/// A message that Talkback has said yes to.
pub struct Message {
    pub uid: String,
    pub priority: Priority,
    /// When it is too old to be begun: as told, or by its priority.
    pub expires_at: Moment,
    pub deliver_by: Option<Moment>,
    pub rooms: Vec<Kind>,
}

#[derive(Default)]
pub struct Total {
    pub orders: usize,
    pub messages: usize,
    pub steps: usize,
    pub calls: usize,
    /// Crashes and freezes with a part in the air.
    pub hits: usize,
    pub late: usize,
    pub twice: usize,
}

pub struct Town {
    pub relay: Relay,
    pub db: Client,
    /// What must find nothing after any step.
    pub wrong: Vec<Statement>,
    pub fingerprints: HashMap<String, Vec<u8>>,
    pub total: Total,
    pub holders: Vec<Holder>,
    pub messages: Vec<Message>,
    /// By delivery and part.
    pub parts: BTreeMap<(i64, i16), Part>,
    pub arriving: Vec<Arriving>,
    pub shown: Vec<Shown>,
    /// Who holds a room, at least until then.
    pub leases: HashMap<Kind, (String, Moment)>,
    /// When calls began in each room.
    pub posts: HashMap<Kind, Vec<Moment>>,
    /// While the end is awaited all goes well.
    pub ending: bool,
    pub log: Vec<String>,
    began: Instant,
    moved: Duration,
    tokens: usize,
}

/// A rule that does not hold, in words.
pub type Held = Result<(), String>;

const CLEAN: &str = "
delete from parts; delete from pictures; delete from deliveries; delete from messages; delete from delivery_events;
delete from api_calls; delete from groupme_callbacks;
update lanes set token = null, lease_until = null, served_at = null, tat = 'epoch', paused_until = null, failures = 0,
  slow_until = null, well = true, posts = 0;
update rooms set state = 'open', heard_at = null, confirmed_post = null,
  confirm = name in ('prompt', 'lossy'), readable = name = 'read'";

impl Town {
    pub async fn of(station: &Station) -> Self {
        // A statement takes a server that has just started for one that was away, and waits: not what is looked at here.
        let up = "select (clock_timestamp() > pg_postmaster_start_time() + interval '4 s')::text";
        station.until(up, &["true"]).await;
        let db = station.db().await;
        let rooms = db.query("select name, fingerprint from rooms", &[]).await.unwrap();
        Self {
            relay: station.relay("interleavings"),
            wrong: reckoning::prepare(&db).await,
            fingerprints: rooms.iter().map(|row| (row.get(0), row.get(1))).collect(),
            db,
            total: Total::default(),
            holders: Vec::new(),
            messages: Vec::new(),
            parts: BTreeMap::new(),
            arriving: Vec::new(),
            shown: Vec::new(),
            leases: HashMap::new(),
            posts: HashMap::new(),
            ending: false,
            log: Vec::new(),
            began: Instant::now(),
            moved: Duration::ZERO,
            tokens: 0,
        }
    }

    pub fn now(&self) -> Moment {
        self.began.elapsed() + self.moved
    }

    pub fn note(&mut self, what: String) {
        let at = self.now().as_secs_f64();
        self.log.push(format!("{at:8.2}  {what}"));
    }

    pub fn token(&mut self) -> String {
        self.tokens += 1;
        format!("holder-{}", self.tokens)
    }

    /// Plays an order of things on empty tables. The error tells all of it.
    pub async fn play(&mut self, seed: u64, steps: &[u64]) -> Held {
        self.db.batch_execute(CLEAN).await.unwrap();
        self.total.orders += 1;
        (self.began, self.moved, self.ending) = (Instant::now(), Duration::ZERO, false);
        (self.parts, self.messages, self.arriving, self.shown) = Default::default();
        (self.leases, self.posts, self.log) = Default::default();
        self.holders =
            (0..3).map(|_| Holder { token: self.token(), room: String::new(), doing: Doing::Nothing }).collect();
        let mut held = Ok(());
        for step in steps {
            self.total.steps += 1;
            held = self.step(seed, &mut Chance::of(*step)).await;
            if held.is_ok() {
                held = reckoning::at_any_time(self).await;
            }
            if held.is_err() {
                break;
            }
        }
        if held.is_ok() {
            held = self.end().await;
        }
        held.map_err(|why| format!("{why}\n{}", self.log.join("\n")))
    }

    async fn step(&mut self, seed: u64, chance: &mut Chance) -> Held {
        self.let_come(Duration::ZERO).await?;
        match chance.within(0..100) {
            0..7 if self.messages.len() < 8 => self.accept(seed, chance).await,
            0..58 => {
                let who = usize::try_from(chance.within(0..self.holders.len() as u64)).unwrap();
                self.act(who, chance).await
            }
            58..64 => {
                let who = usize::try_from(chance.within(0..self.holders.len() as u64)).unwrap();
                self.crash(who);
                Ok(())
            }
            64..78 => {
                let time = chance.one_of(&[100, 400, 1_000, 3_500, 6_000, 21_000, 24_000, 70_000, 130_000]);
                self.pass(Duration::from_millis(time)).await
            }
            78..90 => self.call_back(chance).await,
            90..94 => self.sweep().await,
            94..96 => self.open_rooms().await,
            96..98 => self.a_person_speaks(chance).await,
            _ => self.replay(chance).await,
        }
    }

    async fn accept(&mut self, seed: u64, chance: &mut Chance) -> Held {
        let uid = if chance.within(0..6) == 0 && !self.messages.is_empty() {
            // It comes again.
            chance.one_of(&self.messages.iter().collect::<Vec<_>>()).uid.clone()
        } else {
            format!("m{seed}-{}", self.messages.len())
        };
        let number = self.messages.iter().position(|message| message.uid == uid);
        // A message is the same each time it comes.
        let mut chance = Chance::of(seed ^ (number.unwrap_or(self.messages.len()) as u64 * 77));
        let mut rooms: Vec<Kind> = KINDS.into_iter().filter(|_| chance.within(0..3) == 0).collect();
        if rooms.is_empty() {
            rooms.push(chance.one_of(&KINDS));
        }
        let priority =
            chance.one_of(&[Priority::Normal, Priority::Normal, Priority::Normal, Priority::High, Priority::Urgent]);
        // Alarms repeat: some say the same. Only where lines come back at once can one tell which is which.
        let same = rooms == [Kind::Prompt] && chance.within(0..2) == 0;
        let words = if same { "power failed".to_owned() } else { uid.clone() };
        let parts = if same { 1 } else { chance.one_of(&[1, 1, 2, 3]) };
        let body = if parts == 1 { words } else { format!("{words} ").repeat(700 * parts / (words.len() + 1)) };
        let word = priority.as_str();
        let mut message = json!({
            "body": body, "wbor_message_id": uid, "priority": word,
            "rooms": rooms.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        });
        let expires = chance.within(0..6) == 0;
        let age = if expires { Duration::from_secs(40) } else { priority.age() };
        let (expires_at, now) = (self.now() + age, jiff::Timestamp::now());
        if expires && number.is_none() {
            message["expires_at"] = json!((now + age).to_string());
        } else if expires {
            return Ok(());
        }
        let patience = (chance.within(0..5) == 0).then_some(Duration::from_secs(30));
        let mut said = Station::message("source.standard", &message);
        let deliver_by = patience.map(|patience| self.now() + patience);
        if let Some(patience) = patience {
            said["basicProperties"]["headers"]["deliver_by"] = json!((now + patience).as_second());
            said["basicProperties"]["replyTo"] = json!("producer");
            said["basicProperties"]["correlationId"] = json!(uid);
        }
        let records = read_event(&Station::batch(&[said])).unwrap();
        self.relay.take_in(records, now).await.map_err(|error| format!("not accepted: {error}"))?;
        self.note(format!("accept {uid}, {parts} parts, {word}, in {rooms:?}"));
        if number.is_none() {
            self.total.messages += 1;
            self.messages.push(Message { uid, priority, expires_at, deliver_by, rooms });
        }
        Ok(())
    }

    /// Lets time pass: everything that was to come in it comes first, and every moment in the tables is further back.
    pub async fn pass(&mut self, time: Duration) -> Held {
        self.let_come(time).await?;
        let d = format!("interval '{} ms'", time.as_millis());
        self.db
            .batch_execute(&format!(
                "update lanes set lease_until = lease_until - {d}, served_at = served_at - {d}, tat = tat - {d},
                   paused_until = paused_until - {d}, slow_until = slow_until - {d};
                 update deliveries set blocked_until = blocked_until - {d}, due_at = due_at - {d},
                   expires_at = expires_at - {d}, deliver_by = deliver_by - {d};
                 update parts set claimed_at = claimed_at - {d};
                 update rooms set heard_at = heard_at - {d}"
            ))
            .await
            .unwrap();
        self.moved += time;
        self.note(format!("{time:?} pass"));
        Ok(())
    }

    pub async fn sweep(&mut self) -> Held {
        self.note("sweep".to_owned());
        let after = self.relay.settings.lanes.unconfirmed_after;
        self.relay.store.sweep(after).await.map_err(|error| format!("the sweep failed: {error}"))
    }

    async fn open_rooms(&mut self) -> Held {
        for kind in KINDS {
            self.relay.store.resume(&kind.name()).await.unwrap();
        }
        Ok(())
    }

    async fn replay(&mut self, chance: &mut Chance) -> Held {
        if self.messages.is_empty() {
            return Ok(());
        }
        let uid = chance.one_of(&self.messages.iter().collect::<Vec<_>>()).uid.clone();
        let parts = "select p.delivery, p.n from parts p join deliveries d on d.id = p.delivery
                     where d.uid like $1 || '%' and d.state in ('failed', 'expired', 'withdrawn', 'unconfirmed')";
        for row in self.db.query(parts, &[&uid]).await.unwrap() {
            self.parts.entry((row.get(0), row.get(1))).or_default().replayed = true;
        }
        let key = format!("{uid}@source.standard");
        let again = self.relay.store.replay(&key).await.map_err(|error| format!("no replay: {error}"))?;
        self.note(format!("replay {uid}: {again} deliveries"));
        Ok(())
    }

    /// From here on all goes well: whatever is left comes to its end, and then everything is reckoned up.
    async fn end(&mut self) -> Held {
        self.note("from here on all goes well".to_owned());
        self.ending = true;
        let mut chance = Chance::of(1);
        let left = "select (select count(*) from deliveries where state in ('queued', 'sending', 'scheduled', 'held'))
                         + (select count(*) from parts where state = 'posting')";
        for _ in 0..400 {
            self.let_come(Duration::ZERO).await?;
            let mut busy = false;
            for who in 0..self.holders.len() {
                self.act(who, &mut chance).await?;
                busy |= !matches!(self.holders[who].doing, Doing::Nothing);
            }
            reckoning::at_any_time(self).await?;
            if busy {
                continue;
            }
            if self.db.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                return reckoning::at_the_end(self).await;
            }
            self.open_rooms().await?;
            self.pass(Duration::from_secs(5)).await?;
            self.sweep().await?;
        }
        Err(format!("stuck:\n{}", reckoning::told(&self.db).await))
    }
}
