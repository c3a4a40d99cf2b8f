//! Projected volumes: several sources whose files share one directory.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{KeyToPath, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection};
use machinery::field::{Error, Errors, Path};

use super::volume_sources::{downward_file, key_to_path, mode};
use super::volumes::file_path;
use crate::validate::required;

const SHORTEST_TOKEN_SECONDS: i64 = 600;
const LONGEST_TOKEN_SECONDS: i64 = 1 << 32;

pub(super) fn validate(path: &Path, source: &ProjectedVolumeSource) -> Errors {
    let mut errors = mode(&path.child("defaultMode"), source.default_mode);
    let mut files = Files { volume: path, taken: BTreeSet::new() };
    for (i, projection) in source.sources.iter().flatten().enumerate() {
        errors.extend(files.validate(&path.child("sources").index(i), projection));
    }
    errors
}

/// The paths that earlier sources of the volume take. A token's own is not among them.
struct Files<'a> {
    volume: &'a Path,
    taken: BTreeSet<&'a str>,
}

impl<'a> Files<'a> {
    /// One source of a projected volume; one that names nothing is let pass.
    fn validate(&mut self, path: &Path, projection: &'a VolumeProjection) -> Errors {
        let mut errors = Errors::new();
        let mut sources = 0;
        if let Some(secret) = &projection.secret {
            sources += 1;
            errors.extend(self.keys(&path.child("secret"), &secret.name, secret.items.as_deref().unwrap_or_default()));
        }
        if let Some(map) = &projection.config_map {
            sources += 1;
            errors.extend(self.keys(&path.child("configMap"), &map.name, map.items.as_deref().unwrap_or_default()));
        }
        if let Some(downward) = &projection.downward_api {
            sources += 1;
            for file in downward.items.iter().flatten() {
                errors.extend(downward_file(&path.child("downwardAPI"), file));
                errors.extend(self.take(&file.path));
            }
        }
        if let Some(token) = &projection.service_account_token {
            sources += 1;
            errors.extend(service_account_token(self.volume, &path.child("serviceAccountToken"), token));
        }
        if sources > 1 {
            errors.push(Error::forbidden(path, "may not name more than one type of source"));
        }
        errors
    }

    fn keys(&mut self, path: &Path, name: &str, items: &'a [KeyToPath]) -> Errors {
        let mut errors = required(&path.child("name"), name);
        for (i, item) in items.iter().enumerate() {
            errors.extend(key_to_path(&path.child("items").index(i), item));
            errors.extend(self.take(&item.path));
        }
        errors
    }

    fn take(&mut self, file: &'a str) -> Option<Error> {
        let free = file.is_empty() || self.taken.insert(file);
        (!free).then(|| Error::invalid(self.volume, file, "more than one source has this path"))
    }
}

/// Kubernetes reports the token's path at the volume, not at the source.
fn service_account_token(volume: &Path, path: &Path, token: &ServiceAccountTokenProjection) -> Errors {
    let at = path.child("expirationSeconds");
    let mut errors = Errors::new();
    if let Some(seconds) = token.expiration_seconds {
        if seconds < SHORTEST_TOKEN_SECONDS {
            errors.push(Error::invalid(&at, seconds, "may not be less than 10 minutes"));
        }
        if seconds > LONGEST_TOKEN_SECONDS {
            errors.push(Error::invalid(&at, seconds, format!("may not be more than {LONGEST_TOKEN_SECONDS} seconds")));
        }
    }
    errors.extend(match token.path.as_str() {
        "" => vec![Error::required(&volume.child("path"), "")],
        given => file_path(&volume.child("path"), given),
    });
    errors
}
