//! The housekeeper: a thread that drops what a compaction made unreadable, a little at a time, so that writers never
//! wait for it.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::Shared;

/// Versions dropped under one hold of the index's lock.
const TRIM_STEP: usize = 512;

pub(super) struct Housekeeper {
    shared: Arc<Shared>,
}

impl Housekeeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Works whenever something was compacted, until nobody can ask any more.
    pub(super) fn run(self, chores: &Receiver<()>) {
        while chores.recv().is_ok() {
            while self.shared.index.write().trim(TRIM_STEP) {
                std::thread::yield_now();
            }
        }
    }
}
