//! Seeded simulation: clients whose calls of one store are interleaved, one call at a time, while
//! calls fail, batches arrive late or never, and clients and connections die. Afterwards an auditor
//! holds every answer that any transaction got, and every commit, against the order of commits.
//!
//! A seed decides everything. `SIMULATION_SEED=n` replays one, `SIMULATION_SEEDS=n` runs that many
//! from a place that `SIMULATION_FIRST` may move.

mod audit;
mod client;
mod report;
mod server;
mod wire;

use std::panic::catch_unwind;

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn no_seed_shows_a_wrong_answer() {
    if let Some(seed) = number("SIMULATION_SEED") {
        println!("{:?}", server::run(seed));
        return;
    }
    let first = number("SIMULATION_FIRST").unwrap_or(1);
    let count = number("SIMULATION_SEEDS").unwrap_or(24);
    let mut total = audit::Tally::default();
    for seed in first..first + count {
        match catch_unwind(|| server::run(seed)) {
            Ok(tally) => total.add(&tally),
            Err(_) => panic!("seed {seed} fails; replay it with SIMULATION_SEED={seed}"),
        }
    }
    println!("{total:?}");
    total.assert_something_happened();
}
