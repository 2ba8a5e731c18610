//! The steps, in their order.

mod cost;
mod ground;
mod harm;
mod leave;
mod pressure;
mod product;
mod shop;

use crate::story::{Result, Story};

/// One step.
pub type Step = fn(&mut Story) -> Result;

/// Names a step as its function is named.
macro_rules! steps {
    ($($part:ident: $($name:ident),+;)+) => { vec![$($((stringify!($name), $part::$name as Step)),+),+] };
}

/// All of them; a name says what holds when it passed.
pub fn all() -> Vec<(&'static str, Step)> {
    steps! {
        ground:
            the_sample_application_runs, a_service_carries_requests_to_it, names_are_resolved_in_pods, metrics_of_pods_are_served,
            a_resize_in_place_shows_in_the_control_group;
        product:
            applications_run_without_it, it_installs_from_the_manifests, a_labelled_namespace_gets_sidecars_and_a_scaler_its_shadow,
            a_named_port_carries_traffic_and_copies_arrive, a_redirect_carries_traffic_and_copies_arrive,
            prometheus_scrapes_sidecars_agents_and_controllers;
        pressure: the_floor_is_raised_before_production_violates_its_objective;
        harm:
            a_new_release_is_followed_by_the_shadow_and_not_felt, a_killed_agent_comes_back_to_what_it_held_and_nobody_feels_it,
            with_every_controller_killed_a_release_is_still_followed, without_its_api_server_production_and_agent_go_on;
        leave: uninstalling_leaves_nothing_behind;
    }
}

/// Measurements: run only when they are asked for by name.
pub fn measurements() -> Vec<(&'static str, Step)> {
    steps! { cost: cost_of_being_injected; }
}
