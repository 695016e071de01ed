//! The order to stop: given once, to everything that works with a budget. What is in the air is finished, nothing new is
//! begun, leases are given back.
use std::sync::Arc;

use tokio::sync::watch;

/// The order to stop, shared by all clones.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Gives the order.
    pub fn order(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was given.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is given.
    pub async fn ordered(&self) {
        // Its sender is ours, and lives.
        drop(self.0.subscribe().wait_for(|ordered| *ordered).await);
    }

    /// What others listen to.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
