//! The parts of what was taken, as the database has them.

/// A part as its rows have it. What was withdrawn or expired must not be seen; whose words were said and must be, are
/// looked for in the rooms themselves.
pub struct Part {
    pub delivery: i64,
    pub uid: String,
    pub room: String,
    pub prio: i16,
    pub qseq: i64,
    pub delivery_state: String,
    pub state: String,
    pub accepted_at: f64,
    pub n: i16,
    pub text: String,
    pub picture_url: Option<String>,
    pub attempts: i32,
    pub recorded: Vec<i32>,
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

impl Part {
    /// All that must be seen.
    pub async fn all(db: &tokio_postgres::Client) -> Vec<Self> {
        let rows = db.query(PARTS, &[]).await.unwrap();
        rows.iter()
            .map(|row| Self {
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
            .collect()
    }

    /// Its name in reports.
    pub fn named(&self) -> String {
        let words = self.text.split_whitespace().map(|word| word.trim_matches('"'));
        let word = words.into_iter().find(|word| word.starts_with('m')).unwrap_or_default();
        format!(
            "{word} (uid {}, delivery {}, part {}, priority {}, qseq {})",
            self.uid, self.delivery, self.n, self.prio, self.qseq
        )
    }
}
