//! What every API object shares: metadata, names, selectors, quantities, schemas, patches, managed fields,
//! tables and Status errors. Knows no kind, does no I/O, and every input it takes is bounded.

pub mod apply;
mod by_name;
pub mod cel;
pub mod decode;
pub mod field;
pub mod fields;
pub mod finding;
pub mod intstr;
pub mod ip;
pub mod json;
pub mod labels;
pub mod meta;
pub mod names;
pub mod objectmeta;
pub mod partial;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod shared;
pub mod status;
pub mod structural;
pub mod table;
pub mod tape;
pub mod text;
mod time;
pub mod yaml;

pub use meta::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, NamespacedName, ResourceVersion};
pub use status::Status;
