//! `PartialObjectMetadata`: an object's metadata alone, as metadata informers ask for it. Cut out of the stored
//! bytes, not decoded.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::status::ListMeta;

/// The version of `meta.k8s.io` in which tables and bare metadata are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaVersion {
    #[default]
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub fn parse(version: &str) -> Option<Self> {
        match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// One object's metadata.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialObjectMetadata<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'a RawValue,
}

impl<'a> PartialObjectMetadata<'a> {
    /// Cuts the metadata out of an object's JSON.
    pub fn of(json: &'a [u8], version: MetaVersion) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            metadata: &'a RawValue,
        }
        let Head { metadata } = serde_json::from_slice(json)?;
        Ok(Self { kind: "PartialObjectMetadata", api_version: version.api_version(), metadata })
    }
}

/// A list of bare metadata.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialObjectMetadataList<'a> {
    kind: &'static str,
    api_version: &'static str,
    pub metadata: ListMeta,
    pub items: Vec<PartialObjectMetadata<'a>>,
}

impl<'a> PartialObjectMetadataList<'a> {
    pub fn new(version: MetaVersion, metadata: ListMeta, items: Vec<PartialObjectMetadata<'a>>) -> Self {
        Self { kind: "PartialObjectMetadataList", api_version: version.api_version(), metadata, items }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_cut_out_of_an_object() {
        let stored = br#"{"kind":"Secret","metadata":{"name":"s","labels":{"k":"v"}},"data":{"hidden":"MQ=="}}"#;
        let partial = PartialObjectMetadata::of(stored, MetaVersion::V1Beta1).unwrap();
        let list = PartialObjectMetadataList::new(MetaVersion::V1, ListMeta::default(), vec![partial]);
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            concat!(
                r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":["#,
                r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1beta1","metadata":{"name":"s","labels":{"k":"v"}}}]}"#
            )
        );
        assert!(PartialObjectMetadata::of(b"{}", MetaVersion::V1).is_err());
        assert_eq!(MetaVersion::parse("v2"), None);
    }
}
