//! A holder of lanes: does what `relay/lane.rs` does, a statement at a time; it may stop anywhere, die, or come late.
use std::time::Duration;

use serde_json::json;
use talkback::store::lanes::{CallReport, Claim, Claimed, Outcome};

use super::chat::{Arriving, kind};
use super::town::{BURST, Call, HTTP, Held, Kind, LEASE, MARGIN, Moment, PACE, Town, WINDOW};
use crate::lanes::{record_and_claim, record_and_release};
use crate::process::chance::Chance;

/// Time that a loaded machine may take for a statement.
const NEARLY: Duration = Duration::from_millis(400);

pub struct Holder {
    pub token: String,
    /// That it took last.
    pub room: String,
    pub doing: Doing,
}

pub enum Doing {
    Nothing,
    Holds,
    /// To post; since before the claim was sent.
    Claimed(Claimed, Moment),
    /// To read the room.
    Looks(Claimed, Moment),
    /// The call was made and has ended so; nothing is written down yet.
    Called(Claimed, Moment, Outcome),
}

impl Town {
    /// What a holder does next.
    pub async fn act(&mut self, who: usize, chance: &mut Chance) -> Held {
        match std::mem::replace(&mut self.holders[who].doing, Doing::Nothing) {
            Doing::Nothing => self.take(who).await,
            Doing::Holds => {
                if !self.ending && chance.within(0..5) == 0 {
                    return self.release(who).await;
                }
                self.claim(who, None).await
            }
            Doing::Claimed(claimed, since) => self.post(who, claimed, since, chance).await,
            Doing::Looks(claimed, since) => self.look(who, &claimed, since, chance).await,
            Doing::Called(claimed, began, outcome) => self.record(who, &claimed, began, outcome, chance).await,
        }
    }

    /// A holder dies, and another comes in its place.
    pub fn crash(&mut self, who: usize) {
        let token = self.token();
        let doing = std::mem::replace(&mut self.holders[who].doing, Doing::Nothing);
        let old = std::mem::replace(&mut self.holders[who].token, token);
        let what = match &doing {
            Doing::Nothing => return,
            Doing::Holds => "with a lane",
            Doing::Looks(..) => "before it reads the room",
            Doing::Claimed(..) => "before its call",
            Doing::Called(..) => "before it writes its call down",
        };
        self.total.hits += usize::from(matches!(doing, Doing::Claimed(..) | Doing::Called(..)));
        self.note(format!("{old} dies {what}"));
    }

    async fn take(&mut self, who: usize) -> Held {
        let (token, since) = (self.holders[who].token.clone(), self.now());
        let lanes = self.relay.settings.lanes.clone();
        self.leases.retain(|_, (held_by, _)| *held_by != token);
        let taken = self.relay.store.take(&token, &self.relay.room_names(), &lanes).await;
        let Some((room, claim)) = taken.map_err(|error| format!("take failed: {error}"))? else { return Ok(()) };
        let now = self.now();
        if let Some((other, until)) =
            self.leases.get(&kind(&room)).filter(|(other, until)| *other != token && *until > now)
        {
            return Err(format!("two holders: {token} takes {room}, which {other} has until {until:?}"));
        }
        self.note(format!("{token} takes {room}"));
        self.holds(who, kind(&room), since);
        self.holders[who].room = room;
        self.claimed(who, claim, since).await
    }

    fn holds(&mut self, who: usize, room: Kind, since: Moment) {
        let token = self.holders[who].token.clone();
        self.leases.insert(room, (token, since + LEASE));
    }

    async fn claim(&mut self, who: usize, absent: Option<&Claimed>) -> Held {
        let (token, since) = (self.holders[who].token.clone(), self.now());
        let claim = self.relay.store.claim(&token, &self.holders[who].room, &self.relay.settings.lanes, absent).await;
        self.claimed(who, claim.map_err(|error| format!("claim failed: {error}"))?, since).await
    }

    /// Takes note of what a claim answered, and of what must not have been claimed.
    async fn claimed(&mut self, who: usize, claim: Claim, since: Moment) -> Held {
        let token = self.holders[who].token.clone();
        let doing = match claim {
            Claim::Lost => {
                self.leases.retain(|_, (held_by, _)| *held_by != token);
                Doing::Nothing
            }
            Claim::Idle | Claim::Wait(_) => Doing::Nothing,
            Claim::Settled { how, uid } => {
                self.note(format!("{token} settles {uid}: {how}"));
                Doing::Holds
            }
            Claim::Look(claimed) => {
                self.holds(who, kind(&claimed.room), since);
                Doing::Looks(claimed, since)
            }
            Claim::Post(claimed) => {
                self.note(format!("{token} claims {} part {}, attempt {}", claimed.uid, claimed.part, claimed.attempt));
                self.holds(who, kind(&claimed.room), since);
                self.may_be_claimed(&claimed)?;
                let call = Call { claimed: since, began: None, ended: None, told: None, late: false, disowned: false };
                let part = self.parts.entry((claimed.delivery, claimed.part)).or_default();
                part.calls.retain(|attempt, call| !(call.disowned && *attempt == claimed.attempt));
                if part.calls.insert(claimed.attempt, call).is_some() {
                    return Err(format!("attempt {} of {} was claimed twice", claimed.attempt, claimed.uid));
                }
                Doing::Claimed(claimed, since)
            }
        };
        if matches!(doing, Doing::Nothing) {
            return self.release(who).await;
        }
        self.holders[who].doing = doing;
        Ok(())
    }

    /// Whether the rules let this part be posted now.
    fn may_be_claimed(&self, claimed: &Claimed) -> Held {
        let (room, now) = (kind(&claimed.room), self.now() + NEARLY);
        let Some(part) = self.parts.get(&(claimed.delivery, claimed.part)) else { return Ok(()) };
        if part.replayed {
            return Ok(());
        }
        let what = format!("{} part {} of {room:?}", claimed.uid, claimed.part);
        if part.proven {
            return Err(format!("{what} is claimed again, though it was proven to be there"));
        }
        for (attempt, call) in part.calls.iter().filter(|(_, call)| !call.disowned) {
            match (call.told, call.ended) {
                (Some("retry" | "limited" | "suspended"), _) => {}
                // Told late, when it had been judged already: it will be refused once more.
                (Some("refused"), _) if call.late => {}
                (Some(other), _) if other != "unknown" => {
                    return Err(format!("{what} is claimed again after {other}"));
                }
                _ if room == Kind::Giver => return Err(format!("{what} is claimed again, though nothing can tell")),
                // Judged only when its time is over.
                (Some(_), Some(ended)) if now < (ended + WINDOW).min(call.claimed + LEASE + WINDOW) => {
                    return Err(format!("{what} is claimed again before the window of attempt {attempt} is over"));
                }
                (None, _) if now < call.claimed + LEASE + WINDOW => {
                    return Err(format!("{what} is claimed again while attempt {attempt} may be in the air"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn release(&mut self, who: usize) -> Held {
        let token = self.holders[who].token.clone();
        self.leases.retain(|_, (held_by, _)| *held_by != token);
        self.holders[who].doing = Doing::Nothing;
        self.relay.store.release(&token).await.map_err(|error| format!("release failed: {error}"))
    }

    /// The guard of `relay/lane.rs`: what has passed since before the claim leaves time for the call.
    fn may_call(&self, since: Moment) -> bool {
        self.now() - since + HTTP + MARGIN <= LEASE
    }

    async fn post(&mut self, who: usize, claimed: Claimed, since: Moment, chance: &mut Chance) -> Held {
        let (token, room, now) = (self.holders[who].token.clone(), kind(&claimed.room), self.now());
        let late = claimed.deliver_in.is_some_and(|left| left <= now - since);
        if !self.may_call(since) || late {
            self.total.hits += usize::from(!late);
            self.note(format!("{token} comes too late for its call"));
            self.relay.store.disown(&token, None).await.map_err(|error| format!("disown failed: {error}"))?;
            // Somebody else may have judged it already.
            let attempt = "select attempt from parts where delivery = $1 and n = $2";
            let row = self.db.query_one(attempt, &[&claimed.delivery, &claimed.part]).await.unwrap();
            let part = self.parts.get_mut(&(claimed.delivery, claimed.part)).unwrap();
            part.calls.get_mut(&claimed.attempt).unwrap().disowned = row.get::<_, i32>(0) < claimed.attempt;
            return self.release(who).await;
        }
        self.may_be_called(&claimed, now)?;
        let outcome = if self.ending {
            Outcome::Posted
        } else {
            match chance.within(0..100) {
                0..58 => Outcome::Posted,
                58..62 => Outcome::Refused,
                62..72 => Outcome::Retry,
                72..76 => Outcome::Limited,
                76..79 => Outcome::Suspended,
                _ => Outcome::Unknown,
            }
        };
        let call =
            self.parts.get_mut(&(claimed.delivery, claimed.part)).unwrap().calls.get_mut(&claimed.attempt).unwrap();
        (call.began, call.ended) = (Some(now), Some(now));
        self.total.calls += 1;
        self.note(format!("{token} calls {} part {}: {outcome:?}", claimed.uid, claimed.part));
        self.posts.entry(room).or_default().push(now);
        match (outcome, chance.within(0..3)) {
            (Outcome::Posted, _) | (Outcome::Unknown, 0) => self.show(room, &claimed, now)?,
            (Outcome::Unknown, 1) => self.arriving.push(Arriving { read: now, room, claimed: claimed.clone() }),
            _ => {}
        }
        self.holders[who].doing = Doing::Called(claimed, now, outcome);
        Ok(())
    }

    /// Whether somebody else has taken the lane since: then what was claimed may have been judged already.
    fn is_lost(&self, who: usize, room: Kind) -> bool {
        self.leases.get(&room).is_none_or(|(token, _)| *token != self.holders[who].token)
    }

    fn may_be_called(&self, claimed: &Claimed, now: Moment) -> Held {
        let room = kind(&claimed.room);
        for holder in &self.holders {
            if let Doing::Called(other, began, _) = &holder.doing
                && other.room == claimed.room
                && *began + HTTP > now
            {
                return Err(format!("two calls in {room:?} at once: {} and {}", other.uid, claimed.uid));
            }
        }
        let message = self.messages.iter().find(|message| claimed.uid.split('@').next() == Some(message.uid.as_str()));
        let Some(message) = message else { return Err(format!("nobody said {}", claimed.uid)) };
        let replayed = self.parts[&(claimed.delivery, claimed.part)].replayed;
        if claimed.part == 1 && !replayed && message.deliver_by.is_some_and(|by| now > by + NEARLY) {
            return Err(format!("{} is posted after its producer has taken over", claimed.uid));
        }
        let posts = self.posts.get(&room).map_or(&[][..], Vec::as_slice);
        for (n, earlier) in posts.iter().rev().enumerate() {
            let may = PACE * u32::try_from((n + 2).saturating_sub(BURST)).unwrap();
            if now - *earlier + NEARLY < may {
                return Err(format!("too fast: {} posts in {:?} in {room:?}", n + 2, now - *earlier));
            }
        }
        Ok(())
    }

    async fn look(&mut self, who: usize, claimed: &Claimed, since: Moment, chance: &mut Chance) -> Held {
        if !self.may_call(since) {
            return self.release(who).await;
        }
        if !self.ending && chance.within(0..4) == 0 {
            let token = self.holders[who].token.clone();
            self.note(format!("{token} cannot read the room for {}", claimed.uid));
            let wait = Duration::from_secs(1);
            let put_off = self.relay.store.postpone(&token, claimed, wait).await;
            put_off.map_err(|error| format!("postpone failed: {error}"))?;
            return self.claim(who, None).await;
        }
        self.note(format!("{} reads the room for {} part {}", self.holders[who].token, claimed.uid, claimed.part));
        self.read_room(claimed).await?;
        self.claim(who, Some(claimed)).await
    }

    async fn record(
        &mut self,
        who: usize,
        claimed: &Claimed,
        began: Moment,
        outcome: Outcome,
        chance: &mut Chance,
    ) -> Held {
        let (token, room) = (self.holders[who].token.clone(), kind(&claimed.room));
        let report = CallReport {
            claimed,
            channel: "groupme",
            outcome,
            status: None,
            latency: self.now() - began,
            request: json!({}),
            response: None,
            error: None,
            pause: Duration::from_secs(2),
            room_fingerprint: self.fingerprints[&claimed.room].clone(),
        };
        let since = self.now();
        let lost = self.is_lost(who, room);
        let next = if chance.within(0..3) == 0 {
            let recorded = record_and_release(&self.relay, &token, &report).await;
            recorded.map(|recorded| (recorded, None))
        } else {
            let recorded = record_and_claim(&self.relay, &token, &report).await;
            recorded.map(|(recorded, claim)| (recorded, Some(claim)))
        };
        let (recorded, claim) = next.map_err(|error| format!("record failed: {error}"))?;
        self.total.late += usize::from(lost);
        self.note(format!("{token} writes down {outcome:?} of {} part {}", claimed.uid, claimed.part));
        if recorded.owner && lost {
            return Err(format!("{token} wrote down as the owner of {room:?}, which it had lost"));
        }
        let part = self.parts.get_mut(&(claimed.delivery, claimed.part)).unwrap();
        part.proven |= outcome == Outcome::Posted;
        let call = part.calls.get_mut(&claimed.attempt).unwrap();
        (call.told, call.ended, call.late) = (Some(outcome.as_str()), Some(since), lost);
        match claim {
            Some(claim) => self.claimed(who, claim, since).await,
            None => {
                self.leases.retain(|_, (held_by, _)| *held_by != token);
                Ok(())
            }
        }
    }
}
