//! [`Cashier`]: charges writes to quotas, by a conditional write of each quota's status.
//!
//! Writes of one namespace that come at the same time are charged together: whoever has the turn takes everybody who
//! waits along, so that a burst of creates costs a write of the quota per round and not per create.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::quota::{self, Amounts};
use hashbrown::HashMap;
use k8s_openapi::api::core::v1::ResourceQuota;
use machinery::ResourceVersion;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Cost;
use crate::bootstrap::caller;
use crate::server::ApiServer;
use crate::verbs::{Body, Shown, Target, WriteOptions};

/// How often a quota that others write too is tried.
const ATTEMPTS: usize = 16;
/// Lanes of namespaces without traffic are dropped when there are more.
const MOST_LANES: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct Cashier {
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

/// The writes of one namespace.
#[derive(Default)]
struct Lane {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<Ledger>,
}

struct Waiting {
    cost: Cost,
    answer: oneshot::Sender<Result<Receipt, Refused>>,
}

/// Why a write is not allowed; None: the quotas changed so often that it could not be found out.
type Refused = Option<String>;

/// What was charged, by quota, and the quota's version since then.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    namespace: String,
    charged: Vec<(String, Amounts, ResourceVersion)>,
}

/// By quota: since which version nobody but this server has written it, and the last such version.
type Ledger = HashMap<String, (ResourceVersion, ResourceVersion)>;

impl ApiServer {
    /// Whether the namespace has quotas at all.
    pub(crate) fn has_quotas(&self, namespace: &str) -> bool {
        let log = self.world().log("", "resourcequotas");
        log.is_some_and(|log| log.snapshot().range(namespace, "").next().is_some())
    }

    /// Charges a write to the namespace's quotas; `dry_run` just asks. The error says why they do not allow it.
    pub(crate) async fn charge(&self, namespace: &str, cost: Cost, dry_run: bool) -> Result<Receipt, Refused> {
        if dry_run {
            return self.ask(namespace, &cost).await.map(|()| Receipt::default()).map_err(Some);
        }
        let lane = self.cashier.lane(namespace);
        let (answer, mut answered) = oneshot::channel();
        lane.waiting.lock().push(Waiting { cost, answer });
        let mut ledger = lane.turn.lock().await;
        // Somebody may have taken this one along.
        if let Ok(result) = answered.try_recv() {
            return result;
        }
        let batch = std::mem::take(&mut *lane.waiting.lock());
        self.charge_all(namespace, batch, &mut ledger).await;
        drop(ledger);
        // An end without an answer: whoever had taken this one along was cancelled before it came to a result.
        answered.await.unwrap_or(Err(None))
    }

    async fn ask(&self, namespace: &str, cost: &Cost) -> Result<(), String> {
        let check = || self.quotas(namespace).iter().try_for_each(|quota| cost.charged_to(quota).map(drop));
        match check() {
            Err(_) if self.feed.catch_up().await.is_ok() => check(),
            result => result,
        }
    }

    fn quotas(&self, namespace: &str) -> Vec<ResourceQuota> {
        self.world().objects("", "resourcequotas", namespace)
    }

    async fn charge_all(&self, namespace: &str, batch: Vec<Waiting>, ledger: &mut Ledger) {
        // Nobody waits for the answer where a request was cancelled.
        let waiting = batch.into_iter().filter(|waiting| !waiting.answer.is_closed());
        let mut open: Vec<Round> = waiting.map(|waiting| Round { waiting, receipt: Receipt::new(namespace) }).collect();
        let mut quotas = self.quotas(namespace);
        // Before anything is refused, what the log shows must not be out of date.
        let refuses = |quota: &ResourceQuota| open.iter().any(|round| round.waiting.cost.charged_to(quota).is_err());
        if quotas.iter().any(refuses) && self.feed.catch_up().await.is_ok() {
            quotas = self.quotas(namespace);
        }
        for attempt in 0.. {
            if quotas.is_empty() || open.is_empty() {
                break;
            }
            if attempt == ATTEMPTS {
                for round in open {
                    self.give_back(&round.receipt, ledger).await;
                    round.refuse(None);
                }
                return;
            }
            let mut contested = Vec::new();
            for quota in quotas {
                let name = quota.metadata.name.clone().unwrap_or_default();
                if !self.charge_one(quota, &mut open, ledger).await {
                    contested.push(name);
                }
            }
            quotas = if contested.is_empty() { Vec::new() } else { self.reread(namespace, &contested).await };
        }
        for mut round in open {
            let receipt = std::mem::take(&mut round.receipt);
            if let Err(Ok(receipt)) = round.waiting.answer.send(Ok(receipt)) {
                self.give_back(&receipt, ledger).await;
            }
        }
    }

    /// The quotas in their newest state.
    async fn reread(&self, namespace: &str, names: &[String]) -> Vec<ResourceQuota> {
        // Without news, the next attempt fails like this one, and there are only so many.
        let _ = self.feed.catch_up().await;
        let mut quotas = self.quotas(namespace);
        quotas.retain(|quota| quota.metadata.name.as_ref().is_some_and(|name| names.contains(name)));
        quotas
    }

    /// Charges everybody to one quota and drops those whom it refuses. False: the quota has changed meanwhile.
    async fn charge_one(&self, mut quota: ResourceQuota, open: &mut Vec<Round>, ledger: &mut Ledger) -> bool {
        let mut charges = Vec::new();
        let mut at = 0;
        while at < open.len() {
            match open[at].waiting.cost.charged_to(&quota) {
                Ok(more) => {
                    spend(&mut quota, &more);
                    charges.push(more);
                    at += 1;
                }
                Err(why) => {
                    let refused = open.remove(at);
                    self.give_back(&refused.receipt, ledger).await;
                    refused.refuse(Some(why));
                }
            }
        }
        if charges.iter().all(Amounts::is_empty) {
            return true;
        }
        let name = quota.metadata.name.clone().unwrap_or_default();
        let Some(version) = self.write_quota(quota, ledger).await else { return false };
        for (round, charged) in open.iter_mut().zip(charges).filter(|(_, charged)| !charged.is_empty()) {
            round.receipt.charged.push((name.clone(), charged, version));
        }
        true
    }

    /// Writes a quota's status over the version that it was read at.
    async fn write_quota(&self, quota: ResourceQuota, ledger: &mut Ledger) -> Option<ResourceVersion> {
        let resource = self.served().find("", "v1", "resourcequotas")?;
        let name = quota.metadata.name.clone().unwrap_or_default();
        let read: ResourceVersion = quota.metadata.resource_version.as_deref()?.parse().ok()?;
        let namespace = quota.metadata.namespace.clone().unwrap_or_default();
        let target = Target { resource, subresource: Some("status".into()), namespace, name: name.clone() };
        let body = Body::Typed(Box::new(quota));
        // Boxed: a write's future would else contain itself, since every write may charge.
        let written = Box::pin(self.update(&caller(), &target, body, &WriteOptions::default())).await.ok()?;
        let Shown::Entry(entry) = written.object else { return None };
        let chain = ledger.entry(name).or_insert((entry.version, entry.version));
        *chain = if chain.1 == read { (chain.0, entry.version) } else { (entry.version, entry.version) };
        // The next round reads the log.
        self.feed.reached(entry.version, PATIENCE).await;
        Some(entry.version)
    }

    /// Takes back a charge whose write did not happen.
    pub(crate) async fn refund(&self, receipt: Receipt) {
        if !receipt.charged.is_empty() {
            let lane = self.cashier.lane(&receipt.namespace);
            let mut ledger = lane.turn.lock().await;
            self.give_back(&receipt, &mut ledger).await;
        }
    }

    /// Only where nobody else has written the quota since: the controller counts anew, and has not counted what was not made.
    async fn give_back(&self, receipt: &Receipt, ledger: &mut Ledger) {
        for (name, charged, version) in &receipt.charged {
            let quotas = self.reread(&receipt.namespace, std::slice::from_ref(name)).await;
            let Some(mut quota) = quotas.into_iter().next() else { continue };
            let present = quota.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
            let ours = ledger.get(name).is_some_and(|(since, last)| since <= version && present == Some(*last));
            if ours {
                let less = charged.iter().map(|(name, amount)| (name.clone(), -*amount)).collect();
                spend(&mut quota, &less);
                self.write_quota(quota, ledger).await;
            }
        }
    }
}

/// A write on its way through the quotas.
struct Round {
    waiting: Waiting,
    receipt: Receipt,
}

impl Round {
    fn refuse(self, why: Refused) {
        // Nobody listens where the request was cancelled.
        let _ = self.waiting.answer.send(Err(why));
    }
}

impl Receipt {
    fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), charged: Vec::new() }
    }
}

impl Cashier {
    fn lane(&self, namespace: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        if lanes.len() >= MOST_LANES {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry_ref(namespace).or_default().clone()
    }
}

fn spend(quota: &mut ResourceQuota, more: &Amounts) {
    let status = quota.status.get_or_insert_default();
    let mut used: BTreeMap<_, _> = quota::amounts(status.used.as_ref());
    quota::add(&mut used, more);
    status.used = Some(quota::list(used));
}
