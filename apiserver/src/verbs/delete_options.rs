//! Options of deletions, as they stand in queries, in bodies and in evictions: reading them, and what is wrong with them.

use api::kind::Propagation;
use machinery::field::{Error, Path};
use machinery::{GroupKind, Status};

use super::DeleteOptions;

/// Reads `dryRun`; every value must be `All`.
pub fn validate_dry_run(values: &[&str], errors: &mut Vec<Error>) -> bool {
    if let Some(other) = values.iter().find(|v| **v != "All") {
        errors.push(Error::not_supported(&Path::new("dryRun"), *other, &["All"]));
    }
    !values.is_empty()
}

/// Reads a propagation policy.
pub fn propagation(text: Option<&str>, errors: &mut Vec<Error>) -> Option<Propagation> {
    match text? {
        "Orphan" => Some(Propagation::Orphan),
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        other => {
            errors.push(Error::not_supported(&Path::new("propagationPolicy"), other, &["Background", "Foreground", "Orphan"]));
            None
        }
    }
}

/// The options, unless something is wrong with them.
pub fn check_delete(options: DeleteOptions, mut errors: Vec<Error>) -> Result<DeleteOptions, Status> {
    if options.propagation.is_some() && options.orphan_dependents.is_some() {
        errors.push(Error::invalid(&Path::new("propagationPolicy"), "", "cannot be combined with orphanDependents"));
    }
    if errors.is_empty() { Ok(options) } else { Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &errors)) }
}
