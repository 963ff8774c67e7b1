//! Each model; the sentence that it proves stands before it.

use tlsloop_models::{cells, gauges, inboxes, snapshots, try_every_order, try_orders};

macro_rules! models {
    ($try:expr; $($module:ident :: $model:ident),* $(,)?) => {$(
        #[test]
        fn $model() {
            $try($module::$model);
        }
    )*};
}

models! {
    try_every_order;
    gauges::nothing_counts_after_the_seal,
    gauges::each_end_is_reached_once,
    inboxes::a_batch_is_one_write,
    cells::what_is_posted_runs_once_or_is_refused,
    cells::the_end_leaves_behind_all_that_was_taken,
}

models! {
    |model: fn()| try_orders(3, model);
    gauges::each_refusal_is_answered_by_a_drain_and_there_is_none_without,
    inboxes::no_note_is_left_behind,
    inboxes::no_guest_is_left_behind,
    inboxes::a_nudge_is_not_missed,
    cells::a_stale_id_reaches_nobody,
    cells::what_is_sent_arrives,
}

models! {
    |model: fn()| try_orders(2, model);
    snapshots::no_snapshot_shows_an_end_without_its_beginning,
}
