//! The status of a claim: the devices that it has got, who may use them, and what drivers say of them.

use std::net::IpAddr;

use k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, AllocationResult, DeviceAllocationConfiguration, DeviceRequest, DeviceRequestAllocationResult,
    NetworkDeviceData, ResourceClaimConsumerReference, ResourceClaimStatus,
};
use machinery::field::{Error, Errors, Path};

use super::claims::{MOST_CONFIGURATIONS, check_names, check_reference};
use super::vocabulary::{binding_conditions, label, list, opaque, pool_name, raw, set, share_id};
use crate::conditions;
use crate::core::pod::validate_node_selector;
use crate::validate::{choice, driver_name, immutable, required, text};

/// How many consumers may share a claim.
const MOST_RESERVATIONS: usize = 256;
const MOST_RESULTS: usize = 32;
const MOST_CONDITIONS: usize = 8;
const MOST_ADDRESSES: usize = 16;
const LONGEST_INTERFACE_BYTES: usize = 256;
const LONGEST_HARDWARE_ADDRESS_BYTES: usize = 128;

/// A device, and the share of it where it has several.
type DeviceId<'a> = (&'a str, &'a str, &'a str, &'a str);

fn allocated(status: &ResourceClaimStatus) -> impl Iterator<Item = DeviceId<'_>> {
    let devices = status.allocation.as_ref().and_then(|allocation| allocation.devices.as_ref());
    devices
        .and_then(|devices| devices.results.as_deref())
        .unwrap_or_default()
        .iter()
        .map(|result| (result.driver.as_str(), result.pool.as_str(), result.device.as_str(), text(&result.share_id)))
}

fn id(device: &AllocatedDeviceStatus) -> DeviceId<'_> {
    (&device.driver, &device.pool, &device.device, text(&device.share_id))
}

/// What is said of devices that the claim had and gave up goes with them.
pub(super) fn drop_deallocated(is: &mut ResourceClaimStatus, was: &ResourceClaimStatus) {
    let Some(mut devices) = is.devices.take() else { return };
    devices.retain(|device| !allocated(was).any(|old| old == id(device)) || allocated(is).any(|new| new == id(device)));
    is.devices = Some(devices).filter(|devices| !devices.is_empty());
}

/// A new status after an old one. `deleted` says that the claim is on its way out, `requests` are those of the claim.
pub(super) fn check(path: &Path, is: &ResourceClaimStatus, was: &ResourceClaimStatus, deleted: bool, requests: &[DeviceRequest]) -> Errors {
    let consumers = is.reserved_for.as_deref().unwrap_or_default();
    let reserved_for = path.child("reservedFor");
    let mut errors = set(&reserved_for, consumers, MOST_RESERVATIONS, check_consumer, |consumer| &consumer.uid);
    let devices = is.devices.as_deref().unwrap_or_default();
    errors.extend(set(&path.child("devices"), devices, usize::MAX, |path, device| check_device(path, device, is), IdShown::of));
    if !consumers.is_empty() && is.allocation.is_none() {
        errors.push(Error::forbidden(&reserved_for, "may not be specified when `allocated` is not set"));
    }
    let before = was.reserved_for.as_deref().unwrap_or_default();
    if deleted && is.allocation.is_some() && consumers.iter().any(|consumer| !before.contains(consumer)) {
        errors.push(Error::forbidden(&reserved_for, "new entries may not be added while the claim is being deleted"));
    }
    let allocation = path.child("allocation");
    // An allocation stays as it is until it is given up.
    match (&was.allocation, &is.allocation) {
        (Some(_), Some(_)) => errors.extend(immutable(&allocation, &is.allocation, &was.allocation)),
        (None, Some(result)) => errors.extend(check_allocation(&allocation, result, requests)),
        _ => {}
    }
    errors
}

/// A device's identity, as it is compared and shown.
#[derive(PartialEq, serde::Serialize)]
struct IdShown<'a>(DeviceId<'a>);

impl<'a> IdShown<'a> {
    fn of(device: &'a AllocatedDeviceStatus) -> Self {
        Self(id(device))
    }
}

impl machinery::field::Shown for IdShown<'_> {
    fn shown(&self) -> String {
        let (driver, pool, device, share) = self.0;
        format!("\"{driver}/{pool}/{device}/{share}\"")
    }
}

fn check_consumer(path: &Path, consumer: &ResourceClaimConsumerReference) -> Errors {
    let fields = [("resource", &consumer.resource), ("name", &consumer.name), ("uid", &consumer.uid)];
    fields.into_iter().flat_map(|(name, value)| required(&path.child(name), value)).collect()
}

fn check_device(path: &Path, device: &AllocatedDeviceStatus, status: &ResourceClaimStatus) -> Errors {
    let mut errors = driver_name(&path.child("driver"), &device.driver);
    errors.extend(pool_name(&path.child("pool"), &device.pool));
    errors.extend(label(&path.child("device"), &device.device));
    errors.extend(device.share_id.iter().flat_map(|id| share_id(&path.child("shareID"), id)));
    if !allocated(status).any(|one| one == id(device)) {
        errors.push(Error::invalid(path, &device.device, "is not one of the claim's devices"));
    }
    let found = device.conditions.as_deref().unwrap_or_default();
    let at = path.child("conditions");
    if found.len() > MOST_CONDITIONS {
        errors.push(Error::too_many(&at, found.len(), MOST_CONDITIONS));
    }
    errors.extend(conditions::validate(&at, found));
    errors.extend(device.data.iter().flat_map(|data| raw(&path.child("data"), data)));
    errors.extend(device.network_data.iter().flat_map(|data| check_network(&path.child("networkData"), data)));
    errors
}

fn check_network(path: &Path, data: &NetworkDeviceData) -> Errors {
    let mut errors = Errors::new();
    for (field, value, most) in [
        ("interfaceName", &data.interface_name, LONGEST_INTERFACE_BYTES),
        ("hardwareAddress", &data.hardware_address, LONGEST_HARDWARE_ADDRESS_BYTES),
    ] {
        if text(value).len() > most {
            errors.push(Error::too_long(&path.child(field), most));
        }
    }
    let addresses = data.ips.as_deref().unwrap_or_default();
    errors.extend(set(&path.child("ips"), addresses, MOST_ADDRESSES, check_address, |address| address));
    errors
}

/// The address of an interface with the size of its network, as it is usually written.
fn check_address(path: &Path, value: &String) -> Errors {
    let canonical = value.split_once('/').and_then(|(address, bits)| {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let size: u8 = bits.parse().ok().filter(|size| *size <= most)?;
        let mapped = matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some());
        (!mapped).then(|| format!("{address}/{size}"))
    });
    if canonical.as_ref() == Some(value) {
        Errors::new()
    } else {
        vec![Error::invalid(path, value, "must be like 10.9.8.7/24 or 2001:db8::1/64")]
    }
}

fn check_allocation(path: &Path, allocation: &AllocationResult, requests: &[DeviceRequest]) -> Errors {
    let mut errors = Errors::new();
    if let Some(devices) = &allocation.devices {
        let path = path.child("devices");
        let results = devices.results.as_deref().unwrap_or_default();
        errors.extend(list(&path.child("results"), results, MOST_RESULTS, |path, result| check_result(path, result, requests)));
        // Those of the class and those of the claim.
        let configurations = devices.config.as_deref().unwrap_or_default();
        errors.extend(list(&path.child("config"), configurations, 2 * MOST_CONFIGURATIONS, |path, one| check_config(path, one, requests)));
    }
    errors.extend(allocation.node_selector.iter().flat_map(|selector| validate_node_selector(&path.child("nodeSelector"), selector)));
    errors
}

fn check_result(path: &Path, result: &DeviceRequestAllocationResult, requests: &[DeviceRequest]) -> Errors {
    let mut errors = check_reference(&path.child("request"), &result.request, requests);
    errors.extend(driver_name(&path.child("driver"), &result.driver));
    errors.extend(pool_name(&path.child("pool"), &result.pool));
    errors.extend(label(&path.child("device"), &result.device));
    errors.extend(binding_conditions(path, result.binding_conditions.as_deref(), result.binding_failure_conditions.as_deref()));
    errors.extend(result.share_id.iter().flat_map(|id| share_id(&path.child("shareID"), id)));
    errors
}

fn check_config(path: &Path, config: &DeviceAllocationConfiguration, requests: &[DeviceRequest]) -> Errors {
    let mut errors = choice(&path.child("source"), &config.source, &["FromClaim", "FromClass"]);
    errors.extend(check_names(&path.child("requests"), config.requests.as_deref(), requests));
    errors.extend(opaque(&path.child("opaque"), config.opaque.as_ref()));
    errors
}
