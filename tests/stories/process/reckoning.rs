//! The reckoning at the end of a story: what the rooms show against what was said, and the rows against both.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use groupme_sim::Line;
use tokio::time::{Instant, interval};

use super::traffic::Message;
use super::works::{BURST, PATIENCE, Works, group};
use crate::attack::Tally;

/// A part as its rows have it. What was withdrawn or expired must not be seen; whose words were said and must be, are
/// looked for in the rooms themselves.
struct Part {
    delivery: i64,
    uid: String,
    room: String,
    prio: i16,
    qseq: i64,
    delivery_state: String,
    state: String,
    accepted_at: f64,
    n: i16,
    text: String,
    picture_url: Option<String>,
    attempts: i32,
    recorded: Vec<i32>,
}

const PARTS: &str = "
select d.id, d.uid, d.room, d.prio, d.qseq, d.state, extract(epoch from m.accepted_at)::float8, p.n, p.text, p.attempt,
       p.state,
       array(select a.attempt from api_calls a where a.delivery = p.delivery and a.part = p.n and a.operation = 'post'
               and a.outcome in ('posted', 'unknown') order by a.attempt), p.picture_url
from messages m join deliveries d using (uid) join parts p on p.delivery = d.id
where d.state not in ('withdrawn', 'expired')
  and not (p.state = 'waiting' and d.state = 'sent' and d.cause = 'its producer posted it')
order by d.room, d.qseq, p.n";

/// Messages that were stored while a call for their room was in flight.
const CROSSED: &str = "
select count(*)::text from messages m join deliveries d using (uid)
where exists (select 1 from api_calls a where a.room = d.room and a.operation = 'post'
                and m.accepted_at between a.at - make_interval(secs => a.latency_ms / 1000.0) and a.at)";

/// How long the longest call for each room took.
const LONGEST: &str = "select room, max(latency_ms) from api_calls where operation = 'post' group by room";

/// What was posted without the database, and whether that is a named window: it was taken in all the same; or `send` put
/// it on the broker, heard nothing, and posted it, as did who found it there.
const DIRECT: &str = "
select c.room, c.request->>'text', m.verdict = 'accepted',
       m.door = 'http' and row_number() over (partition by c.uid, c.room, c.request->>'text' order by c.at) > 1
from api_calls c join messages m using (uid)
where c.attempt is null and c.operation = 'post' and c.outcome in ('posted', 'unknown') order by c.at";

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
    /// Repeats that are no fault: the named window of a room that cannot be read.
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
        let end = Instant::now() + PATIENCE;
        let mut look = interval(Duration::from_millis(250));
        loop {
            look.tick().await;
            let reckoning = self.reckon_now(said, overlap).await;
            if reckoning.is_clean() || Instant::now() > end {
                return reckoning;
            }
        }
    }

    async fn reckon_now(&self, said: &[Message], overlap: Duration) -> Reckoning {
        let rows = self.db().await.query(PARTS, &[]).await.unwrap();
        let parts: Vec<Part> = rows
            .iter()
            .map(|row| Part {
                delivery: row.get(0),
                uid: row.get(1),
                room: row.get(2),
                prio: row.get(3),
                qseq: row.get(4),
                delivery_state: row.get(5),
                accepted_at: row.get(6),
                n: row.get(7),
                text: row.get(8),
                attempts: row.get(9),
                state: row.get(10),
                recorded: row.get(11),
                picture_url: row.get(12),
            })
            .collect();
        let hits = self.column(HITS).await[0].parse().unwrap();
        let mut reckoning = Reckoning { messages: said.len(), parts: parts.len(), hits, ..Reckoning::default() };
        // What a killed caller had begun to say is cut short on its way; nothing else may be wrong with a request.
        let cut_short = "POST /v3/bots/post: the body is too long or breaks off";
        reckoning.complaints = self.sim.complaints().into_iter().filter(|c| c != cut_short).collect();
        let untold = self.untold();
        let mut lines: Vec<Vec<Line>> = (0..self.rooms).map(|number| self.sim.lines(&group(number))).collect();
        let direct = self.drop_direct(&mut lines, &mut reckoning).await;
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

    /// Takes out what was posted without the database, by its records: it has no parts. What is there once more because
    /// it had been taken in all the same is the named window of such posts, and is no line any more.
    async fn drop_direct(&self, lines: &mut [Vec<Line>], reckoning: &mut Reckoning) -> Vec<Vec<Line>> {
        let rows = self.db().await.query(DIRECT, &[]).await.unwrap();
        let mut direct = vec![Vec::new(); lines.len()];
        for row in rows {
            let (room, text, again): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
            let twice: bool = row.get(3);
            for number in (0..lines.len()).filter(|&number| super::works::room(number) == room) {
                let same = |line: &Line| line.text.as_deref().unwrap_or_default().trim() == text.trim();
                // Without an answer it may be there or not.
                let Some(at) = lines[number].iter().position(same) else { continue };
                let line = lines[number].remove(at);
                if twice || again && lines[number].iter().any(same) {
                    reckoning.named += 1;
                } else {
                    direct[number].push(line);
                }
            }
        }
        direct
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

/// The named window of a room that cannot be read: the answer of a call was lost, and its callback was lost too. So
/// the part was said again. Takes such lines out, as long as another one says the same; returns how many.
fn drop_named_repeats(lines: &mut Vec<Line>, untold: &HashSet<String>) -> usize {
    let mut times: HashMap<Option<String>, usize> = HashMap::new();
    lines.iter().for_each(|line| *times.entry(line.text.clone()).or_default() += 1);
    let before = lines.len();
    lines.retain(|line| {
        let times = times.entry(line.text.clone()).or_default();
        let named = *times > 1 && untold.contains(&line.id);
        *times -= usize::from(named);
        !named
    });
    before - lines.len()
}

impl Reckoning {
    /// Every word of every message is in its room once and in order, and nothing else is: told by the lines alone.
    fn words(&mut self, said: &[Message], rooms: &[Vec<Line>]) {
        for (number, lines) in rooms.iter().enumerate() {
            let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let texts = lines.iter().map(|line| line.text.as_deref().unwrap_or_default());
            for word in texts.flat_map(str::split_whitespace).map(|word| word.trim_matches('"')) {
                if let Some((message, _)) = word.split_once('w').filter(|(m, _)| m.starts_with('m')) {
                    shown.entry(message.to_owned()).or_default().push(word.to_owned());
                }
            }
            for message in said.iter().filter(|message| message.room == number) {
                let name = message.words[0].split_once('w').unwrap().0;
                let found = shown.remove(name).unwrap_or_default();
                if found == message.words {
                    continue;
                }
                let once: HashSet<&String> = found.iter().collect();
                let missing = message.words.iter().filter(|word| !once.contains(word)).count();
                let who = format!("{name} {} ({:?})", message.uid, message.door);
                if missing > 0 {
                    self.lost.push(format!("{who}: {missing} of {} words", message.words.len()));
                }
                if found.len() > once.len() {
                    self.doubled.push(format!("{who}: {} words", found.len() - once.len()));
                }
                if missing == 0 && found.len() == once.len() {
                    self.disordered.push(format!("{who}: its parts stand in another order"));
                }
            }
            self.doubled.extend(shown.into_keys().map(|name| format!("{name}: in a room that it was not for")));
        }
    }

    /// Each part is one line; parts stay together; equals in priority stand in the order accepted.
    fn room(&mut self, parts: &[&Part], lines: &[Line], overlap: Duration) {
        let (mut shown, mut at): (Vec<&Part>, Vec<f64>) = (Vec::new(), Vec::new());
        for line in lines {
            let text = line.text.as_deref().unwrap_or_default().trim();
            let same = |part: &&&Part| part.text.trim() == text && part.picture_url == line.picture_url;
            // Two notices may say the same: each line is the first part of its words that was not shown yet.
            let unseen =
                |part: &&&Part| !shown.iter().any(|other| (other.delivery, other.n) == (part.delivery, part.n));
            let part = parts.iter().filter(same).find(unseen).or_else(|| parts.iter().find(same));
            if let Some(part) = part {
                shown.push(part);
                at.push(epoch(line));
            } else {
                self.doubled.push(format!("a line that is no part: {text:.40}"));
            }
        }
        for part in parts {
            let times = shown.iter().filter(|other| other.delivery == part.delivery && other.n == part.n).count();
            match times {
                0 => self.lost.push(part.named()),
                1 => {}
                _ => self.doubled.push(format!("{}: {times} times", part.named())),
            }
        }
        for (first, part) in shown.iter().enumerate() {
            let Some(last) = shown.iter().rposition(|other| other.delivery == part.delivery) else { continue };
            for between in &shown[first..last] {
                if between.delivery != part.delivery && between.prio <= part.prio {
                    self.disordered.push(format!("{} between parts of {}", between.named(), part.named()));
                }
            }
            if part.n > 1 {
                // Its message has begun: what was stored late, with a lower number, rightly comes after it.
                continue;
            }
            let late = |other: &Part| other.accepted_at + overlap.as_secs_f64() < at[first];
            for after in shown[first..].iter().filter(|after| after.prio == part.prio && after.qseq < part.qseq) {
                if late(after) {
                    let waited = at[first] - after.accepted_at;
                    let (after, part) = (after.named(), part.named());
                    self.disordered.push(format!("{after}, accepted {waited:.2} s before, after {part}"));
                }
            }
        }
    }
}

impl Part {
    fn named(&self) -> String {
        let words = self.text.split_whitespace().map(|word| word.trim_matches('"'));
        let word = words.into_iter().find(|word| word.starts_with('m')).unwrap_or_default();
        format!(
            "{word} (uid {}, delivery {}, part {}, priority {}, qseq {})",
            self.uid, self.delivery, self.n, self.prio, self.qseq
        )
    }
}

/// Two parts of what a room shows, as it shows them.
fn merged(lines: &[Line], more: Vec<Line>) -> Vec<Line> {
    let mut all = [lines, &more].concat();
    all.sort_by_key(|line| line.at);
    all
}

/// When a line was shown, by the wall clock that the database has too.
fn epoch(line: &Line) -> f64 {
    let shown = SystemTime::now() - line.at.elapsed();
    shown.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
