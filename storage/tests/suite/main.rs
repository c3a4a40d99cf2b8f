//! One suite for every store: the cases in `cases`, stamped out for each.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cases;
mod etcd_server;
mod model;
mod outage;

/// Makes a test of every case, on the store that `$open` makes. `$open` answers the store and whatever has to
/// outlive it.
macro_rules! stamp {
    ($backend:ident, $open:expr, $($case:ident)*) => {
        mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (store, _keep) = $open;
                crate::cases::$case(std::sync::Arc::new(store)).await;
            })*
        }
    };
}

macro_rules! suite {
    ($backend:ident, $open:expr) => {
        stamp! {
            $backend, $open,
            an_empty_store_is_at_the_first_revision
            every_write_advances_the_revision_by_one
            a_write_is_read_back
            a_failed_expectation_answers_the_present_state
            of_concurrent_writers_one_wins
            concurrent_counters_lose_nothing
            a_range_is_ordered_limited_and_bounded
            a_range_reads_the_past
            compaction_forgets_what_is_older
            a_watch_tells_everything_in_order
            a_watch_of_everything_sees_every_revision
            watches_that_join_under_load_miss_nothing
            progress_never_overtakes_events
            a_slow_watch_still_gets_everything
            keys_vanish_with_their_lease
            an_unknown_lease_is_refused
            values_are_limited
            keys_and_values_are_any_bytes
            a_closed_store_says_so
        }
    };
}

suite!(memory, (storage::memory::Memory::new(), ()));

suite!(embedded, {
    let directory = tempfile::tempdir().unwrap();
    (storage::embedded::Embedded::open(directory.path(), Default::default()).unwrap(), directory)
});

suite!(etcd, {
    let server = crate::etcd_server::Server::start().await;
    (server.connect().await, server)
});
