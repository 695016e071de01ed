//! Postgres is away: killed, frozen, started again, each story's own. Alarms are seen at once, and once; everything else
//! afterwards, in order; and the records are whole.
mod calls;
mod consumer;
mod doors;
mod kinds;
mod repeats;

use std::path::{Path, PathBuf};
use std::time::Duration;

use talkback::store::Store;
use tokio::task::spawn_blocking;
use xtask::servers::{Postgres, PostgresOptions};

use crate::setup::{Setup, usual_rooms};

/// An alarm is to be seen within this, while Postgres is away: on a machine busy with other tests even 5 s can be too
/// short, and how fast it is `cargo xtask chaos` and `cargo xtask bench` measure.
pub const AT_ONCE: Duration = Duration::from_secs(20);

/// How it goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// As if the power went.
    Killed,
    /// Connections stay open, and nothing answers.
    Frozen,
}

/// A Postgres of a story's own.
pub struct Diary {
    folder: PathBuf,
    postgres: Option<Postgres>,
    url: String,
}

impl Diary {
    /// Starts one, migrated.
    pub async fn open(story: &str) -> Self {
        talkback::tls::install_ring();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outages").join(story);
        let at = folder.clone();
        let postgres = spawn_blocking(move || {
            drop(std::fs::remove_dir_all(&at));
            std::fs::create_dir_all(&at).unwrap();
            Postgres::start(&at.join("postgres"), PostgresOptions::default()).unwrap()
        });
        let postgres = postgres.await.unwrap();
        let url = postgres.url();
        let store = Store::new(&url.clone().into(), None, Duration::from_secs(30), 1).unwrap();
        store.migrate().await.unwrap();
        Self { folder, postgres: Some(postgres), url }
    }

    /// Rooms and routes of a station that writes into this one; what could not be stored comes back after a second.
    pub fn setup(&self) -> Setup {
        let exchanges = "[[exchanges]]\nname = \"source_exchange\"\ntype = \"topic\"\n\
                         patterns = [\"source.#\", \"notification.#\"]\ndeclare = true\n";
        Setup {
            rooms: format!("{}\n{exchanges}", usual_rooms("20ms", 3)),
            // A record that goes by the broker takes 3 s at the least, of which 2 s are tries at a door: on a busy machine
            // a window of a second, which is scaled as those are not, is over before it is there.
            lanes: "retry_ttl = \"1s\"\nwindow = \"10s\"".to_owned(),
            database: Some(self.url.clone()),
            ..Setup::default()
        }
    }

    pub fn go(&mut self, how: Outage) {
        let postgres = self.postgres.as_mut().unwrap();
        match how {
            Outage::Killed => postgres.kill(),
            Outage::Frozen => postgres.freeze(),
        }
    }

    pub async fn come_back(&mut self, from: Outage) {
        let mut postgres = self.postgres.take().unwrap();
        let back = spawn_blocking(move || {
            match from {
                Outage::Killed => postgres.start_again().unwrap(),
                Outage::Frozen => postgres.thaw(),
            }
            postgres
        });
        self.postgres = Some(back.await.unwrap());
    }
}

impl Drop for Diary {
    /// A cluster is large: only what a story that failed leaves is of use to anybody.
    fn drop(&mut self) {
        drop(self.postgres.take());
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}
