//! What one process remembers of an outage of the database: that it is down, how far it has come with posting alarms by
//! itself, and at what pace. Nothing here is a promise: a process that ends forgets it, and then a batch that comes
//! back may be seen twice, which is the exception that the README names.
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::direct::Call;
use crate::config::Room;
use crate::guard::Since;

/// So long after it was found down, the database is asked only briefly: alarms may lie behind what is in hand.
const REMEMBERED: Duration = Duration::from_secs(5);

/// And by the consumer not at all so soon after it was asked in vain: what is aside circles, and an alarm that comes
/// behind thousands of others must not wait until each batch of them has asked.
const ASKED: Duration = Duration::from_secs(1);

/// So long it is believed that it is down: who was frozen since, or waited for a turn, asks again before a call.
const PROVED: Duration = Duration::from_secs(2);

/// What was stored is remembered for so long, and of so many messages: a batch that comes back does so much sooner.
const TAKEN: (Duration, usize) = (Duration::from_secs(600), 5000);

/// What is remembered of a message is forgotten after this; a batch comes back much sooner.
const KEPT: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(super) struct Outage(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    down: Option<Since>,
    /// When it was last asked in vain, by somebody who was awake.
    asked: Option<Since>,
    /// Somebody tries to connect to it.
    connecting: bool,
    /// Rooms that are not to be spoken in before, as their provider asked.
    paused: HashMap<String, Instant>,
    /// When the next post of a room would come, were there no burst (GCRA).
    arrivals: HashMap<String, Instant>,
    begun: HashMap<String, Begun>,
    /// Alarms that are stored, the oldest first, and their names.
    taken: VecDeque<(Since, String)>,
    names: HashSet<String>,
    /// What was said lately, the oldest first: when, in which room, and the fingerprint of the text.
    said: VecDeque<(Since, String, Vec<u8>)>,
    /// Places of what was put aside and has not been stored since, each with whose it is.
    aside: BTreeMap<i64, Uuid>,
    /// The last place that was given.
    last: i64,
    /// When waiting for what is missing ends.
    recovered_by: Option<Instant>,
}

/// A message whose posting was begun here.
struct Begun {
    since: Instant,
    rooms: HashMap<String, Progress>,
}

/// How far a message has come in one room.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// The part to be posted next, from 0.
    pub(super) next: usize,
    /// Calls whose answers were lost, of the next part.
    pub(super) unknowns: u32,
    /// When the last of them was made.
    pub(super) unknown_at: Option<Timestamp>,
    /// Nothing is left to be posted.
    pub(super) done: bool,
    /// At least one part is in the room.
    pub(super) posted: bool,
    /// The provider will not have it: not asked again without the database.
    pub(super) refused: bool,
    /// Calls that are not recorded.
    pub(super) calls: Vec<Call>,
}

impl Outage {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database was down a moment ago.
    pub(super) fn is_known(&self) -> bool {
        self.memory().down.is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    /// Remembers that it was found down.
    pub(super) fn found(&self) {
        let mut memory = self.memory();
        memory.down = Some(Since::now());
        memory.recovered_by = None;
    }

    /// Whether it was asked in vain just now.
    pub(super) fn was_asked(&self) -> bool {
        self.memory().asked.is_some_and(|at| at.elapsed() < ASKED)
    }

    /// It was asked in vain, by a process that was awake all the while.
    pub(super) fn asked(&self) {
        self.memory().asked = Some(Since::now());
    }

    /// Whether it surely is down.
    pub(super) fn is_proved(&self) -> bool {
        self.memory().asked.is_some_and(|at| at.elapsed() < PROVED)
    }

    /// An alarm is stored: should its batch come back, another may be posting it.
    pub(super) fn took(&self, name: String) {
        let mut memory = self.memory();
        let memory = &mut *memory;
        let (long, many) = TAKEN;
        if memory.names.insert(name.clone()) {
            memory.taken.push_back((Since::now(), name));
        }
        while memory.taken.len() > many || memory.taken.front().is_some_and(|(at, _)| at.elapsed() > long) {
            let Some((_, name)) = memory.taken.pop_front() else { break };
            memory.names.remove(&name);
        }
    }

    /// Whether it is stored.
    pub(super) fn has_taken(&self, name: &str) -> bool {
        self.memory().names.contains(name)
    }

    /// This was said in a room.
    pub(super) fn said(&self, room: &Room, fingerprint: Vec<u8>) {
        let mut memory = self.memory();
        memory.said.push_back((Since::now(), room.name.clone(), fingerprint));
        while memory.said.front().is_some_and(|(at, ..)| at.elapsed() > KEPT) {
            memory.said.pop_front();
        }
    }

    /// How often this was said in a room within this time.
    pub(super) fn times_said(&self, room: &Room, fingerprint: &[u8], within: Duration) -> usize {
        let memory = self.memory();
        let late = memory.said.iter().rev().take_while(|(at, ..)| at.elapsed() <= within);
        late.filter(|(_, name, said)| *name == room.name && said == fingerprint).count()
    }

    /// Whether nobody tries to connect to it yet; the caller does now.
    pub(super) fn begin_connecting(&self) -> bool {
        !std::mem::replace(&mut self.memory().connecting, true)
    }

    pub(super) fn end_connecting(&self) {
        self.memory().connecting = false;
    }

    /// The database is back; whether that is news.
    pub(super) fn over(&self) -> bool {
        let mut memory = self.memory();
        memory.asked = None;
        memory.down.take().is_some()
    }

    /// Whether something was put aside that has not been stored since.
    pub(super) fn has_aside(&self) -> bool {
        !self.memory().aside.is_empty()
    }

    /// The places of what was put aside and has not been stored since.
    pub(super) fn aside(&self) -> BTreeMap<i64, Uuid> {
        self.memory().aside.clone()
    }

    /// The place of something that is put aside, a new one if it has none.
    pub(super) fn put_aside(&self, place: Option<i64>, whose: Uuid) -> i64 {
        let now = jiff::Timestamp::now().as_microsecond();
        let mut memory = self.memory();
        let place = place.unwrap_or_else(|| now.max(memory.last + 1));
        memory.last = memory.last.max(place);
        memory.aside.insert(place, whose);
        place
    }

    /// What was put aside is stored.
    pub(super) fn stored(&self, place: i64) {
        self.memory().aside.remove(&place);
    }

    /// The database takes what comes, in order; `within`: what is missing then is not waited for any more.
    pub(super) fn recovering(&self, within: Duration) {
        let mut memory = self.memory();
        let by = *memory.recovered_by.get_or_insert_with(|| Instant::now() + within);
        if memory.aside.is_empty() || Instant::now() >= by {
            memory.aside.clear();
            memory.recovered_by = None;
        }
    }

    /// When this room may be spoken in next: at most its burst, then its pace. Nobody knows what others post meanwhile.
    pub(super) fn turn(&self, room: &Room) -> Instant {
        let now = Instant::now();
        let arrival = self.memory().arrivals.get(&room.name).copied().unwrap_or(now);
        let turn = arrival.checked_sub(room.pace * room.burst.saturating_sub(1)).unwrap_or(now);
        self.memory().paused.get(&room.name).map_or(turn, |until| turn.max(*until))
    }

    /// The provider asks for silence in this room.
    pub(super) fn pause(&self, room: &Room, pause: Duration) {
        self.memory().paused.insert(room.name.clone(), Instant::now() + pause);
    }

    /// A post is made in this room now.
    pub(super) fn charge(&self, room: &Room) {
        let now = Instant::now();
        let mut memory = self.memory();
        let arrival = memory.arrivals.entry(room.name.clone()).or_insert(now);
        *arrival = (*arrival).max(now) + room.pace;
    }

    /// Whether nothing was begun: the usual case, in which nobody need be asked for a name.
    pub(super) fn is_idle(&self) -> bool {
        self.memory().begun.is_empty()
    }

    /// Whether something of it may be in a room already: then no other way may be taken with it.
    pub(super) fn is_begun(&self, name: &str) -> bool {
        let visible = |progress: &Progress| progress.next > 0 || progress.unknowns > 0 || progress.done;
        self.memory().begun.get(name).is_some_and(|begun| begun.rooms.values().any(visible))
    }

    /// The rooms where it is wholly posted, if of the others nothing can be in the room: those may go another way.
    pub(super) fn rooms_done(&self, name: &str) -> Option<Vec<String>> {
        let memory = self.memory();
        let rooms = &memory.begun.get(name)?.rooms;
        let idle = |progress: &Progress| progress.done || progress.next == 0 && progress.unknowns == 0;
        let done = rooms.iter().filter(|(_, progress)| progress.done).map(|(room, _)| room.clone());
        rooms.values().all(idle).then(|| done.collect())
    }

    /// It goes another way from here.
    pub(super) fn forget(&self, name: &str) {
        self.memory().begun.remove(name);
    }

    /// What was called is on the broker, or in the database.
    pub(super) fn recorded(&self, name: &str) {
        if let Some(begun) = self.memory().begun.get_mut(name) {
            begun.rooms.values_mut().for_each(|progress| progress.calls.clear());
        }
    }

    pub(super) fn progress(&self, name: &str, room: &str) -> Progress {
        self.memory().begun.get(name).and_then(|begun| begun.rooms.get(room)).cloned().unwrap_or_default()
    }

    pub(super) fn set_progress(&self, name: &str, room: &str, progress: Progress) {
        let mut memory = self.memory();
        memory.begun.retain(|_, begun| begun.since.elapsed() < KEPT);
        let begun = memory
            .begun
            .entry(name.to_owned())
            .or_insert_with(|| Begun { since: Instant::now(), rooms: HashMap::new() });
        begun.rooms.insert(room.to_owned(), progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_remembered_but_not_without_bounds() {
        let outage = Outage::default();
        let many = TAKEN.1;
        (0..=many).for_each(|number| outage.took(number.to_string()));
        // Once more is no news.
        outage.took(many.to_string());
        assert!(!outage.has_taken("0") && outage.has_taken("1") && outage.has_taken(&many.to_string()));
        let memory = outage.memory();
        assert_eq!((memory.taken.len(), memory.names.len()), (many, many));
    }

    #[test]
    fn only_a_database_that_was_asked_in_vain_and_has_not_come_back_is_proved_to_be_down() {
        let outage = Outage::default();
        outage.found();
        assert!(outage.is_known() && !outage.is_proved());
        outage.asked();
        assert!(outage.is_proved());
        outage.over();
        assert!(!outage.is_known() && !outage.is_proved());
    }
}
