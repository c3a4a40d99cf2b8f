//! Fits endpoints into slices of at most a hundred, changing as few slices as possible: each changed slice goes to
//! every node.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Family, Port};
use crate::naming::Names;
use crate::plan::{BURST, Plan, Write};
use crate::world::Whole;

/// How many endpoints a slice holds at most.
const MOST: usize = 100;

/// What the endpoints of a slice share: address family and ports.
type Group = (Family, Vec<Port>);

/// The endpoints of each group, by what tells them apart from one time to the next.
pub(super) type Groups = BTreeMap<Group, BTreeMap<String, Endpoint>>;

type Slices = Vec<Arc<Whole<EndpointSlice>>>;

/// What slices have in common.
pub(super) struct Mould<'a> {
    pub metadata: ObjectMeta,
    /// An annotation of slices that are written, for which alone none is.
    pub trigger: Option<(String, String)>,
    pub names: Names<'a>,
    /// Address families that have a slice even where nothing is to be listed.
    pub placeholders: Vec<Family>,
    /// What tells an endpoint apart, as in [`Groups`].
    pub identity: fn(&Endpoint) -> String,
}

/// Plans what makes the slices that there are list the endpoints that are wanted.
pub(super) fn pack(existing: Slices, mut wanted: Groups, mut mould: Mould<'_>, plan: &mut Plan) {
    let listed: Vec<Family> = wanted.iter().filter(|(_, endpoints)| !endpoints.is_empty()).map(|((family, _), _)| *family).collect();
    for family in mould.placeholders.clone() {
        if !listed.contains(&family) {
            wanted.insert((family, Vec::new()), BTreeMap::new());
        }
    }
    let mut spare: Slices = Vec::new();
    let mut by_group: BTreeMap<Group, Slices> = BTreeMap::new();
    for slice in existing.into_iter().filter(|slice| !slice.header().is_terminating()) {
        match group_of(&slice).filter(|group| wanted.contains_key(group)) {
            Some(group) => by_group.entry(group).or_default().push(slice),
            None => spare.push(slice),
        }
    }
    let mut writes = Vec::new();
    for (group, endpoints) in wanted {
        let present = by_group.remove(&group).unwrap_or_default();
        fill(&group, endpoints, present, &mut spare, &mut mould, &mut writes);
    }
    writes.extend(spare.iter().map(|slice| Write::delete(&**slice)));
    writes.truncate(BURST);
    writes.into_iter().for_each(|write| plan.write(write));
}

/// A slice with the endpoints that it is to have.
struct Filled {
    slice: Option<Arc<Whole<EndpointSlice>>>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

fn fill(
    group: &Group,
    mut endpoints: BTreeMap<String, Endpoint>,
    present: Slices,
    spare: &mut Slices,
    mould: &mut Mould<'_>,
    writes: &mut Vec<Write>,
) {
    let empty = endpoints.is_empty();
    let mut filled: Vec<Filled> = present
        .into_iter()
        .map(|slice| {
            let had = slice.endpoints.as_deref().unwrap_or_default();
            let kept: Vec<Endpoint> = had.iter().filter_map(|endpoint| endpoints.remove(&(mould.identity)(endpoint))).collect();
            let changed = kept != had;
            Filled { slice: Some(slice), endpoints: kept, changed }
        })
        .collect();
    let mut left: Vec<Endpoint> = endpoints.into_values().collect();
    // Slices that change anyway take what fits; one that does not is touched only if it takes all that is left.
    for target in filled.iter_mut().filter(|f| f.changed) {
        let room = MOST.saturating_sub(target.endpoints.len()).min(left.len());
        target.endpoints.extend(left.drain(..room));
    }
    if !left.is_empty()
        && let Some(target) = filled.iter_mut().find(|f| !f.changed && f.endpoints.len() + left.len() <= MOST)
    {
        target.endpoints.append(&mut left);
        target.changed = true;
    }
    while !left.is_empty() || (empty && filled.is_empty()) {
        let take = left.len().min(MOST);
        let same_family = spare.iter().position(|slice| slice.address_type == group.0.name());
        let slice = same_family.map(|at| spare.remove(at));
        filled.push(Filled { slice, endpoints: left.drain(..take).collect(), changed: true });
    }
    let mut placeholder = empty;
    for Filled { slice, endpoints, changed } in filled {
        if endpoints.is_empty() && !std::mem::take(&mut placeholder) {
            spare.extend(slice);
        } else {
            writes.extend(write(group, slice.as_deref(), endpoints, changed, mould));
        }
    }
}

fn write(
    (family, ports): &Group,
    slice: Option<&Whole<EndpointSlice>>,
    endpoints: Vec<Endpoint>,
    changed: bool,
    mould: &mut Mould<'_>,
) -> Option<Write> {
    let ports = to_api(ports);
    let Some(slice) = slice else {
        let mut metadata = ObjectMeta { name: Some(mould.names.next_free()), ..mould.metadata.clone() };
        note_trigger(&mut metadata, mould);
        let address_type = family.name().to_owned();
        let slice = EndpointSlice { metadata, address_type, endpoints: Some(endpoints), ports };
        return Some(Write::create(slice));
    };
    let mut object = slice.to_object();
    object.metadata.labels = mould.metadata.labels.clone();
    if mould.metadata.annotations.is_some() {
        object.metadata.annotations = mould.metadata.annotations.clone();
    }
    let ports_changed = object.ports.as_deref().unwrap_or_default() != ports.as_deref().unwrap_or_default();
    let differs = changed || ports_changed || object.metadata != slice.metadata;
    object.endpoints = Some(endpoints);
    object.ports = ports;
    differs.then(|| {
        note_trigger(&mut object.metadata, mould);
        Write::update(object)
    })
}

fn note_trigger(metadata: &mut ObjectMeta, mould: &Mould<'_>) {
    metadata.annotations.get_or_insert_default().extend(mould.trigger.clone());
    metadata.annotations.take_if(|annotations| annotations.is_empty());
}

fn to_api(ports: &[Port]) -> Option<Vec<EndpointPort>> {
    let of = |port: &Port| EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    };
    Some(ports.iter().map(of).collect::<Vec<_>>()).filter(|ports| !ports.is_empty())
}

/// The group that a slice belongs to, as it is stored.
fn group_of(slice: &EndpointSlice) -> Option<Group> {
    let family = match slice.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        _ => return None,
    };
    let of = |port: &EndpointPort| Port {
        name: port.name.clone().unwrap_or_default(),
        port: port.port.unwrap_or(0),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    };
    Some((family, slice.ports.iter().flatten().map(of).collect()))
}
