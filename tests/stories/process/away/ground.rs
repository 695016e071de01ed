//! The machinery on servers of its own, who speaks through it, and what must be so at the end.
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use talkback::broker::{Props, QUEUE, RETRY};
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::store::Store;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use xtask::servers::{Postgres, PostgresOptions, RabbitMq, RabbitMqOptions};

use super::counted::Counted;
use super::disk::{self, Disk, move_to_small_disk};
use crate::attack::{Tally, measures};
use crate::process::chance::Chance;
use crate::process::emulator::client;
use crate::process::reckoning::Away;
use crate::process::traffic::{Door, Message};
use crate::process::works::{SOURCE, Setup, Works, eventually, group};
use crate::station::{KEY, connect};

/// An alarm is to be seen within this, from when it was sent; beside other tests it may take longer.
const AT_ONCE: Duration = Duration::from_secs(5);
const BESIDE_OTHERS: Duration = Duration::from_secs(20);

/// An accept beside others may take so long.
const OVERLAP: Duration = Duration::from_secs(1);

/// How long a door may keep its sender waiting.
const DOOR: Duration = Duration::from_secs(12);

/// How long a story waits for one to say yes.
const PATIENCE: Duration = Duration::from_secs(40);

/// A 3.10.8 broker that is killed sooner after its queues were declared may not know them afterwards.
pub const SETTLED: Duration = Duration::from_secs(6);

/// Which servers a story has of its own.
#[derive(Default)]
pub struct Own {
    pub postgres: bool,
    /// Whether its disk can be filled.
    pub small_disk: bool,
    pub rabbitmq: bool,
    /// By which port the functions reach the broker.
    pub amqp_port: Option<u16>,
}

/// A message that was said.
pub struct Said {
    pub message: Message,
    pub begun: Instant,
    /// When its door said yes.
    pub taken: Instant,
    /// How often the door said no or nothing.
    pub refused: usize,
    /// Whether it had to be seen at once.
    pub at_once: bool,
}

pub struct Ground {
    pub works: Arc<Works>,
    pub postgres: Option<Postgres>,
    disk: Option<Disk>,
    pub rabbitmq: Option<RabbitMq>,
    pub chance: Chance,
    /// Faults that struck while something was under way.
    pub hits: usize,
    /// What was done, in words.
    pub did: String,
    pub opened: Instant,
    /// When Postgres went away, if it does.
    pub without: Option<Instant>,
    /// When what was away came back.
    pub back: Instant,
    dir: PathBuf,
    scissors: tokio_postgres::Client,
    /// Publishes of producers that have no answer yet.
    in_flight: Arc<AtomicUsize>,
    number: usize,
    senders: JoinSet<Said>,
}

impl Ground {
    pub async fn open(story: &'static str, seed: u64, own: Own) -> Self {
        talkback::tls::install_ring();
        let name = format!("{story}-{}-{seed}", std::process::id());
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("away").join(name);
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        let at = dir.clone();
        let postgres = async {
            if !own.postgres {
                return None;
            }
            let started = spawn_blocking(move || {
                let options = PostgresOptions { log: Some(at.join("postgres.log")), ..PostgresOptions::default() };
                let mut postgres = Postgres::start(&at.join("postgres"), options).unwrap();
                let disk = own.small_disk.then(|| move_to_small_disk(&mut postgres, &at.join("postgres")));
                (postgres, disk)
            });
            let (postgres, disk) = started.await.unwrap();
            let store = Store::new(&postgres.url().into(), None, Duration::from_secs(30), 1).unwrap();
            store.migrate().await.unwrap();
            Some((postgres, disk))
        };
        let rabbitmq = async {
            if !own.rabbitmq {
                return None;
            }
            let options = RabbitMqOptions { management: true, ..RabbitMqOptions::default() };
            let at = dir.join("rabbitmq");
            Some(spawn_blocking(move || RabbitMq::start(&at, options).unwrap()).await.unwrap())
        };
        let (postgres, rabbitmq) = tokio::join!(postgres, rabbitmq);
        let (postgres, disk) = postgres.unzip();
        let setup = Setup {
            story,
            batch: 20,
            // Lambda has one for each request.
            sends: 8,
            slow: Duration::from_millis(20),
            invocation: "25s",
            database: postgres.as_ref().map(Postgres::url),
            broker: rabbitmq.as_ref().map(|rabbitmq| (rabbitmq.url(), rabbitmq.api_url().unwrap())),
            amqp_port: own.amqp_port,
            ..Setup::default()
        };
        let works = Arc::new(Works::start(setup).await);
        let scissors = connect(&works.database_url).await;
        Self {
            works,
            postgres,
            disk: disk.flatten(),
            rabbitmq,
            chance: Chance::of(seed),
            hits: 0,
            did: String::new(),
            opened: Instant::now(),
            without: None,
            back: Instant::now(),
            dir,
            scissors,
            in_flight: Arc::default(),
            number: 0,
            senders: JoinSet::new(),
        }
    }

    /// Says so many messages, spread over this time, each third of them an alarm; `at_once`: those must be seen at once
    /// that come by these doors.
    pub fn say(&mut self, count: u32, over: Duration, at_once: &[Door]) {
        let begun = Instant::now();
        for turn in 0..count {
            let alarm = turn % 3 == 1;
            let mut message = Message::new(self.number, self.works.rooms, &mut self.chance).urgent(alarm);
            self.number += 1;
            // The first alarm always comes by such a door: one there must be, by whatever doors chance sends the others.
            if turn == 1 && !at_once.contains(&message.door) {
                message.door = at_once.first().copied().unwrap_or(message.door);
            }
            let at_once = alarm && at_once.contains(&message.door);
            let (works, in_flight) = (Arc::clone(&self.works), Arc::clone(&self.in_flight));
            self.senders.spawn(async move {
                tokio::time::sleep_until(begun + over * turn / count).await;
                press(&works, message, &in_flight, at_once).await
            });
        }
    }

    /// Lets some of this time pass. The moments are what a story is about: no condition is waited for.
    pub async fn rest(&mut self, least: u64, most: u64) {
        sleep(Duration::from_millis(self.chance.within(least..most))).await;
    }

    /// Waits until a session of the database is at work, and counts that.
    pub async fn busy_database(&mut self) {
        const AT_WORK: &str = "select count(*) from pg_stat_activity where datname = current_database()
                               and pid <> pg_backend_pid() and state <> 'idle'";
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let row = self.scissors.query_one(AT_WORK, &[]).await.unwrap();
            if row.get::<_, i64>(0) > 0 {
                self.hits += 1;
                return;
            }
        }
    }

    /// Waits until somebody's publish is under way, and counts that.
    pub async fn busy_broker(&mut self) {
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            if self.in_flight.load(Ordering::SeqCst) > 0 {
                self.hits += 1;
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Does something to the story's Postgres.
    pub async fn with_postgres(&mut self, what: impl FnOnce(&mut Postgres) + Send + 'static) {
        let mut postgres = self.postgres.take().unwrap();
        let done = spawn_blocking(move || {
            what(&mut postgres);
            postgres
        });
        self.postgres = Some(done.await.unwrap());
    }

    /// Fills the disk of the story's Postgres.
    pub async fn fill_disk(&mut self) {
        let disk = self.disk.unwrap();
        self.did += &format!("{disk:?} disk, ");
        self.with_postgres(move |postgres| disk::fill(postgres, disk)).await;
    }

    /// Makes room on it again.
    pub async fn empty_disk(&mut self) {
        let disk = self.disk.unwrap();
        self.with_postgres(move |postgres| disk::empty(postgres, disk)).await;
    }

    /// Does something to the story's RabbitMQ.
    pub async fn with_rabbitmq(&mut self, what: impl FnOnce(&mut RabbitMq) + Send + 'static) {
        let mut rabbitmq = self.rabbitmq.take().unwrap();
        let done = spawn_blocking(move || {
            what(&mut rabbitmq);
            rabbitmq
        });
        self.rabbitmq = Some(done.await.unwrap());
    }

    /// Imports what the logs hold, as an operator does.
    pub async fn import(&mut self) {
        let vars: HashMap<String, String> = self.works.vars.clone().into_iter().collect();
        let relay = Relay::new(Settings::from_vars(&vars).unwrap_or_else(|e| panic!("{e}")), "operator").unwrap();
        for number in 1..=8 {
            let log = self.works.folder.join(format!("send-{number}.log"));
            let said = operator::run(&relay, &["import", log.to_str().unwrap()]).await.unwrap();
            self.did += &format!("{}, ", said.replace(" are in the database now", " imported"));
        }
    }

    /// Waits until every door has said yes.
    pub async fn all_taken(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(one) = self.senders.join_next().await {
            said.push(one.unwrap());
        }
        said.sort_by(|one, other| one.message.words[0].cmp(&other.message.words[0]));
        said
    }

    /// What is right and what is not, once everything has come to rest.
    pub async fn reckon(&self, said: &[Said], away: Duration) -> Tally {
        let works = &self.works;
        let told = "select uid from messages where verdict = 'accepted'
                    and accepted_at < now() - make_interval(secs => $1)";
        let since_back = (Instant::now() - self.back).as_secs_f64();
        let rows = connect(&works.database_url).await.query(told, &[&since_back]).await.unwrap();
        // It had the alarm and could do no more with it: a disk may be full between a message and its first call.
        let had: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let messages: Vec<Message> = said.iter().map(|said| said.message.clone()).collect();
        let outage = self.without.map(|from| Away { from, until: from + away });
        let reckoning = works.reckon_after(outage, &messages, OVERLAP).await;
        let mut tally = reckoning.tally(&self.did, works);
        tally.hits = self.hits;
        let mut slowest = Duration::ZERO;
        let limit = if measures() { AT_ONCE } else { BESIDE_OTHERS };
        for alarm in said.iter().filter(|said| said.at_once && !had.contains(&said.message.uid)) {
            let took = seen(works, &alarm.message).map(|at| at.saturating_duration_since(alarm.begun));
            slowest = slowest.max(took.unwrap_or_default());
            if took.is_none_or(|took| took > limit) {
                let (name, door) = (&alarm.message.words[0], alarm.message.door);
                tally
                    .others
                    .push(format!("the alarm {name} ({}, {door:?}) was seen after {took:?}", alarm.message.uid));
            }
        }
        let queued = async || {
            let (work, aside) = tokio::join!(works.vhost.broker.depth(QUEUE), works.vhost.broker.depth(RETRY));
            (work == Ok(0) && aside == Ok(0)).then_some(())
        };
        eventually("empty queues", queued).await;
        let rejected = works.column("select reason || ' ' || count(*) from rejected group by reason").await;
        tally.others.extend(rejected.iter().map(|rejected| format!("rejected: {rejected}")));
        let counted = Counted::of(works);
        if self.without.is_some() && counted.direct == 0 {
            tally.others.push("no alarm went without the database".to_owned());
        }
        if counted.panics > 0 {
            tally.others.push(format!("{} panics", counted.panics));
        }
        // What is aside comes back twice a second, and a batch that failed each second.
        let most = messages.len() * (4 + 2 * usize::try_from(away.as_secs() + 10).unwrap());
        if counted.invocations > most {
            tally.others.push(format!("the consumer was invoked {} times", counted.invocations));
        }
        let calls = works.sim.posts().len();
        let most = reckoning.parts + counted.direct + works.cut_off() + reckoning.hits + 20;
        if calls > most {
            tally.others.push(format!("GroupMe was called {calls} times, not {most}"));
        }
        let alarms = said.iter().filter(|said| said.at_once).count();
        let waited = said.iter().filter(|said| said.at_once && had.contains(&said.message.uid)).count();
        tally.told += &format!(
            "\n{alarms} alarms while it was away, {waited} of them taken by the database all the same, of the others the slowest seen after {slowest:?}; {} posted directly; {} invocations, \
             {calls} calls, {} complaints in the logs",
            counted.direct, counted.invocations, counted.complaints
        );
        tally
    }

    /// Ends everything in order.
    pub async fn end(self) {
        drop(self.scissors);
        let works = Arc::into_inner(self.works).unwrap();
        works.end().await;
        let stopped = spawn_blocking(move || {
            // It would take its time to end in order, and nothing of it is kept.
            self.rabbitmq.into_iter().for_each(|mut rabbitmq| rabbitmq.kill());
            drop(self.postgres);
            // Clusters are large; the logs that are of use lie with the story's own.
            drop(std::fs::remove_dir_all(self.dir));
        });
        stopped.await.unwrap();
    }
}

/// When the last part of a message was first in its room.
pub fn seen(works: &Works, message: &Message) -> Option<Instant> {
    let word = message.words.last()?;
    let lines = works.sim.lines(&group(message.room));
    let first = lines.iter().find(|line| line.text.as_deref().unwrap_or_default().contains(word.as_str()));
    first.map(|line| line.at.into())
}

/// Sends it until its door has said yes, as a producer would.
async fn press(works: &Works, message: Message, in_flight: &AtomicUsize, at_once: bool) -> Said {
    let (begun, client) = (Instant::now(), client());
    let mut refused = 0;
    loop {
        let yes = match message.door {
            Door::Queue => {
                let body = message.body().to_string();
                in_flight.fetch_add(1, Ordering::SeqCst);
                let props = Props::default();
                let publish = works.vhost.broker.publish(SOURCE, "source.standard", body.as_bytes(), &props, true);
                let published = timeout(DOOR, publish).await;
                in_flight.fetch_sub(1, Ordering::SeqCst);
                matches!(published, Ok(Ok(())))
            }
            Door::Http => {
                let request = client.post(format!("{}/send", works.emulator.url())).bearer_auth(KEY).timeout(DOOR);
                match request.json(&message.body()).send().await {
                    Ok(answer) => {
                        let status = answer.status();
                        assert!(status.is_success() || status.is_server_error(), "{status}: {}", message.uid);
                        status.is_success()
                    }
                    Err(_) => false,
                }
            }
        };
        if yes {
            return Said { message, begun, taken: Instant::now(), refused, at_once };
        }
        refused += 1;
        assert!(begun.elapsed() < PATIENCE, "a door never said yes to {} ({:?})", message.uid, message.door);
        sleep(Duration::from_millis(200)).await;
    }
}
