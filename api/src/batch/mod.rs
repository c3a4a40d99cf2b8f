//! Kinds of the group `batch`.

pub mod cron_job;
pub mod indexes;
pub mod job;
mod job_policies;
mod job_spec;
mod job_status;
mod occurrence;
pub mod schedule;
