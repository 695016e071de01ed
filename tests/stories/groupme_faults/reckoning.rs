//! The reckoning: what the rooms show against what was said; the rows against what GroupMe was asked and answered.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use groupme_sim::Line;

use super::{Fate, PACE, ROOMS, SLOW_FOR, Said};
use crate::attack::Tally;
use crate::station::Station;

/// Rows tell whole milliseconds, and the clock is read twice, on a busy machine.
const ROUNDING: f64 = 0.02;

#[derive(Default)]
pub struct Reckoning {
    messages: usize,
    calls: usize,
    hits: usize,
    /// Said again because the answer and the callback were lost: the named window of a room that cannot be read.
    named: usize,
    lost: Vec<String>,
    doubled: Vec<String>,
    disordered: Vec<String>,
    unrecorded: Vec<String>,
    others: Vec<String>,
}

impl Reckoning {
    pub fn tally(self) -> Tally {
        let mut told = format!(
            "{} messages, {} calls, {} hits, {} named repeats",
            self.messages, self.calls, self.hits, self.named
        );
        for (name, list) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("disordered", &self.disordered),
            ("unrecorded", &self.unrecorded),
        ] {
            list.iter().for_each(|fault| write!(told, "\n  {name}: {fault}").unwrap());
        }
        Tally {
            messages: self.messages,
            hits: self.hits,
            lost: self.lost.len(),
            doubled: self.doubled.len(),
            disordered: self.disordered.len(),
            unrecorded: self.unrecorded.len(),
            others: self.others,
            told,
        }
    }
}

/// A part as its rows have it.
struct Part {
    uid: String,
    room: String,
    delivery_state: String,
    cause: String,
    set_asides: i16,
    n: i16,
    text: String,
    state: String,
    /// The outcome of each attempt, in their order.
    outcomes: Vec<String>,
}

const PARTS: &str = "
select d.uid, d.room, d.state, d.cause, d.set_asides, p.n, p.text, p.state,
       array(select a.outcome from api_calls a where a.delivery = p.delivery and a.part = p.n and a.operation = 'post'
             order by a.attempt)
from messages m join deliveries d using (uid) join parts p on p.delivery = d.id
where m.door = 'rabbitmq' order by d.id, p.n";

const CALLS: &str = "
select room, outcome, extract(epoch from at)::float8 - latency_ms / 1000.0::float8, extract(epoch from at)::float8, request->>'text'
from api_calls where operation = 'post' order by 3";

const HEARD: &str = "select line_id, extract(epoch from received_at)::float8 from groupme_callbacks";

/// `last`: from this message on, all were said at once after a silence. `readable`: no line may be said twice.
pub async fn reckon(station: &Station, said: &[Said], last: usize, readable: bool) -> Reckoning {
    let db = station.db().await;
    let heard: HashMap<String, f64> =
        db.query(HEARD, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let hidden: HashSet<String> = station
        .sim
        .posts()
        .iter()
        .filter(|post| !post.shown && matches!(post.answer, Some(200..=299)))
        .flat_map(|post| words_of(post.text.as_deref().unwrap_or_default()).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let set_aside = station.column("select uid from deliveries where set_asides > 0").await.into_iter().collect();
    let mut found = Reckoning { messages: said.len(), ..Reckoning::default() };
    for (number, (_, _, group)) in ROOMS.iter().enumerate() {
        let mut lines = station.sim.lines(group);
        if !readable {
            found.named += drop_named_repeats(&mut lines, &heard);
        }
        let said: Vec<&Said> = said.iter().filter(|said| said.room == number).collect();
        found.words(&said, &lines, &hidden, &set_aside);
    }
    let parts: Vec<Part> = db
        .query(PARTS, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| Part {
            uid: row.get(0),
            room: row.get(1),
            delivery_state: row.get(2),
            cause: row.get(3),
            set_asides: row.get(4),
            n: row.get(5),
            text: row.get(6),
            state: row.get(7),
            outcomes: row.get(8),
        })
        .collect();
    found.rows(station, &parts);
    found.states(station, said, &parts, &heard);
    let calls: Vec<Call> = db
        .query(CALLS, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| Call { room: row.get(0), outcome: row.get(1), start: row.get(2), end: row.get(3), text: row.get(4) })
        .collect();
    (found.calls, found.hits) = (calls.len(), calls.iter().filter(|call| call.outcome != "posted").count());
    found.waits(station, said);
    for (room, ..) in ROOMS {
        let calls: Vec<&Call> = calls.iter().filter(|call| call.room == room).collect();
        found.pace(&calls, said, last);
    }
    found
}

/// The number of the message that a word of it names.
fn number_of(word: &str) -> Option<usize> {
    word.trim_matches('"').strip_prefix('m')?.split_once('w')?.0.parse().ok()
}

fn words(line: &Line) -> impl Iterator<Item = &str> {
    words_of(line.text.as_deref().unwrap_or_default())
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| number_of(word).is_some()).map(|word| word.trim_matches('"'))
}

/// Takes out lines that were said again and whose first was not heard of by then: its answer was lost as well.
fn drop_named_repeats(lines: &mut Vec<Line>, heard: &HashMap<String, f64>) -> usize {
    let (before, mut first) = (lines.len(), HashMap::<String, String>::new());
    lines.retain(|line| {
        let text = line.text.clone().unwrap_or_default();
        let Some(earlier) = first.insert(text, line.id.clone()) else { return true };
        heard.get(&earlier).is_some_and(|at| *at < epoch(line))
    });
    before - lines.len()
}

impl Reckoning {
    /// Every word once and in order, messages whole and in the order accepted. `hidden`: words that were taken and never
    /// shown; `set_aside`: messages that lost their place.
    fn words(&mut self, said: &[&Said], lines: &[Line], hidden: &HashSet<String>, set_aside: &HashSet<String>) {
        let mut shown: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let mut order: Vec<usize> = Vec::new();
        for word in lines.iter().flat_map(words) {
            let number = number_of(word).unwrap();
            shown.entry(number).or_default().push(word);
            if order.last() != Some(&number) {
                order.push(number);
            }
        }
        for said in said {
            let number = number_of(&said.words[0]).unwrap();
            let found = shown.remove(&number).unwrap_or_default();
            let once: HashSet<&str> = found.iter().copied().collect();
            let missing = |word: &&String| !once.contains(word.as_str()) && !hidden.contains(*word);
            let missing = said.words.iter().filter(missing).count();
            let wanted = match said.fate {
                Fate::Whole | Fate::Hidden => missing == 0,
                Fate::Refused | Fate::Poison => once.is_empty(),
            };
            if set_aside.contains(&said.uid) {
                order.retain(|other| *other != number);
            }
            if !wanted {
                self.lost.push(format!("m{number:03} ({:?}): {missing} of {} words", said.fate, said.words.len()));
            }
            if found.len() > once.len() {
                self.doubled.push(format!("m{number:03}: {} words", found.len() - once.len()));
            }
            if found.len() == once.len() && !found.is_sorted() {
                self.disordered.push(format!("m{number:03}: its parts stand in another order"));
            }
        }
        self.doubled.extend(shown.into_keys().map(|number| format!("m{number:03}: in a room that it was not for")));
        let mut seen = HashSet::new();
        for pair in order.windows(2) {
            if pair[1] < pair[0] {
                self.disordered.push(format!("m{:03} after m{:03}", pair[1], pair[0]));
            }
        }
        for number in order {
            if !seen.insert(number) {
                self.disordered.push(format!("m{number:03}: something stands between its parts"));
            }
        }
    }

    /// Each request that GroupMe got is a row, and a row that says posted is one that it answered so.
    fn rows(&mut self, station: &Station, parts: &[Part]) {
        let posts = station.sim.posts();
        for part in parts {
            let same = |post: &&groupme_sim::Post| post.text.as_deref() == Some(part.text.as_str());
            let asked = posts.iter().filter(same).count();
            let taken = posts.iter().filter(same).filter(|post| matches!(post.answer, Some(200..=299))).count();
            let posted = part.outcomes.iter().filter(|outcome| *outcome == "posted").count();
            // An answer that came too late for its caller was given all the same.
            if asked != part.outcomes.len() || posted > taken {
                let who = format!("{} part {} in {}", part.uid, part.n, part.room);
                self.unrecorded.push(format!("{who}: asked {asked} times, taken {taken}, rows {:?}", part.outcomes));
            }
        }
    }

    /// What is known of a part is what the room and its callbacks told; a delivery is what its parts are.
    fn states(&mut self, station: &Station, said: &[Said], parts: &[Part], heard: &HashMap<String, f64>) {
        let lines: Vec<Line> = ROOMS.iter().flat_map(|(_, _, group)| station.sim.lines(group)).collect();
        let mut by_uid: BTreeMap<&str, Vec<&Part>> = BTreeMap::new();
        parts.iter().for_each(|part| by_uid.entry(&part.uid).or_default().push(part));
        for said in said {
            let Some(parts) = by_uid.get(said.uid.as_str()) else {
                self.lost.push(format!("{} has no delivery", said.uid));
                continue;
            };
            let who = format!("{} ({:?}, {:?})", &said.words[0][..4], said.fate, parts[0].cause);
            for part in parts {
                let shown: Vec<&Line> = lines.iter().filter(|line| line.text.as_ref() == Some(&part.text)).collect();
                let told = shown.iter().any(|line| heard.contains_key(&line.id));
                let state = part.state.as_str();
                let right = match said.fate {
                    Fate::Poison | Fate::Refused => state == "failed",
                    Fate::Whole | Fate::Hidden if told => state == "confirmed",
                    Fate::Whole | Fate::Hidden => matches!(state, "sent" | "unconfirmed"),
                };
                if !right {
                    let count = shown.len();
                    self.others.push(format!("{who}: part {} is {state}, shown {count} times, told {told}", part.n));
                }
            }
            let all = |state: &str| parts.iter().all(|part| part.state == state);
            let some = |state: &str| parts.iter().any(|part| part.state == state);
            let wanted = match () {
                () if some("failed") => "failed",
                () if all("confirmed") => "confirmed",
                () if some("unconfirmed") => "unconfirmed",
                () => "sent",
            };
            if parts[0].delivery_state != wanted {
                self.others.push(format!("{who}: its delivery is {}, not {wanted}", parts[0].delivery_state));
            }
            // On a busy machine a call may take longer than it may, and so be the third that ends unknown.
            let unlucky = |part: &Part| part.outcomes.iter().filter(|outcome| *outcome == "unknown").count() > 2;
            if (parts[0].set_asides > 0) != parts.iter().any(|part| unlucky(part)) {
                self.others.push(format!("{who}: set aside {} times", parts[0].set_asides));
            }
        }
    }

    /// `Retry-After` is waited out.
    fn waits(&mut self, station: &Station, said: &[Said]) {
        let posts = station.sim.posts();
        for (at, post) in posts.iter().enumerate().filter(|(_, post)| post.answer == Some(429)) {
            let number = post.text.as_deref().and_then(|text| words_of(text).find_map(number_of));
            let next = posts[at + 1..].iter().find(|next| next.bot_id == post.bot_id);
            if number.and_then(|number| said.get(number)).is_some_and(|said| said.waits && said.limits == 1)
                && let Some(next) = next
                && next.at - post.at < Duration::from_secs(1)
            {
                self.others.push(format!("called {:?} after a limit of a second", next.at - post.at));
            }
        }
    }

    /// Half the pace after a rate limit, and no burst; the whole pace again after a while. By the times that the database
    /// kept: when a call began.
    fn pace(&mut self, calls: &[&Call], said: &[Said], last: usize) {
        let (pace, slow_for) = (PACE.as_secs_f64(), SLOW_FOR.as_secs_f64());
        for limited in calls.iter().filter(|call| call.outcome == "limited") {
            let end = limited.end + slow_for - ROUNDING;
            let slow = |call: &Call| call.start > limited.end && call.start < end;
            for pair in calls.windows(2).filter(|pair| pair.iter().all(|call| slow(call) && call.outcome != "unknown"))
            {
                // A callback may have written the row before the answer came.
                let gap = pair[1].end - pair[0].start;
                if gap < 2.0 * pace - ROUNDING {
                    let after = [0, 1].map(|n| pair[n].start - limited.end);
                    self.others.push(format!("{gap:.3} s between two calls, {after:.3?} s after a rate limit"));
                }
            }
        }
        let number = |call: &&&Call| call.text.as_deref().and_then(|text| text.split_whitespace().find_map(number_of));
        let rested: Vec<f64> =
            calls.iter().filter(|call| number(call).is_some_and(|n| n >= last)).map(|call| call.start).collect();
        if last < said.len() && !rested.windows(2).any(|pair| pair[1] - pair[0] < 2.0 * pace - ROUNDING) {
            self.others.push(format!("the pace is not restored: {rested:?}"));
        }
    }
}

/// A call to post, as its row tells it: when it began and ended, in seconds since 1970.
struct Call {
    room: String,
    outcome: String,
    start: f64,
    end: f64,
    text: Option<String>,
}

/// When a line was shown, by the wall clock that the database has too.
fn epoch(line: &Line) -> f64 {
    let shown = SystemTime::now() - line.at.elapsed();
    shown.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
