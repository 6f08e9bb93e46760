//! Reads the live schema from the catalogue of PostgreSQL.

mod fingerprint;
mod foreign_keys;
pub mod live;
pub mod organizations;
mod own_schema;
mod platform;
mod properties;
pub mod sample;
pub mod survey;
mod tables;

pub(crate) use fingerprint::fingerprint;
pub(crate) use platform::below_views;
pub(crate) use tables::table_id;
