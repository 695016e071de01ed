//! The floor: a bare loop that inserts a row, posts, and updates the row, each durably. Nothing that records its calls
//! can do with less.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio_postgres::{Client, Statement};

use crate::bench::Bench;
use crate::station::body;

/// A connection, a client for HTTP, two prepared statements.
pub(crate) struct Floor {
    database: Client,
    insert: Statement,
    update: Statement,
    http: reqwest::Client,
    url: String,
}

const TABLE: &str = "
create table if not exists floor (
  id      bigint generated always as identity primary key,
  room    text not null,
  body    text not null,
  state   text not null default 'posting',
  status  smallint,
  at      timestamptz not null default clock_timestamp(),
  done_at timestamptz)";

impl Floor {
    /// Prepares everything in this database.
    pub(crate) async fn new(bench: &Bench, database: &str) -> Result<Self> {
        let database = bench.connect(database).await?;
        database.batch_execute(TABLE).await?;
        Ok(Self {
            insert: database.prepare("insert into floor (room, body) values ($1, $2) returning id").await?,
            update: database
                .prepare("update floor set state = 'sent', status = $2, done_at = clock_timestamp() where id = $1")
                .await?,
            database,
            // As `channel/groupme.rs` makes its client.
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(5))
                .user_agent("floor")
                .tls_backend_preconfigured(talkback::tls::web_client())
                .build()?,
            url: format!("{}/bots/post", bench.chat.api_url()),
        })
    }

    /// One message: the row, the post, the row.
    pub(crate) async fn send(&self, text: &str) -> Result<()> {
        let row = self.database.query_one(&self.insert, &[&"room-0", &text]).await?;
        let id: i64 = row.try_get(0)?;
        let post = json!({ "bot_id": Bench::bot(0), "text": text });
        let answer = self.http.post(&self.url).timeout(Duration::from_secs(10)).json(&post).send().await?;
        let status = i16::try_from(answer.status().as_u16())?;
        answer.bytes().await?;
        self.database.execute(&self.update, &[&id, &status]).await?;
        Ok(())
    }

    /// So many, one after the other; the seconds they took.
    pub(crate) async fn run(&self, messages: usize) -> Result<f64> {
        let start = Instant::now();
        for n in 0..messages {
            self.send(&body(n)).await.context("the floor")?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}
