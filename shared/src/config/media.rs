//! `[media]`: which pictures are fetched, and how long that may take.
use std::time::Duration;

use super::document::{Reading, Section};
use crate::fetch::Site;

/// Which pictures are fetched, and how long that may take (`[media]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The largest picture, in bytes; a larger one is said in the room's notice. GroupMe's own limit is not known.
    pub max_bytes: u64,
    /// The hard limit of fetching one picture, redirects and a second try included; never longer than `patience`.
    pub timeout: Duration,
    /// How long a message waits for its pictures in one preparation.
    pub patience: Duration,
    /// Hosts that may be asked whatever their address is, also by http and at the named port. Everything else must be
    /// https at port 443 of a public address.
    pub allow: Vec<Site>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            max_bytes: 15_000_000,
            timeout: Duration::from_secs(5),
            patience: Duration::from_secs(10),
            allow: Vec::new(),
        }
    }
}

/// Several large pictures are in a function's memory at once.
const MOST_BYTES: u64 = 50_000_000;

/// The dispatcher begins nothing that could outlast its minute.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// Reads `[media]`.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>) -> Media {
    let mut section = root.section(reading, "media");
    let defaults = Media::default();
    let media = Media {
        max_bytes: section.count(reading, "max_bytes", defaults.max_bytes),
        timeout: section.duration(reading, "timeout").unwrap_or(defaults.timeout),
        patience: section.duration(reading, "patience").unwrap_or(defaults.patience),
        allow: allow(&mut section, reading),
    };
    if media.max_bytes > MOST_BYTES {
        section.fault(reading, "max_bytes", "must not be more than 50000000: pictures are held in memory");
    }
    if media.patience > LONGEST_PATIENCE {
        section.fault(reading, "patience", "must not be longer than 30s: what brings the pictures lives a minute");
    }
    section.end(reading);
    media
}

fn allow(section: &mut Section, reading: &mut Reading<'_>) -> Vec<Site> {
    let mut sites = Vec::new();
    for (place, text) in section.texts(reading, "allow").iter().enumerate() {
        match Site::parse(text) {
            Some(site) => sites.push(site),
            None => section.fault(
                reading,
                &format!("allow[{place}]"),
                "must be a host, and where needed its port: \"pictures.example.org\", \"127.0.0.1:8081\"",
            ),
        }
    }
    sites
}
