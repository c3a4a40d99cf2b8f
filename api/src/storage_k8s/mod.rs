//! Kinds of the group `storage.k8s.io`.

pub mod csi_driver;
pub mod csi_node;
pub mod csi_storage_capacity;
pub mod storage_class;
pub mod volume_attachment;
pub mod volume_attributes_class;

use std::collections::BTreeMap;

use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate;

/// The group's name.
const GROUP: &str = "storage.k8s.io";
const MOST_PARAMETERS: usize = 512;
const MOST_PARAMETER_BYTES: usize = 256 << 10;

/// Who makes volumes, or changes them: a qualified name, in letters of any case.
fn check_provisioner(path: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    validate::complaints(path, name, names::qualified_name(&name.to_lowercase()))
}

/// Parameters that are passed to a driver.
fn check_parameters(path: &Path, parameters: Option<&BTreeMap<String, String>>) -> Errors {
    let mut errors = Errors::new();
    let Some(parameters) = parameters else { return errors };
    if parameters.len() > MOST_PARAMETERS {
        errors.push(Error::too_long(path, MOST_PARAMETERS));
        return errors;
    }
    if parameters.contains_key("") {
        errors.push(Error::invalid(path, "", "a name must not be empty"));
    }
    if parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MOST_PARAMETER_BYTES {
        errors.push(Error::too_long(path, MOST_PARAMETER_BYTES));
    }
    errors
}
