//! VolumeAttachment: asks a driver to attach a volume to a node, and says how that went.

use jiff::Timestamp;
use k8s_openapi::api::storage::v1::{VolumeAttachment, VolumeAttachmentStatus, VolumeError};
use machinery::field::{Error, Errors, Path};
use machinery::names;
use machinery::objectmeta::Repeated;
use serde_json::{Value, json};

use super::GROUP;
use crate::columns;
use crate::core::persistent_volume::validate_inline;
use crate::kind::{Column, Kind, Names, Scope, Subresource, View};
use crate::strategy::{self, Context, UpdateStrategy};
use crate::{validate, zero};

const MOST_METADATA_BYTES: usize = 256 << 10;
const MOST_ERROR_BYTES: usize = 1024;

pub struct VolumeAttachments;

impl Kind for VolumeAttachments {
    type Object = VolumeAttachment;

    const NAMES: Names = Names {
        group: GROUP,
        version: "v1",
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        singular: "volumeattachment",
        short: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORED_UNDER: &'static str = "volumeattachments";
    const UNCONDITIONAL_UPDATE: bool = false;
    const DELETE_RETURNS_OBJECT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column { format: "name", ..Column::text("Attacher", "The driver that attaches.") },
        Column::text("PV", "The volume."),
        Column::text("Node", "The node."),
        Column::boolean("Attached", "Whether it is attached."),
        Column::AGE,
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(name, prefix)
    }

    fn default(attachment: &mut VolumeAttachment) {
        let status = zero::keep(&mut attachment.status);
        zero::omit(&mut status.attachment_metadata);
        for error in [&mut status.attach_error, &mut status.detach_error].into_iter().flatten() {
            zero::omit(&mut error.message);
        }
    }

    fn prepare_create(_cx: &Context<'_>, attachment: &mut VolumeAttachment) {
        attachment.status = Some(VolumeAttachmentStatus::default());
    }

    fn validate_create(_cx: &Context<'_>, attachment: &VolumeAttachment) -> Errors {
        check(attachment)
    }

    fn update() -> &'static dyn UpdateStrategy<VolumeAttachment> {
        &Update
    }

    fn subresources() -> Vec<Subresource<VolumeAttachment>> {
        vec![Subresource { name: "status", view: View::Object(&Status) }]
    }

    fn row(attachment: &VolumeAttachment, now: Timestamp) -> Vec<Value> {
        let spec = &attachment.spec;
        vec![
            columns::name(&attachment.metadata),
            json!(spec.attacher),
            json!(spec.source.persistent_volume_name.as_deref().unwrap_or_default()),
            json!(spec.node_name),
            json!(attachment.status.as_ref().is_some_and(|s| s.attached)),
            columns::age(&attachment.metadata, now),
        ]
    }
}

struct Update;

impl UpdateStrategy<VolumeAttachment> for Update {
    fn prepare(&self, _cx: &Context<'_>, new: &mut VolumeAttachment, old: &VolumeAttachment) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, _cx: &Context<'_>, new: &VolumeAttachment, old: &VolumeAttachment) -> Errors {
        let mut errors = check(new);
        errors.extend(validate::immutable(&Path::new("spec"), &new.spec, &old.spec));
        errors
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

struct Status;

impl UpdateStrategy<VolumeAttachment> for Status {
    fn prepare(&self, _cx: &Context<'_>, new: &mut VolumeAttachment, old: &VolumeAttachment) {
        new.spec.clone_from(&old.spec);
        strategy::keep_metadata(&mut new.metadata, &old.metadata);
    }

    fn validate(&self, _cx: &Context<'_>, new: &VolumeAttachment, _old: &VolumeAttachment) -> Errors {
        check(new)
    }

    fn repeated_metadata(&self) -> Repeated {
        Repeated::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }
}

fn check(attachment: &VolumeAttachment) -> Errors {
    let spec = &attachment.spec;
    let path = Path::new("spec");
    let mut errors = validate::driver_name(&path.child("attacher"), &spec.attacher);
    let source = path.child("source");
    match (&spec.source.persistent_volume_name, &spec.source.inline_volume_spec) {
        (None, None) => errors.push(Error::required(&source, "a volume's name or an inline volume")),
        (Some(_), Some(_)) => errors.push(Error::forbidden(&source, "only one of a volume's name and an inline volume")),
        (Some(name), None) => errors.extend(validate::required(&source.child("persistentVolumeName"), name)),
        (None, Some(spec)) => errors.extend(validate_inline(&source.child("inlineVolumeSpec"), spec)),
    }
    errors.extend(validate::complaints(&path.child("nodeName"), &spec.node_name, names::dns1123_subdomain(&spec.node_name, false)));
    if let Some(status) = &attachment.status {
        errors.extend(check_status(&Path::new("status"), status));
    }
    if let Some(name) = &spec.source.persistent_volume_name {
        errors.extend(validate::complaints(&source.child("persistentVolumeName"), name, names::dns1123_subdomain(name, false)));
    }
    errors
}

fn check_status(path: &Path, status: &VolumeAttachmentStatus) -> Errors {
    let mut errors = Errors::new();
    let metadata_path = path.child("attachmentMetadata");
    let bytes: usize = status.attachment_metadata.iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MOST_METADATA_BYTES {
        errors.push(Error::too_long(&metadata_path, MOST_METADATA_BYTES));
    }
    errors.extend(status.attach_error.iter().flat_map(|error| check_error(&path.child("attachError"), error)));
    errors.extend(status.detach_error.iter().flat_map(|error| check_error(&path.child("detachError"), error)));
    errors
}

fn check_error(path: &Path, error: &VolumeError) -> Errors {
    let mut errors = Errors::new();
    if error.message.as_ref().is_some_and(|message| message.len() > MOST_ERROR_BYTES) {
        errors.push(Error::too_long(&path.child("message"), MOST_ERROR_BYTES));
    }
    errors.extend(validate::non_negative(&path.child("errorCode"), error.error_code.unwrap_or_default().into()));
    errors
}
