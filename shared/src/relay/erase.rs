//! Erasing a person: by the hash of their address, through all that the store can find by it.
use jiff::Timestamp;

use super::Relay;
use crate::store::StoreError;
use crate::store::erase::{Behind, Cleared};

/// What erasing somebody did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Messages of theirs that there are, erased now, before, or not yet.
    pub messages: usize,
    /// Bans of theirs that there are.
    pub bans: i64,
    /// Deliveries that were withdrawn.
    pub withdrawn: usize,
    /// What was cleared.
    pub cleared: Cleared,
    /// Bans of which it was cleared whom they are about, and why.
    pub cleared_bans: i64,
}

impl Relay {
    /// Erases whom this address is of: withdraws what of theirs waits, and clears what their messages say and who sent
    /// them. What one sends afterwards is stored as ever. Begun anew it does what is left.
    ///
    /// # Errors
    /// The database is unavailable: some of it may be done.
    pub async fn erase(&self, address: &str) -> Result<Erased, StoreError> {
        // As the sources write it.
        let address = address.trim().to_lowercase();
        let hash = self.settings.lookup.hash("sender", address.as_bytes());
        let (bans, cleared_bans) = self.store.erase_bans(&hash).await?;
        let mut erased = Erased { bans, cleared_bans, ..Erased::default() };
        let mut behind: Behind = (Timestamp::UNIX_EPOCH, String::new());
        loop {
            let page = self.store.messages_of(&hash, &behind).await?;
            let Some(last) = page.last() else { return Ok(erased) };
            behind.clone_from(last);
            let uids: Vec<&str> = page.iter().map(|(_, uid)| uid.as_str()).collect();
            erased.messages += uids.len();
            erased.withdrawn += self.store.withdraw_all(&uids).await?;
            let cleared = self.store.erase(&uids, self.settings.lanes.unconfirmed_after).await?;
            let all = &mut erased.cleared;
            all.messages += cleared.messages;
            all.parts += cleared.parts;
            all.calls += cleared.calls;
            all.lines += cleared.lines;
            all.pictures += cleared.pictures;
            all.busy += cleared.busy;
        }
    }
}
