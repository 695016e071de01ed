//! The last resort: neither the database nor the broker takes the record of what was posted, so it goes to the log,
//! sealed; `cargo xtask import` reads it from there.
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Relay;
use super::direct::Told;
use super::plan::Offer;
use crate::seal::Place;
use crate::store::StoreError;

/// What stands in the line of such a record, whatever a log's keeper puts around it; what follows has no letter that
/// one of them would escape.
pub const MARKER: &str = "talkback-unrecorded:";

/// Where it belongs while it is in a log.
const PLACE: Place<'static> = Place { table: "log", column: "unrecorded", row: "" };

/// What was found in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that are in the database now.
    pub records: usize,
    /// Lines with the marker that could not be opened or read.
    pub unread: usize,
}

impl Relay {
    /// Writes what was posted of a message into the log.
    pub(super) fn log_unrecorded(&self, offer: &Offer) {
        for told in self.told(offer) {
            let Ok(plain) = serde_json::to_vec(&told) else { continue };
            let sealed = URL_SAFE_NO_PAD.encode(self.settings.data_keys.seal(PLACE, &plain));
            tracing::error!(record = format!("{MARKER}{sealed}"), "a post is recorded nowhere else: import this log");
        }
    }

    /// Records what a log tells of posts that were recorded nowhere else; what is recorded already changes nothing.
    ///
    /// # Errors
    /// The database is unavailable: import it again.
    pub async fn import(&self, log: &str) -> Result<Imported, StoreError> {
        let mut imported = Imported::default();
        for after in log.split(MARKER).skip(1) {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let sealed = after.split(|c| !plain(c)).next().unwrap_or_default();
            let told = URL_SAFE_NO_PAD
                .decode(sealed)
                .ok()
                .and_then(|sealed| self.settings.data_keys.open(PLACE, &sealed).ok());
            match told.and_then(|plain| serde_json::from_slice::<Told>(&plain).ok()) {
                Some(told) => {
                    self.settle_told(&[told]).await?;
                    imported.records += 1;
                }
                None => imported.unread += 1,
            }
        }
        Ok(imported)
    }
}
