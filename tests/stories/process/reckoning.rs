//! The reckoning at the end of a story: what the rooms show against what was said, and the rows against both.
mod direct;
mod part;
mod room;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use groupme_sim::Line;
use tokio::time::{Instant, interval};

pub use self::direct::Away;
use self::part::Part;
use self::room::{drop_named_repeats, merged};
use super::traffic::Message;
use super::works::{BURST, PATIENCE, Works, group};
use crate::attack::Tally;

/// Messages that were stored while a call for their room was in flight.
const CROSSED: &str = "
select count(*)::text from messages m join deliveries d using (uid)
where exists (select 1 from api_calls a where a.room = d.room and a.operation = 'post'
                and m.accepted_at between a.at - make_interval(secs => a.latency_ms / 1000.0) and a.at)";

/// How long the longest call for each room took.
const LONGEST: &str = "select room, max(latency_ms) from api_calls where operation = 'post' group by room";

/// An ordinary call takes a tenth of a second.
const HITS: &str = "
select count(*)::text from api_calls where operation = 'post' and (outcome = 'unknown' or latency_ms >= 1000)";

/// What went wrong; nothing, if all lists are empty.
#[derive(Default)]
pub struct Reckoning {
    pub messages: usize,
    pub parts: usize,
    /// Calls of which nobody learnt at once how they ended: their caller was killed, or frozen for a while.
    pub hits: usize,
    /// Claims given up because the holder woke up too late to call.
    pub abandoned: usize,
    /// Repeats that are no fault: the named windows of a room that cannot be read, and of alarms while the database is away.
    pub named: usize,
    /// Parts whose callback was lost, with its repeat: nobody can confirm them by callback.
    pub untold: usize,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub disordered: Vec<String>,
    pub unrecorded: Vec<String>,
    pub unconfirmed: Vec<String>,
    pub complaints: Vec<String>,
}

impl Reckoning {
    fn faults(&self) -> [(&'static str, &Vec<String>); 6] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("disordered", &self.disordered),
            ("unrecorded", &self.unrecorded),
            ("unconfirmed", &self.unconfirmed),
            ("complaints", &self.complaints),
        ]
    }

    pub fn is_clean(&self) -> bool {
        self.faults().iter().all(|(_, list)| list.is_empty())
    }

    /// The figures, and each fault.
    pub fn told(&self) -> String {
        let mut told = format!("{} messages, {} parts, {} hits", self.messages, self.parts, self.hits);
        let more = [("abandoned", self.abandoned), ("named repeats", self.named), ("untold", self.untold)];
        more.iter().for_each(|(name, count)| write!(told, ", {count} {name}").unwrap());
        for (name, list) in self.faults() {
            write!(told, ", {} {name}", list.len()).unwrap();
        }
        for (name, list) in self.faults() {
            list.iter().for_each(|fault| write!(told, "\n  {name}: {fault}").unwrap());
        }
        told
    }
}

impl Reckoning {
    /// What an attack found; `did`: what it did, in words.
    pub fn tally(&self, did: &str, works: &Works) -> Tally {
        let mut others = self.unconfirmed.clone();
        others.extend(self.complaints.iter().cloned());
        Tally {
            messages: self.messages,
            hits: self.hits + self.abandoned,
            lost: self.lost.len(),
            doubled: self.doubled.len(),
            disordered: self.disordered.len(),
            unrecorded: self.unrecorded.len(),
            others,
            told: format!("{did}, {}\nlogs in {}", self.told(), works.folder.display()),
        }
    }
}

impl Works {
    /// Waits until everything is as it should be, and says what is not if that takes too long. `overlap`: how long an
    /// accept may have been under way beside others; who was accepted meanwhile has no order among them.
    pub async fn reckon(&self, said: &[Message], overlap: Duration) -> Reckoning {
        self.reckon_after(None, said, overlap).await
    }

    /// The same after the database was away: some repeats of alarms are no fault then.
    pub async fn reckon_after(&self, away: Option<Away>, said: &[Message], overlap: Duration) -> Reckoning {
        let end = Instant::now() + PATIENCE;
        let mut look = interval(Duration::from_millis(250));
        loop {
            look.tick().await;
            let reckoning = self.reckon_now(away, said, overlap).await;
            if reckoning.is_clean() || Instant::now() > end {
                return reckoning;
            }
        }
    }

    async fn reckon_now(&self, away: Option<Away>, said: &[Message], overlap: Duration) -> Reckoning {
        let parts = Part::all(&self.db().await).await;
        let hits = self.column(HITS).await[0].parse().unwrap();
        let mut reckoning = Reckoning { messages: said.len(), parts: parts.len(), hits, ..Reckoning::default() };
        // What a killed caller had begun to say is cut short on its way; nothing else may be wrong with a request.
        let cut_short = "POST /v3/bots/post: the body is too long or breaks off";
        reckoning.complaints = self.sim.complaints().into_iter().filter(|c| c != cut_short).collect();
        if away.is_some() {
            // Who posts without the database has no lane: where a database still takes some of what comes, both speak.
            let both = "a post came while another of the same bot was in the air";
            reckoning.complaints.retain(|complaint| complaint != both);
        }
        let untold = self.untold();
        let mut lines: Vec<Vec<Line>> = (0..self.rooms).map(|number| self.sim.lines(&group(number))).collect();
        let direct = self.drop_direct(&mut lines, away, &mut reckoning).await;
        if !self.readable {
            lines.iter_mut().for_each(|lines| reckoning.named += drop_named_repeats(lines, &untold));
        }
        let shown: Vec<Vec<Line>> = lines.iter().zip(direct).map(|(lines, direct)| merged(lines, direct)).collect();
        reckoning.words(said, &shown);
        for (number, lines) in lines.iter().enumerate() {
            let room: Vec<&Part> = parts.iter().filter(|part| part.room == super::works::room(number)).collect();
            reckoning.room(&room, lines, overlap);
        }
        let abandoned = self.abandoned();
        reckoning.abandoned = abandoned.values().sum();
        // A line whose callback was lost, with its repeat, cannot confirm by callback.
        let unheard: HashSet<&str> = lines
            .iter()
            .flatten()
            .filter(|line| untold.contains(&line.id))
            .map(|line| line.text.as_deref().unwrap_or_default().trim())
            .collect();
        let lost = |part: &Part| part.state == "unconfirmed" && unheard.contains(part.text.trim());
        let unsure: HashSet<i64> = parts.iter().filter(|part| lost(part)).map(|part| part.delivery).collect();
        for part in &parts {
            let all: Vec<i32> = (1..=part.attempts).collect();
            let who = part.named();
            let missing = all.iter().filter(|attempt| !part.recorded.contains(attempt)).count();
            // A claim that came too late is taken back, and no call is made; whoever does that says so first.
            let excused = abandoned.get(&part.uid).copied().unwrap_or(0);
            if missing > excused || all.is_empty() {
                reckoning.unrecorded.push(format!("{who}: {} attempts, rows {:?}", part.attempts, part.recorded));
            }
            reckoning.untold += usize::from(lost(part));
            if part.state != "confirmed" && !lost(part) {
                reckoning.unconfirmed.push(format!("{who}: {}", part.state));
            }
            if part.delivery_state != "confirmed"
                && !(unsure.contains(&part.delivery) && part.delivery_state == "unconfirmed")
            {
                reckoning.unconfirmed.push(format!("{who}: its delivery is {}", part.delivery_state));
            }
        }
        reckoning
    }

    /// How many claims of each message were given up because it was too late to call, by the functions' logs.
    pub fn abandoned(&self) -> HashMap<String, usize> {
        let mut count = HashMap::new();
        for log in std::fs::read_dir(&self.folder).unwrap() {
            let text = std::fs::read_to_string(log.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| line.contains("claim abandoned")) {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                *count.entry(line["uid"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        count
    }

    /// How many messages were stored while a call for their room was in flight.
    pub async fn crossed(&self) -> usize {
        self.column(CROSSED).await[0].parse().unwrap()
    }

    /// Where posts of a room came faster than its pace, by the simulator's clock. The pace is kept by when calls begin:
    /// what a request needs to arrive, which is what its call took beyond the chat's own time, may bring it nearer to
    /// the next one.
    pub async fn too_fast(&self, every: Duration, answer: Duration) -> Vec<String> {
        let posts = self.sim.posts();
        let mut found = Vec::new();
        for row in self.db().await.query(LONGEST, &[]).await.unwrap() {
            let (name, longest): (String, i32) = (row.get(0), row.get(1));
            let number: usize = name.trim_start_matches("room").parse().unwrap();
            let longest = Duration::from_millis(u64::try_from(longest).unwrap() + 1);
            let early = groupme_sim::pace::early(&posts, &super::works::bot(number), every, BURST);
            if early > longest.saturating_sub(answer) {
                found.push(format!("{name}: a post came {early:?} too early; the longest call took {longest:?}"));
            }
        }
        found
    }

    /// The lines whose callbacks are over, and of none of which the functions said that they took it.
    fn untold(&self) -> HashSet<String> {
        let mut ends: HashMap<String, (bool, bool)> = HashMap::new();
        for attempt in self.sim.callbacks() {
            let (told, over) = ends.entry(attempt.line_id).or_default();
            *told |= attempt.status.is_some_and(|status| (200..300).contains(&status));
            *over |= attempt.retry;
        }
        ends.into_iter().filter(|(_, (told, over))| *over && !told).map(|(line, _)| line).collect()
    }
}
