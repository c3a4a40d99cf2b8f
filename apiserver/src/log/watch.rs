//! [`Watch`]: a cursor over a log, as a door reads it.

use machinery::Status;

use crate::verbs::WatchEvent;

/// An open watch. Costs nothing while nobody asks it for events.
pub struct Watch {}

impl Watch {
    /// The next event, once there is one. None: the watch ended in good order (its timeout, a shutdown).
    /// An error is the last thing a watch gives; 410 says that events between are gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Status>> {
        None
    }

    /// An event that is at hand already, for doors that write many at once.
    pub fn ready(&mut self) -> Option<Result<WatchEvent, Status>> {
        None
    }
}
