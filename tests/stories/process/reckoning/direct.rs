//! What was posted without the database: by its records, for it has no parts.
use groupme_sim::Line;
use tokio::time::Instant;

use super::Reckoning;
use crate::process::works::{Works, room};

/// When the database was away.
#[derive(Clone, Copy)]
pub struct Away {
    pub from: Instant,
    pub until: Instant,
}

/// So long after it came back there may be posts without it: who was told that it is down tries it again after a while.
const AFTERWARDS: f64 = 5.0;

/// What was posted without the database, and whether that is a named window, which is there for alarms alone, and while
/// it is away: it was taken in all the same; or `send` put it on the broker, heard nothing, and posted it, as did who
/// found it there. $1, $2: how many seconds ago it went and came back.
const DIRECT: &str = "
select c.room, c.request->>'text', m.verdict = 'accepted' and w.named,
       m.door = 'http' and w.named
         and row_number() over (partition by c.uid, c.room, c.request->>'text' order by c.at) > 1
from api_calls c join messages m using (uid),
     lateral (select coalesce(m.priority = 2 and extract(epoch from clock_timestamp() - c.at) between $2::float8 and $1::float8,
                              false)) w(named)
where c.attempt is null and c.operation = 'post' and c.outcome in ('posted', 'unknown') order by c.at";

impl Works {
    /// Takes out what was posted without the database, by its records: it has no parts. What is there once more because
    /// it had been taken in all the same is the named window of such posts, and is no line any more.
    pub(super) async fn drop_direct(
        &self,
        lines: &mut [Vec<Line>],
        away: Option<Away>,
        reckoning: &mut Reckoning,
    ) -> Vec<Vec<Line>> {
        let ago = |at: Instant| at.elapsed().as_secs_f64();
        let from = away.map(|away| ago(away.from));
        let until = away.map(|away| ago(away.until) - AFTERWARDS);
        let rows = self.db().await.query(DIRECT, &[&from, &until]).await.unwrap();
        let mut direct = vec![Vec::new(); lines.len()];
        for row in rows {
            let (name, text): (String, String) = (row.get(0), row.get(1));
            let (again, twice): (bool, bool) = (row.get(2), row.get(3));
            for number in (0..lines.len()).filter(|&number| room(number) == name) {
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
}
