//! What the rooms show: every word once and in order, every part one line, equals in the order accepted.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use groupme_sim::Line;

use super::Reckoning;
use super::part::Part;
use crate::process::traffic::Message;

/// The named window of a room that cannot be read: the answer of a call was lost, and its callback was lost too. So
/// the part was said again. Takes such lines out, as long as another one says the same; returns how many.
pub fn drop_named_repeats(lines: &mut Vec<Line>, untold: &HashSet<String>) -> usize {
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
    pub fn words(&mut self, said: &[Message], rooms: &[Vec<Line>]) {
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
    pub fn room(&mut self, parts: &[&Part], lines: &[Line], overlap: Duration) {
        let (mut shown, mut at): (Vec<&Part>, Vec<f64>) = (Vec::new(), Vec::new());
        for line in lines {
            let text = line.text.as_deref().unwrap_or_default().trim();
            let same = |part: &&&Part| part.text.trim() == text && part.picture_url == line.picture_url;
            // Two notices may say the same: each line is the first part of its words that was not shown yet, of the message
            // that is being said if it has one.
            let unseen =
                |part: &&&Part| !shown.iter().any(|other| (other.delivery, other.n) == (part.delivery, part.n));
            let goes_on = |part: &&&Part| shown.last().is_some_and(|last| last.delivery == part.delivery);
            let open = || parts.iter().filter(same).filter(unseen);
            let part = open().find(goes_on).or_else(|| open().next()).or_else(|| parts.iter().find(same));
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

/// Two parts of what a room shows, as it shows them.
pub fn merged(lines: &[Line], more: Vec<Line>) -> Vec<Line> {
    let mut all = [lines, &more].concat();
    all.sort_by_key(|line| line.at);
    all
}

/// When a line was shown, by the wall clock that the database has too.
fn epoch(line: &Line) -> f64 {
    let shown = SystemTime::now() - line.at.elapsed();
    shown.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
