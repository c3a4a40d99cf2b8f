//! Kinds of the core group, `v1`.

pub mod config_map;
