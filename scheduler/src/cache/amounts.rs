//! [`Amounts`]: resources of all nodes as columns. CPU, memory, ephemeral storage and pods stand side by side for
//! each node; every other resource has a column of its own.

use api::scheduling::Resources;

/// The resources that every node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basic {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
    pub pods: i64,
}

impl Basic {
    pub fn of(resources: &Resources) -> Self {
        Self {
            cpu_milli: resources.cpu_milli,
            memory_bytes: resources.memory_bytes,
            ephemeral_storage_bytes: resources.ephemeral_storage_bytes,
            pods: resources.pods,
        }
    }

    fn combine(&mut self, other: Self, with: fn(i64, i64) -> i64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory_bytes = with(self.memory_bytes, other.memory_bytes);
        self.ephemeral_storage_bytes = with(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes);
        self.pods = with(self.pods, other.pods);
    }
}

/// Amounts by node.
#[derive(Default)]
pub struct Amounts {
    basic: Vec<Basic>,
    /// A column has no rows beyond the last node that has the resource.
    other: Vec<(Box<str>, Vec<i64>)>,
}

impl Amounts {
    pub fn basic(&self, row: usize) -> Basic {
        self.basic.get(row).copied().unwrap_or_default()
    }

    /// How much of a resource that is none of the basic ones.
    pub fn other(&self, row: usize, name: &str) -> i64 {
        let column = self.other.iter().find(|(known, _)| **known == *name);
        column.and_then(|(_, amounts)| amounts.get(row)).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, row: usize, to: &Resources) {
        if self.basic.len() <= row {
            self.basic.resize(row + 1, Basic::default());
        }
        self.basic[row] = Basic::of(to);
        for (_, amounts) in &mut self.other {
            if let Some(amount) = amounts.get_mut(row) {
                *amount = 0;
            }
        }
        for (name, amount) in &to.other {
            *self.cell(row, name) = *amount;
        }
    }

    pub(super) fn add(&mut self, row: usize, more: &Resources) {
        self.change(row, more, i64::saturating_add);
    }

    pub(super) fn subtract(&mut self, row: usize, less: &Resources) {
        self.change(row, less, i64::saturating_sub);
    }

    fn change(&mut self, row: usize, by: &Resources, with: fn(i64, i64) -> i64) {
        self.basic[row].combine(Basic::of(by), with);
        for (name, amount) in &by.other {
            let cell = self.cell(row, name);
            *cell = with(*cell, *amount);
        }
    }

    fn cell(&mut self, row: usize, name: &str) -> &mut i64 {
        let at = self.other.iter().position(|(known, _)| **known == *name).unwrap_or_else(|| {
            self.other.push((name.into(), Vec::new()));
            self.other.len() - 1
        });
        let amounts = &mut self.other[at].1;
        if amounts.len() <= row {
            amounts.resize(row + 1, 0);
        }
        &mut amounts[row]
    }
}
