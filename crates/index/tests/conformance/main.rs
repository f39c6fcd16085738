//! What every engine must do: one readable story, and random lives compared with a simple model.
//!
//! Each test is a function over an index and runs for every engine in [`ENGINES`].

#![expect(clippy::unwrap_used, reason = "a test's fixtures fail the test by panicking")]

mod many;
mod partials;
mod story;

mod random;

mod engine;
mod fixture;
mod model;

use engine::{ENGINES, Home};
use peerage_index::{Index, Options};

/// Makes a test of each story.
macro_rules! every_engine {
    ($module:ident: $($story:ident)*) => {$(
        #[test]
        fn $story() {
            for engine in &ENGINES {
                println!("engine: {}", engine.name); // shown only when it fails
                $module::$story(&Home::new(engine).index);
            }
        }
    )*};
}

every_engine! { story:
    a_peer_joins_and_its_files_are_found
    the_same_content_is_one_hit_with_every_source
    a_peer_quits_and_is_gone_at_once
    a_lease_runs_out_and_heartbeats_keep_it
    a_lease_that_ran_out_is_taken_up_by_a_heartbeat
    a_peer_returns_with_the_same_digest_and_sends_nothing
    a_peer_returns_changed_and_sends_all
    batches_are_applied_once_and_in_order
    a_repeated_announcement_destroys_nothing
    an_old_process_of_a_peer_is_refused
    a_size_is_what_most_peers_say
    hits_are_ranked_filtered_and_sorted
    a_query_says_itself_what_else_is_asked
    a_type_is_asked_of_each_name
    many_names_of_several_types_are_all_counted
    the_orders_look_at_every_name_that_matches
    the_first_name_is_the_first_owners
    words_are_read_more_loosely_only_where_nothing_matches
    pages_stay_good_while_things_change
    later_pages_come_to_all_that_match
    lists_show_what_was_asked_for
    names_in_every_script_are_found
    a_content_with_too_many_names_is_still_listed_whole
    what_can_not_be_read_is_refused
}

every_engine! { partials:
    a_download_is_a_source_while_its_peer_says_so
    a_download_is_forgotten_with_its_peer
}

#[test]
fn random_lives_agree_with_the_model() {
    for engine in &ENGINES {
        println!("engine: {}", engine.name);
        random::lives_agree_with_the_model(engine);
    }
}

/// Only where new names are not flushed at once: in a segment they stand behind what more peers have.
#[test]
fn a_new_file_is_found_where_a_search_is_cut_short() {
    story::a_new_file_is_found_where_a_search_is_cut_short(&Index::embedded());
}

/// As above, where two threads go through many pieces.
#[test]
fn a_new_file_is_found_where_a_long_search_is_cut_short() {
    let options = Options { memtable_names: Some(700), ..Options::default() };
    story::a_new_file_is_found_where_a_search_is_cut_short(&Index::in_memory(&options));
}

#[test]
fn pages_after_one_that_is_cut_short_have_all_the_rest() {
    story::pages_after_one_that_is_cut_short_have_all_the_rest(&Index::embedded());
    let options = Options { memtable_names: Some(700), ..Options::default() };
    story::pages_after_one_that_is_cut_short_have_all_the_rest(&Index::in_memory(&options));
}

#[test]
fn contents_of_several_names_have_each_read_once() {
    story::contents_of_several_names_have_each_read_once(&Index::embedded());
}

#[test]
fn pages_of_many_names_are_the_best_of_them() {
    many::pages_of_many_names_are_the_best_of_them(32_768);
}

#[test]
fn pages_of_many_names_in_many_pieces_are_the_best_of_them() {
    many::pages_of_many_names_are_the_best_of_them(7_000);
}

/// Of so many pieces that two threads share them.
#[test]
fn pages_of_many_names_in_very_many_pieces_are_the_best_of_them() {
    many::pages_of_many_names_are_the_best_of_them(771);
}
