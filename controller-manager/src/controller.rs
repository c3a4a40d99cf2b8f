//! [`Controller`]: the one interface that every controller has.

use std::time::Duration;

use jiff::Timestamp;
use machinery::NamespacedName;

use crate::plan::Plan;
use crate::world::{Change, Entry, Kind, World};

/// What a controller is asked about: an object's namespace and name, or whatever else the controller's own
/// `wakes` puts there.
pub type Key = NamespacedName;

/// A function from the world to a plan. Implementations hold settings, and no state.
pub trait Controller: Send + Sync + 'static {
    /// As `--controllers` and upstream's metrics name it.
    fn name(&self) -> &'static str;

    /// As its events name it.
    fn component(&self) -> &'static str {
        self.name()
    }

    /// The service account in `kube-system` whose rights the controller has; None: the controller manager's own.
    fn account(&self) -> Option<&'static str> {
        Some(self.name())
    }

    /// The kinds that the controller looks at: their informers run.
    fn watches(&self) -> &'static [Kind];

    /// Whether the controller looks at [`World::graph`], for which every resource must be watched.
    fn needs_graph(&self) -> bool {
        false
    }

    /// The keys to look at after a change of a kind that has a table. The world has the change already.
    fn wakes(&self, world: &World, change: &Change<'_>, wake: &mut Wake);

    /// The same for a change of any object, for controllers that need the graph.
    fn wakes_graph(&self, _world: &World, _old: Option<&Entry>, _new: Option<&Entry>, _wake: &mut Wake) {}

    /// What is to be done about `key`. Must not depend on anything but its arguments.
    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan;
}

/// Collects the keys that a change wakes.
#[derive(Default)]
pub struct Wake {
    pub now: Vec<Key>,
    pub later: Vec<(Key, Duration)>,
}

impl Wake {
    pub fn key(&mut self, key: &Key) {
        if self.now.last() != Some(key) {
            self.now.push(key.clone());
        }
    }

    pub fn after(&mut self, key: &Key, delay: Duration) {
        self.later.push((key.clone(), delay));
    }
}
