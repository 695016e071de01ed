//! Commands whose function did not finish them: it died, or somebody whom it had to ask was silent.
use std::collections::HashSet;

use super::Relay;
use super::dispatch::Budget;
use super::obey::{Obeyed, PATIENT};
use crate::chat::Line;
use crate::command;
use crate::seal::Place;
use crate::store::StoreError;

impl Relay {
    /// Finishes commands one after the other, in the order in which they were typed, until the budget ends. One that fails
    /// waits for the next time and holds up no other. In a room where GroupMe is silent it is asked once.
    ///
    /// # Errors
    /// The database is unavailable.
    pub(super) async fn finish_commands(&self, budget: &Budget) -> Result<(), StoreError> {
        let mut silent: HashSet<&str> = HashSet::new();
        for (group, id, sealed) in self.store.open_commands().await? {
            let patience = PATIENT.min(budget.remaining());
            if patience.is_zero() {
                return Ok(());
            }
            let place = Place { table: "groupme_callbacks", column: "payload_sealed", row: &id };
            let line = sealed.and_then(|sealed| self.settings.data_keys.open(place, &sealed).ok());
            let line = line.and_then(|line| Line::read(&serde_json::from_slice(&line).ok()?));
            let room = self.settings.rooms.iter().find(|room| room.group == group);
            let word = line.as_ref().and_then(|line| command::word(line.text()));
            let done = match (line, room, word) {
                (Some(line), Some(room), Some(word)) => {
                    let asks = command::find(&word).is_some_and(|command| self.needs_proof(command));
                    if asks && silent.contains(room.name.as_str()) {
                        continue;
                    }
                    let obeyed = self.obey(&line, room, &word, patience).await;
                    if matches!(obeyed, Ok(Obeyed::Silent)) {
                        silent.insert(&room.name);
                    }
                    obeyed.map(drop)
                }
                // Its key or its room is gone: nobody will obey it.
                _ => {
                    tracing::warn!("a command can no longer be read, and is left");
                    self.give_up(&group, &id).await
                }
            };
            if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "a command waits to be finished");
            }
        }
        Ok(())
    }
}
