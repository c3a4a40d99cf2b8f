//! The three laws of controllers, as one test for all of them: plans that are applied come to an end with an empty
//! plan; a plan from a stale world does no harm; a crash after any single write comes to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::controller::{Controller, Key, Wake};
use crate::plan::Plan;
use crate::rights;
use crate::simulator::{Logged, Simulator, replay};
use crate::world::{AnyRow, Delta, Entry, RowVisitor, Tabled, World};

/// What happens, and who acts.
pub(crate) struct Scenario<'a> {
    pub controllers: &'a [&'a dyn Controller],
    /// Each phase is what a user does; the controllers settle after each.
    pub phases: &'a [&'a dyn Fn(&mut Simulator)],
    /// What must hold after every single write.
    pub always: &'a dyn Fn(&Simulator),
}

impl Default for Scenario<'_> {
    fn default() -> Self {
        Self { controllers: &[], phases: &[], always: &|_| {} }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The process ends after this many writes, in the midst of a plan, and starts anew.
    Crash {
        after: usize,
    },
    /// Before each plan, one is made and carried out from the world as it was so many changes ago.
    Stale {
        by: usize,
    },
}

/// Checks the laws and returns the server at the end of a run without faults.
pub(crate) fn check(scenario: &Scenario<'_>) -> Simulator {
    let mut plain = Run::new(scenario, Fault::None);
    plain.play();
    let end = plain.server.digest();
    for after in 1..=plain.writes {
        same_end(scenario, Fault::Crash { after }, &end);
    }
    for by in [1, 2, 3, 5, 8] {
        same_end(scenario, Fault::Stale { by }, &end);
    }
    plain.server
}

fn same_end(scenario: &Scenario<'_>, fault: Fault, end: &[String]) {
    let mut run = Run::new(scenario, fault);
    run.play();
    let got = run.server.digest();
    let missing: Vec<_> = end.iter().filter(|line| !got.contains(line)).collect();
    let more: Vec<_> = got.iter().filter(|line| !end.contains(line)).collect();
    assert!(got == end, "{fault:?} comes to another end\nwithout the fault: {missing:#?}\nwith it: {more:#?}");
}

struct Run<'a> {
    scenario: &'a Scenario<'a>,
    fault: Fault,
    server: Simulator,
    world: World,
    /// How much of the server's log the world has.
    seen: usize,
    pending: BTreeSet<(usize, Key)>,
    timers: BTreeMap<(usize, Key), Duration>,
    writes: usize,
    /// Those of the writes that were not refused.
    accepted: usize,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario<'a>, fault: Fault) -> Self {
        let server = Simulator::new();
        let world = server.world_at(0);
        Self { scenario, fault, server, world, seen: 0, pending: BTreeSet::new(), timers: BTreeMap::new(), writes: 0, accepted: 0 }
    }

    fn play(&mut self) {
        for phase in self.scenario.phases {
            phase(&mut self.server);
            self.settle();
            self.pending_is_done();
        }
    }

    /// Runs controllers and nodes until nothing is left to do.
    fn settle(&mut self) {
        let mut idle = (0, 0);
        for _ in 0..5_000 {
            self.observe();
            if let Some((controller, key)) = self.pending.pop_first() {
                self.look(controller, &key);
            } else if self.server.run_nodes() {
            } else if !self.wait_for_timers(&mut idle) {
                return;
            }
        }
        panic!("{:?}: the controllers do not come to rest: {:#?}", self.fault, self.pending);
    }

    /// Lets time pass until the next timer. Returns false where there is none, or where they have rung often enough
    /// without anything coming of it.
    fn wait_for_timers(&mut self, idle: &mut (usize, usize)) -> bool {
        const OFTEN: usize = 10;
        let Some(next) = self.timers.values().min().copied() else { return false };
        if idle.0 == self.accepted {
            idle.1 += 1;
        } else {
            *idle = (self.accepted, 0);
        }
        if idle.1 > OFTEN {
            self.timers.clear();
            return false;
        }
        self.server.pass(next.as_secs_f64().ceil() as i64);
        self.pending.extend(std::mem::take(&mut self.timers).into_keys());
        true
    }

    fn look(&mut self, at: usize, key: &Key) {
        let controller = self.scenario.controllers[at];
        if let Fault::Stale { by } = self.fault {
            let stale = self.server.world_at(self.seen.saturating_sub(by));
            let plan = controller.reconcile(&stale, key, self.server.now);
            if self.carry_out(controller, plan) {
                self.observe();
            }
        }
        let plan = controller.reconcile(&self.world, key, self.server.now);
        if let Some(again) = plan.again {
            self.timers.insert((at, key.clone()), again);
        }
        if !self.carry_out(controller, plan) {
            self.pending.insert((at, key.clone()));
        }
        self.observe();
    }

    /// Returns whether all writes were accepted.
    fn carry_out(&mut self, controller: &dyn Controller, plan: Plan) -> bool {
        for step in plan.steps {
            let mut clean = true;
            for write in step {
                rights::check(controller, &write);
                let accepted = self.server.apply(write).is_ok();
                self.accepted += usize::from(accepted);
                clean &= accepted;
                self.writes += 1;
                (self.scenario.always)(&self.server);
                if self.fault == (Fault::Crash { after: self.writes }) {
                    self.restart();
                    return true;
                }
            }
            if !clean {
                return false;
            }
        }
        true
    }

    /// A new process knows what the server has, and nothing of what the former had in mind.
    fn restart(&mut self) {
        self.pending.clear();
        self.timers.clear();
        self.world = self.server.world_at(0);
        self.seen = 0;
    }

    /// Brings the world up to date and wakes whom it concerns.
    fn observe(&mut self) {
        let news: Vec<Logged> = self.server.log[self.seen..].to_vec();
        self.seen += news.len();
        for logged in &news {
            let before = snapshot(&self.world, logged);
            replay(&mut self.world, logged);
            let after = snapshot(&self.world, logged);
            for (at, controller) in self.scenario.controllers.iter().enumerate() {
                let mut wake = Wake::default();
                let mut tell = Tell { world: &self.world, controller: *controller, states: (&before, &after), wake: &mut wake };
                logged.kind.visit(&mut tell);
                self.pending.extend(wake.now.into_iter().map(|key| (at, key)));
                self.timers.extend(wake.later.into_iter().map(|(key, delay)| ((at, key), delay)));
            }
        }
    }

    fn pending_is_done(&self) {
        for (at, controller) in self.scenario.controllers.iter().enumerate() {
            let mut keys = BTreeSet::new();
            for entry in self.world.graph.all() {
                keys.insert(entry.header().key.clone());
            }
            for key in keys {
                let plan = controller.reconcile(&self.world, &key, self.server.now);
                let left = plan.steps.iter().flatten().count();
                assert_eq!(left, 0, "{:?}: controller {at} still has something to do about {key}", self.fault);
            }
        }
    }
}

/// An object before or after a change.
struct State {
    row: Option<std::sync::Arc<dyn std::any::Any + Send + Sync>>,
    entry: Option<Entry>,
}

fn snapshot(world: &World, logged: &Logged) -> State {
    struct Take<'a>(&'a World, &'a Logged, State);
    impl RowVisitor for Take<'_> {
        fn visit<T: Tabled>(&mut self) {
            let row = T::table(self.0).get(&self.1.key).cloned();
            self.2.entry = row.as_ref().and_then(|row| self.0.graph.get(&AnyRow::header(&**row).uid).cloned());
            self.2.row = row.map(|row| row as _);
        }
    }
    let mut take = Take(world, logged, State { row: None, entry: None });
    logged.kind.visit(&mut take);
    take.2
}

struct Tell<'a> {
    world: &'a World,
    controller: &'a dyn Controller,
    states: (&'a State, &'a State),
    wake: &'a mut Wake,
}

impl RowVisitor for Tell<'_> {
    fn visit<T: Tabled>(&mut self) {
        let typed = |state: &State| state.row.clone().and_then(|row| row.downcast::<T>().ok());
        let (old, new) = (typed(self.states.0), typed(self.states.1));
        let delta = match (&old, &new) {
            (Some(old), Some(new)) => Delta::Changed { old, new },
            (None, Some(new)) => Delta::Added(new),
            (Some(old), None) => Delta::Removed(old),
            (None, None) => return,
        };
        if self.controller.watches().contains(&T::KIND) {
            self.controller.wakes(self.world, &T::change(delta), self.wake);
        }
        if self.controller.needs_graph() {
            self.controller.wakes_graph(self.world, self.states.0.entry.as_ref(), self.states.1.entry.as_ref(), self.wake);
        }
    }
}

/// The kinds that tests name by their plural.
pub(crate) fn count(server: &Simulator, plural: &str, test: impl Fn(&serde_json::Value) -> bool) -> usize {
    server.all(plural).filter(|value| test(value)).count()
}
