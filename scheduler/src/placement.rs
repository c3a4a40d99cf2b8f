//! [`Placement`]: where the pods of one shape can go, best node first. All nodes are filtered and scored once; after
//! that only those that were touched since are looked at again, such as the one that the last pod was put on.
//! Thousands of equal pods then cost little more than one.
//!
//! Where a plugin looks at other nodes too ([`Reach::Cluster`]), any touch means looking at all nodes again.

use std::collections::BinaryHeap;
use std::sync::Arc;

use rand::Rng;

use crate::cache::{Cluster, Cursor, NodeId};
use crate::diagnosis::Diagnosis;
use crate::framework::{PreparedFilters, PreparedScore, Profile, Range, Reach, Rejection, UNRATED};
use crate::pod::Pod;

pub struct Placement {
    /// Any pod of the shape.
    pod: Arc<Pod>,
    prepared: Prepared,
    /// By the nodes' rows.
    standings: Vec<Standing>,
    /// The raw scores, `prepared.scores.len()` for each row.
    raw: Vec<i64>,
    /// The range of the raw scores of each plugin, over the nodes that fit.
    ranges: Vec<Range>,
    /// Nodes that fit, best first. An entry with an old stamp is void.
    best: BinaryHeap<Candidate>,
    cursor: Cursor,
    epoch: u64,
    diagnosis: Option<Arc<Diagnosis>>,
    /// Why nothing can be done about that, where it was tried.
    hopeless: Option<Arc<str>>,
}

/// What the plugins have worked out about the shape.
struct Prepared {
    filters: Result<PreparedFilters, (usize, Rejection)>,
    scores: Vec<Box<dyn PreparedScore>>,
    reach: Reach,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    fits: bool,
    /// Rises when the node is judged anew.
    stamp: u32,
}

/// Ordered by score; the second field breaks ties at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(i64, u32, NodeId, u32);

impl Prepared {
    fn new(pod: &Pod, profile: &Profile, cluster: &Cluster) -> Self {
        let filters = profile.prepare_filters(pod, cluster);
        let scores = if filters.is_ok() { profile.prepare_scores(pod, cluster) } else { Vec::new() };
        let filtering = filters.as_ref().map_or(Reach::Cluster, |filters| filters.reach);
        let reach = scores.iter().map(|score| score.reach()).fold(filtering, Reach::max);
        Self { filters, scores, reach }
    }

    fn fits(&self, pod: &Pod, id: NodeId, cluster: &Cluster) -> bool {
        let (Ok(prepared), Some(node)) = (&self.filters, cluster.node(id)) else { return false };
        prepared.filters.iter().all(|(_, filter)| filter.filter(pod, node).is_ok())
    }
}

impl Placement {
    pub fn new(pod: Arc<Pod>, profile: &Profile, cluster: &Cluster, random: &mut impl Rng) -> Self {
        let prepared = Prepared::new(&pod, profile, cluster);
        let mut placement = Self {
            pod,
            prepared,
            standings: Vec::new(),
            raw: Vec::new(),
            ranges: Vec::new(),
            best: BinaryHeap::new(),
            cursor: cluster.cursor(),
            epoch: cluster.epoch(),
            diagnosis: None,
            hopeless: None,
        };
        placement.judge_all(cluster, random);
        placement
    }

    /// Takes in what has happened to the cluster since the last look.
    pub fn refresh(&mut self, profile: &Profile, cluster: &Cluster, random: &mut impl Rng) {
        if self.cursor == cluster.cursor() && self.epoch == cluster.epoch() {
            return;
        }
        let touched = cluster.touched_since(self.cursor);
        self.cursor = cluster.cursor();
        self.diagnosis = None;
        self.hopeless = None;
        match touched {
            // A pod may name a node that is not there, which has a row from then on.
            Some(touched)
                if self.epoch == cluster.epoch() && self.prepared.reach == Reach::Node && self.standings.len() == cluster.rows() =>
            {
                self.judge_again(touched, cluster, random);
            }
            _ => {
                self.epoch = cluster.epoch();
                self.prepared = Prepared::new(&self.pod, profile, cluster);
                self.judge_all(cluster, random);
            }
        }
    }

    /// Whether it is the pod's, too: pods of one shape fare alike, unless pods are told apart by their labels.
    pub fn is_for(&self, pod: &Pod, cluster: &Cluster) -> bool {
        let (a, b) = (&self.pod, pod);
        let same_namespace = a.key.namespace == b.key.namespace;
        let claims = &a.shape.claims;
        Arc::ptr_eq(&a.shape, &b.shape)
            && (claims.is_empty() || same_namespace && claims.iter().all(|claim| claim.resolve(a) == claim.resolve(b)))
            && (!cluster.has_rules() || same_namespace && Arc::ptr_eq(&a.labels, &b.labels))
    }

    /// The best node, if the shape fits any.
    pub fn best(&mut self) -> Option<NodeId> {
        while let Some(Candidate(_, _, id, stamp)) = self.best.peek() {
            let standing = self.standings[id.index()];
            if standing.fits && standing.stamp == *stamp {
                return Some(*id);
            }
            self.best.pop();
        }
        None
    }

    /// The best node that also `suits`, where not every node that the shape fits does.
    pub fn best_that(&mut self, mut suits: impl FnMut(NodeId) -> bool) -> Option<NodeId> {
        let mut unsuited = Vec::new();
        let found = loop {
            match self.best() {
                Some(id) if !suits(id) => unsuited.extend(self.best.pop()),
                found => break found,
            }
        };
        self.best.extend(unsuited);
        found
    }

    /// Whether the shape fits the node.
    pub fn fits(&self, id: NodeId) -> bool {
        self.standings.get(id.index()).is_some_and(|standing| standing.fits)
    }

    /// Why the shape fits no node.
    pub fn diagnosis(&mut self, cluster: &Cluster) -> Arc<Diagnosis> {
        let diagnosis = self.diagnosis.get_or_insert_with(|| {
            Arc::new(match &self.prepared.filters {
                Ok(prepared) => Diagnosis::of_nodes(&self.pod, prepared, cluster),
                Err((plugin, rejection)) => Diagnosis::of_all(*plugin, rejection, cluster),
            })
        });
        diagnosis.clone()
    }

    /// The message of a pod about which nothing could be done: the others of the shape need not try until something is
    /// touched.
    pub fn hopeless(&self) -> Option<&Arc<str>> {
        self.hopeless.as_ref()
    }

    pub fn set_hopeless(&mut self, message: &Arc<str>) {
        self.hopeless = Some(message.clone());
    }

    fn judge_all(&mut self, cluster: &Cluster, random: &mut impl Rng) {
        self.standings.clear();
        self.standings.resize(cluster.rows(), Standing::default());
        self.raw.clear();
        self.raw.resize(cluster.rows() * self.prepared.scores.len(), 0);
        match self.prepared.filters.as_ref().ok().and_then(|prepared| prepared.only.clone()) {
            Some(only) => only.into_iter().for_each(|id| _ = self.judge(id, cluster)),
            None => cluster.iter().for_each(|node| _ = self.judge(node.id(), cluster)),
        }
        self.ranges = self.ranges();
        self.rank_all(random);
    }

    fn judge_again(&mut self, touched: &[NodeId], cluster: &Cluster, random: &mut impl Rng) {
        let only = self.prepared.filters.as_ref().ok().and_then(|prepared| prepared.only.clone());
        let mut unsettled = false;
        for id in touched {
            if only.as_ref().is_none_or(|only| only.contains(id)) {
                unsettled |= self.judge(*id, cluster);
            }
        }
        if unsettled {
            let ranges = self.ranges();
            if ranges != self.ranges {
                self.ranges = ranges;
                return self.rank_all(random);
            }
        }
        // Void entries would pile up.
        if self.best.len() + touched.len() > 4 * self.standings.len() + 64 {
            return self.rank_all(random);
        }
        for id in touched {
            if self.fits(*id) {
                let candidate = self.candidate(*id, random);
                self.best.push(candidate);
            }
        }
    }

    /// Filters and scores a node. Returns whether that may change what others' scores are measured by.
    fn judge(&mut self, id: NodeId, cluster: &Cluster) -> bool {
        let fits = self.prepared.fits(&self.pod, id, cluster);
        let standing = &mut self.standings[id.index()];
        let mut unsettled = standing.fits != fits;
        standing.fits = fits;
        standing.stamp += 1;
        let Some(node) = cluster.node(id).filter(|_| fits) else { return unsettled };
        let count = self.prepared.scores.len();
        let raw = &mut self.raw[id.index() * count..][..count];
        for (plugin, raw) in self.prepared.scores.iter().zip(raw) {
            let new = plugin.score(&self.pod, node);
            let old = std::mem::replace(raw, new);
            unsettled |= plugin.normalizes() && old != new;
        }
        unsettled
    }

    fn ranges(&self) -> Vec<Range> {
        let count = self.prepared.scores.len();
        let range = |at: usize| {
            // The others do not look at it.
            if !self.prepared.scores[at].normalizes() {
                return Range { least: 0, most: 0 };
            }
            let fitting = self.standings.iter().enumerate().filter(|(_, standing)| standing.fits);
            let raw = fitting.map(|(row, _)| self.raw[row * count + at]).filter(|raw| *raw != UNRATED);
            let over = |range: Option<Range>, raw: i64| {
                Some(range.map_or(Range { least: raw, most: raw }, |r| Range { least: r.least.min(raw), most: r.most.max(raw) }))
            };
            raw.fold(None, over).unwrap_or(Range { least: 0, most: 0 })
        };
        (0..count).map(range).collect()
    }

    fn rank_all(&mut self, random: &mut impl Rng) {
        let mut best = std::mem::take(&mut self.best).into_vec();
        best.clear();
        for row in 0..self.standings.len() {
            let id = NodeId::at(row);
            if self.fits(id) {
                best.push(self.candidate(id, random));
            }
        }
        self.best = best.into();
    }

    fn candidate(&self, id: NodeId, random: &mut impl Rng) -> Candidate {
        Candidate(self.total(id), random.random(), id, self.standings[id.index()].stamp)
    }

    /// The node's score, all plugins together.
    fn total(&self, id: NodeId) -> i64 {
        let count = self.prepared.scores.len();
        let raw = &self.raw[id.index() * count..][..count];
        let scores = self.prepared.scores.iter().zip(raw).zip(&self.ranges);
        scores.map(|((plugin, raw), range)| plugin.weighted(*raw, *range)).sum()
    }
}

#[cfg(test)]
mod tests;
