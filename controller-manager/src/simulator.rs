//! A server in memory for tests of plans: it keeps objects, checks preconditions, and logs what changes; a kubelet of a
//! few lines starts pods and ends them. See [`crate::laws`] for what is tested with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Object;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::NamespacedName;
use serde_json::{Value, json};

use crate::plan::{Form, Guard, Named, Verb, Write};
use crate::world::{Interner, Kind, ResourceInfo, Row, RowVisitor, Tabled, World};

/// Plural and key.
type Place = (String, NamespacedName);

/// A write was not possible in the state that the server has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

#[derive(Clone)]
pub(crate) struct Logged {
    pub kind: Kind,
    pub key: NamespacedName,
    pub at: Timestamp,
    /// None: removed.
    pub object: Option<Value>,
}

pub(crate) struct Simulator {
    objects: BTreeMap<Place, (Kind, Value)>,
    pub log: Vec<Logged>,
    pub now: Timestamp,
    version: u64,
    /// Whether pods become ready by themselves.
    pub pods_start: bool,
}

impl Simulator {
    pub(crate) fn new() -> Self {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        Self { objects: BTreeMap::new(), log: Vec::new(), now, version: 100, pods_start: true }
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The world as of the first `length` log entries.
    pub(crate) fn world_at(&self, length: usize) -> World {
        let mut world = World::new(resources());
        for logged in &self.log[..length] {
            replay(&mut world, logged);
        }
        world
    }

    pub(crate) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(plural.to_owned(), NamespacedName::new(namespace, name))).map(|(_, value)| value)
    }

    pub(crate) fn all<'a>(&'a self, plural: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |((p, _), _)| p == plural).map(|(_, (_, value))| value)
    }

    /// Puts an object, given as YAML would have it, as a user does.
    pub(crate) fn create(&mut self, mut value: Value) {
        let kind = kind_of(value["kind"].as_str().unwrap());
        if value["metadata"]["namespace"].is_null() && namespaced(kind) {
            value["metadata"]["namespace"] = json!("default");
        }
        self.insert(kind, value).unwrap();
    }

    /// Changes an object as a user or another component does.
    pub(crate) fn change(&mut self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let place = self.objects.keys().find(|(p, key)| p == plural && &*key.name == name).cloned().unwrap();
        let (kind, mut value) = self.objects[&place].clone();
        let before = value["spec"].clone();
        change(&mut value);
        if value["spec"] != before {
            value["metadata"]["generation"] = json!(value["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        self.store(place, kind, value);
    }

    pub(crate) fn delete(&mut self, plural: &str, name: &str) {
        let (_, key) = self.objects.keys().find(|(p, key)| p == plural && &*key.name == name).cloned().unwrap();
        self.remove(&(plural.to_owned(), key), &[]).unwrap();
    }

    fn insert(&mut self, kind: Kind, mut value: Value) -> Result<(), Refused> {
        let meta = &value["metadata"];
        let key = NamespacedName::new(meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap());
        let place = (kind.resource().1.to_owned(), key);
        if self.objects.contains_key(&place) {
            return Err(Refused);
        }
        self.version += 1;
        value["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.version));
        value["metadata"]["creationTimestamp"] = json!(Time(self.now));
        value["metadata"]["generation"] = json!(1);
        self.store(place, kind, value);
        Ok(())
    }

    fn store(&mut self, place: Place, kind: Kind, mut value: Value) {
        self.version += 1;
        value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let meta = &value["metadata"];
        let finalizers = meta["finalizers"].as_array().map_or(0, Vec::len);
        let namespace_held = kind == Kind::Namespace && value["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        let gone = !meta["deletionTimestamp"].is_null()
            && finalizers == 0
            && !namespace_held
            && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0;
        let object = (!gone).then(|| typed(kind, value));
        match &object {
            Some(value) => self.objects.insert(place.clone(), (kind, value.clone())),
            None => self.objects.remove(&place),
        };
        self.log.push(Logged { kind, key: place.1, at: self.now, object });
    }

    fn remove(&mut self, place: &Place, add_finalizers: &[&str]) -> Result<(), Refused> {
        let (kind, mut value) = self.objects.get(place).cloned().ok_or(Refused)?;
        if !value["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        // A pod on a node ends in its own time.
        let grace = if kind == Kind::Pod && value["spec"]["nodeName"].is_string() { 30 } else { 0 };
        value["metadata"]["deletionTimestamp"] = json!(Time(self.now));
        value["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        let mut finalizers: Vec<Value> = value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.extend(add_finalizers.iter().map(|f| json!(f)));
        if !finalizers.is_empty() {
            value["metadata"]["finalizers"] = json!(finalizers);
        }
        if kind == Kind::Namespace {
            value["status"]["phase"] = json!("Terminating");
        }
        self.store(place.clone(), kind, value);
        Ok(())
    }

    /// Carries out one write, or refuses it.
    pub(crate) fn apply(&mut self, write: Write) -> Result<(), Refused> {
        if !write.guards.iter().all(|guard| self.holds(guard)) {
            return Err(Refused);
        }
        match write.verb {
            Verb::Create { resource, object } => {
                let kind = Kind::of(&resource).unwrap();
                self.insert(kind, object.to_value())
            }
            Verb::Update { resource, subresource, object } => {
                let place = (resource.resource.to_string(), NamespacedName::of(object.meta()));
                self.update(&place, subresource, object.to_value())
            }
            Verb::Patch { target, subresource, mut patch, form } => {
                let place = (target.resource.resource.to_string(), target.key);
                let (_, mut value) = self.objects.get(&place).cloned().ok_or(Refused)?;
                if value["metadata"]["uid"] != json!(target.uid) {
                    return Err(Refused);
                }
                if let Some(version) = patch["metadata"].get("resourceVersion")
                    && *version != value["metadata"]["resourceVersion"]
                {
                    return Err(Refused);
                }
                if form != Form::Merge {
                    merge_conditions(&value, &mut patch);
                }
                merge(&mut value, &patch);
                self.update(&place, subresource, value)
            }
            Verb::Delete { target, propagation, version, .. } => {
                let place = (target.resource.resource.to_string(), target.key);
                let (_, value) = self.objects.get(&place).ok_or(Refused)?;
                let meta = &value["metadata"];
                if meta["uid"] != json!(target.uid) || version.is_some_and(|v| meta["resourceVersion"] != json!(v.to_string())) {
                    return Err(Refused);
                }
                let finalizers: &[&str] = match propagation {
                    Some(api::kind::Propagation::Foreground) => &["foregroundDeletion"],
                    Some(api::kind::Propagation::Orphan) => &["orphan"],
                    _ => &[],
                };
                self.remove(&place, finalizers)
            }
            Verb::DeleteAll { resource, namespace } => {
                let places: Vec<_> = self.objects.keys().cloned().collect();
                for place in places.iter().filter(|(p, key)| *p == resource.resource && *key.namespace == *namespace) {
                    self.remove(place, &[])?;
                }
                Ok(())
            }
        }
    }

    fn update(&mut self, place: &Place, subresource: Option<&str>, mut new: Value) -> Result<(), Refused> {
        let (kind, old) = self.objects.get(place).cloned().ok_or(Refused)?;
        for field in ["uid", "resourceVersion"] {
            let given = &new["metadata"][field];
            if !given.is_null() && *given != old["metadata"][field] {
                return Err(Refused);
            }
        }
        if matches!(subresource, Some("status" | "approval")) {
            let (status, annotations) = (new["status"].take(), new["metadata"]["annotations"].take());
            new = old.clone();
            new["status"] = status;
            // The status of some kinds carries annotations along.
            if kind == Kind::Deployment {
                new["metadata"]["annotations"] = annotations;
            }
        } else {
            new["status"] = old["status"].clone();
            if new["spec"] != old["spec"] {
                new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
            }
        }
        if typed(kind, new.clone()) != old {
            self.store(place.clone(), kind, new);
        }
        Ok(())
    }

    fn holds(&self, guard: &Guard) -> bool {
        let (resource, key) = match guard {
            Guard::Absent(named) | Guard::Alive(named) | Guard::Unchanged(named, _) => (&named.resource, &named.key),
            Guard::Missing(resource, key) => (resource, key),
            // Everybody may everything here.
            Guard::Permitted(_) => return true,
        };
        let found = self.objects.get(&(resource.resource.to_string(), key.clone())).map(|(_, value)| &value["metadata"]);
        let same = |named: &Named| found.filter(|meta| meta["uid"] == json!(named.uid));
        match guard {
            Guard::Absent(named) => same(named).is_none(),
            Guard::Alive(named) => same(named).is_some_and(|meta| meta["deletionTimestamp"].is_null()),
            Guard::Missing(..) => found.is_none(),
            Guard::Permitted(_) => true,
            Guard::Unchanged(named, version) => same(named).is_some_and(|meta| meta["resourceVersion"] == version.to_string()),
        }
    }

    /// What nodes do: new pods are bound and become ready, pods that are being deleted end. Returns whether there was
    /// anything to do.
    pub(crate) fn run_nodes(&mut self) -> bool {
        let pods: Vec<_> = self.all("pods").cloned().collect();
        let mut changed = false;
        for pod in pods {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let terminating = !pod["metadata"]["deletionTimestamp"].is_null();
            if terminating && pod["metadata"]["deletionGracePeriodSeconds"] != json!(0) {
                self.change("pods", name, |pod| pod["metadata"]["deletionGracePeriodSeconds"] = json!(0));
                changed = true;
            } else if !terminating && self.pods_start && pod["status"]["phase"].is_null() {
                let now = json!(Time(self.now));
                self.change("pods", name, |pod| {
                    if pod["spec"]["nodeName"].is_null() {
                        let pin = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
                        pod["spec"]["nodeName"] = pod.pointer(pin).cloned().unwrap_or(json!("node"));
                    }
                    let running = json!({
                        "phase": "Running", "podIP": "10.0.0.1",
                        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
                    });
                    merge(&mut pod["status"], &running);
                });
                changed = true;
            }
        }
        changed
    }

    /// Everything there is, without what differs from one run to the next: uids, versions, times, generated names.
    pub(crate) fn digest(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .objects
            .iter()
            .map(|((plural, key), (_, value))| {
                let mut value = value.clone();
                strip(&mut value);
                let generated = !value["metadata"]["generateName"].is_null();
                let name = if generated { "*" } else { &key.name };
                value["metadata"]["name"] = json!(name);
                format!("{plural} {}/{name} {value}", key.namespace)
            })
            .collect();
        all.sort();
        all
    }
}

/// Takes away what is particular to a run.
fn strip(value: &mut Value) {
    const PARTICULAR: [&str; 12] = [
        "uid",
        "resourceClaimName",
        "resourceVersion",
        "creationTimestamp",
        "lastTransitionTime",
        "lastUpdateTime",
        "lastProbeTime",
        "startTime",
        "completionTime",
        "generation",
        "observedGeneration",
        "deletionTimestamp",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PARTICULAR.contains(&name.as_str()) && !name.ends_with("trigger-time"));
            fields.values_mut().for_each(strip);
            if let Some(Value::Array(conditions)) = fields.get_mut("conditions") {
                conditions.iter_mut().for_each(|condition| condition["message"] = Value::Null);
                conditions.sort_by_key(|condition| condition["type"].to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Makes a strategic patch of conditions a plain one: of each type the patch's stands for the known one.
fn merge_conditions(value: &Value, patch: &mut Value) {
    let Some(Value::Array(given)) = patch.pointer_mut("/status/conditions") else { return };
    let mut all = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for mut condition in given.drain(..) {
        match all.iter_mut().find(|known| known["type"] == condition["type"]) {
            Some(known) => merge(known, &condition),
            None => all.push(condition.take()),
        }
    }
    *given = all;
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Brings one log entry into a world.
pub(crate) fn replay(world: &mut World, logged: &Logged) {
    struct Put<'a>(&'a mut World, &'a Logged);
    impl RowVisitor for Put<'_> {
        fn visit<T: Tabled>(&mut self) {
            match &self.1.object {
                Some(value) => {
                    let object: T::Source = serde_json::from_value(value.clone()).unwrap();
                    self.0.put(Arc::new(<T as Row>::project(&object, &Interner::default())));
                }
                None => {
                    self.0.remove::<T>(&self.1.key);
                }
            }
        }
    }
    world.look_at(logged.at);
    logged.kind.visit(&mut Put(world, logged));
}

/// The value as the kind's type writes it.
fn typed(kind: Kind, value: Value) -> Value {
    struct Typed(Value);
    impl RowVisitor for Typed {
        fn visit<T: Tabled>(&mut self) {
            let object: T::Source = serde_json::from_value(self.0.take()).unwrap();
            self.0 = object.to_value();
        }
    }
    let mut typed = Typed(value);
    kind.visit(&mut typed);
    typed.0
}

fn kind_of(name: &str) -> Kind {
    *Kind::ALL.iter().find(|kind| format!("{kind:?}") == name).unwrap()
}

fn namespaced(kind: Kind) -> bool {
    use Kind::{
        CertificateSigningRequest, ClusterRole, IPAddress, Namespace, Node, PersistentVolume, ServiceCIDR, StorageClass,
        VolumeAttributesClass,
    };
    let cluster = [
        CertificateSigningRequest,
        ClusterRole,
        IPAddress,
        Namespace,
        Node,
        PersistentVolume,
        ServiceCIDR,
        StorageClass,
        VolumeAttributesClass,
    ];
    !cluster.contains(&kind)
}

/// All kinds that have a table, as the graph knows them.
fn resources() -> Vec<ResourceInfo> {
    struct Collect(Vec<ResourceInfo>);
    impl RowVisitor for Collect {
        fn visit<T: Tabled>(&mut self) {
            use k8s_openapi::Resource;
            self.0.push(ResourceInfo {
                resource: crate::plan::resource_of::<T::Source>(),
                kind: T::Source::KIND.to_owned(),
                namespaced: namespaced(T::KIND),
                collection: true,
            });
        }
    }
    let mut collect = Collect(Vec::new());
    for kind in Kind::ALL {
        kind.visit(&mut collect);
    }
    collect.0
}
