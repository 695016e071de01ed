//! What must hold: after every step, and when all has come to its end.
use std::collections::BTreeMap;

use talkback::delivery::DeliveryState;
use tokio_postgres::{Client, Statement};

use super::chat::kind;
use super::town::{Call, Held, Kind, Message, Part, Town};
use crate::storm::WRONG;

/// Two parts in the air where only what is more urgent may overtake one that is not judged yet; a part in the air that
/// nobody would judge; an open part that nobody would post.
const ODD: &str = "
select 'two parts of ' || d.room || ' are in the air' from parts p join deliveries d on d.id = p.delivery
where p.state = 'posting' and d.state in ('queued', 'sending') group by d.room, d.prio having count(*) > 1
union all
select 'nothing says when ' || d.uid || ' is judged' from parts p join deliveries d on d.id = p.delivery
where p.state = 'posting' and d.state in ('queued', 'sending') and d.blocked_until is null
union all
select 'a part of ' || d.uid || ' is open, and it is ' || d.state from parts p join deliveries d on d.id = p.delivery
where p.state in ('waiting', 'posting') and d.state in ('sent', 'confirmed')";

pub async fn prepare(db: &Client) -> Vec<Statement> {
    vec![db.prepare(WRONG).await.unwrap(), db.prepare(ODD).await.unwrap()]
}

pub async fn at_any_time(town: &Town) -> Held {
    for query in &town.wrong {
        if let Some(row) = town.db.query(query, &[]).await.unwrap().first() {
            return Err(row.get(0));
        }
    }
    Ok(())
}

/// Every delivery, for a person to see.
pub async fn told(db: &Client) -> String {
    let all = "select d.uid || ' in ' || d.room || ': ' || d.state || ', ' || d.cause || ' ' ||
                 (select string_agg(p.n || ' ' || p.state || ' ' || p.attempt, ', ' order by p.n) from parts p where p.delivery = d.id)
               from deliveries d order by d.id";
    let rows = db.query(all, &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

/// A delivery as it ended.
struct Ended {
    id: i64,
    uid: String,
    room: Kind,
    state: String,
    parts: i16,
    /// It lost its place: set aside, or replayed.
    moved: bool,
    qseq: i64,
}

pub async fn at_the_end(town: &Town) -> Held {
    let ended = ended(&town.db).await;
    everything_has_ended_as_it_says(town, &ended)?;
    everything_is_in_order(town, &ended)?;
    every_call_has_its_row(town).await?;
    every_change_is_allowed(&town.db).await
}

async fn ended(db: &Client) -> Vec<Ended> {
    let all = "select d.id, split_part(d.uid, '@', 1), d.room, d.state, d.parts, d.qseq,
                 exists (select 1 from delivery_events e where e.delivery = d.id and e.cause in ('due', 'replay'))
               from deliveries d order by d.qseq";
    let rows = db.query(all, &[]).await.unwrap();
    rows.iter()
        .map(|row| Ended {
            id: row.get(0),
            uid: row.get(1),
            room: kind(row.get(2)),
            state: row.get(3),
            parts: row.get(4),
            qseq: row.get(5),
            moved: row.get(6),
        })
        .collect()
}

fn everything_has_ended_as_it_says(town: &Town, ended: &[Ended]) -> Held {
    let wanted: usize = town.messages.iter().map(|message| message.rooms.len()).sum();
    if ended.len() != wanted {
        return Err(format!("lost: {wanted} deliveries were said yes to, {} are there", ended.len()));
    }
    for delivery in ended {
        let message = message(town, &delivery.uid);
        let parts: Vec<Part> =
            (1..=delivery.parts).map(|n| town.parts.get(&(delivery.id, n)).cloned().unwrap_or_default()).collect();
        let told = |word| parts.iter().flat_map(|part| part.calls.values()).any(|call| call.told == Some(word));
        // Also where it was told late what became of it: then it had been judged already.
        let doubtful = |call: &Call| !call.disowned && (call.late || matches!(call.told, None | Some("unknown")));
        let unsure = |part: &Part| part.calls.values().any(doubtful);
        let seen = parts.iter().filter(|part| part.seen > 0).count();
        let right = match delivery.state.as_str() {
            "sent" | "confirmed" => seen == parts.len(),
            "unconfirmed" => parts.iter().all(|part| part.seen > 0 || unsure(part)),
            // Refused, or it alone kept failing.
            "failed" => told("refused") || parts.iter().any(|part| part.calls.len() > 3),
            "expired" => town.now() >= message.expires_at,
            "withdrawn" => message.deliver_by.is_some(),
            _ => false,
        };
        if !right {
            return Err(format!(
                "{} ended {} in {:?}; {seen} of {} parts are seen",
                delivery.uid,
                delivery.state,
                delivery.room,
                parts.len()
            ));
        }
        if delivery.state == "unconfirmed" && delivery.room.tells() {
            return Err(format!("{} ended unconfirmed in {:?}, where one can tell", delivery.uid, delivery.room));
        }
    }
    Ok(())
}

fn message<'a>(town: &'a Town, uid: &str) -> &'a Message {
    town.messages.iter().find(|message| message.uid == uid).unwrap()
}

/// Of one priority in the order accepted, parts in their order and together; only what is higher may come between.
fn everything_is_in_order(town: &Town, ended: &[Ended]) -> Held {
    let by_id: BTreeMap<i64, &Ended> = ended.iter().map(|delivery| (delivery.id, delivery)).collect();
    for room in super::town::KINDS {
        let mut first: Vec<(i64, i16)> = Vec::new();
        let mut late: Vec<i64> = Vec::new();
        for shown in town.shown.iter().filter(|shown| shown.room == room) {
            let line = (shown.delivery, shown.part);
            if !first.contains(&line) && !by_id[&shown.delivery].moved {
                first.push(line);
                let call = town.parts[&line].calls.get(&shown.attempt);
                if call.is_some_and(|call| matches!(call.told, None | Some("unknown"))) {
                    late.push(shown.delivery);
                }
            }
        }
        let priority = |id: &i64| message(town, &by_id[id].uid).priority;
        for (at, (id, part)) in first.iter().enumerate() {
            for (later, later_part) in &first[at + 1..] {
                let before = |a: &i64, b: &i64| by_id[a].qseq < by_id[b].qseq;
                let wrong =
                    if later == id { later_part < part } else { priority(later) == priority(id) && before(later, id) };
                if wrong {
                    return Err(format!(
                        "disordered in {room:?}: {} part {part} before {} part {later_part}",
                        by_id[id].uid, by_id[later].uid
                    ));
                }
            }
            // Whatever comes between this and a later part of the same message is more urgent; or less, and its answer
            // was lost: what is more urgent does not wait until it shows, and it may show late.
            if let Some(end) = first.iter().rposition(|(other, _)| other == id) {
                for (between, _) in first.get(at..end).unwrap_or_default().iter().filter(|(other, _)| other != id) {
                    let overtaken = priority(between) < priority(id) && late.contains(between);
                    if priority(between) <= priority(id) && !overtaken {
                        return Err(format!(
                            "disordered in {room:?}: {} comes between the parts of {}",
                            by_id[between].uid, by_id[id].uid
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

async fn every_call_has_its_row(town: &Town) -> Held {
    let rows =
        "select delivery, part, attempt, outcome from api_calls where operation = 'post' and delivery is not null";
    let mut found: BTreeMap<(i64, i16, i32), String> = BTreeMap::new();
    for row in town.db.query(rows, &[]).await.unwrap() {
        found.insert((row.get(0), row.get(1), row.get(2)), row.get(3));
    }
    for ((delivery, n), part) in &town.parts {
        for (attempt, call) in &part.calls {
            let row = found.remove(&(*delivery, *n, *attempt));
            let what = format!("attempt {attempt} of delivery {delivery} part {n}");
            match (row, call.told) {
                (None, None) if call.disowned => {}
                (None, _) => return Err(format!("unrecorded: {what}")),
                (Some(row), told) if row != told.unwrap_or("unknown") => {
                    return Err(format!("{what} was {told:?}, its row says {row}"));
                }
                (Some(_), _) => {}
            }
        }
    }
    found.into_keys().next().map_or(Ok(()), |call| Err(format!("a row of a call that nobody made: {call:?}")))
}

async fn every_change_is_allowed(db: &Client) -> Held {
    let changes = "select delivery, old_state, new_state, cause from delivery_events order by delivery, id";
    let mut before: BTreeMap<i64, String> = BTreeMap::new();
    for row in db.query(changes, &[]).await.unwrap() {
        let (delivery, old, new): (i64, Option<String>, String) = (row.get(0), row.get(1), row.get(2));
        if before.insert(delivery, new.clone()) != old {
            return Err(format!("the events of delivery {delivery} have a gap before {new}"));
        }
        let state = |word: &str| DeliveryState::parse(word).unwrap();
        if old.as_ref().is_some_and(|old| !state(old).may_become(state(&new))) {
            return Err(format!("{old:?} may not become {new}: {}", row.get::<_, String>(3)));
        }
    }
    Ok(())
}
