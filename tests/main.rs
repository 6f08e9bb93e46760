//! The behaviour of the operator on real parts: kube-apiserver, etcd, PostgreSQL, kubectl and the operator's own binary.
//!
//! One control plane and one PostgreSQL serve the whole run. Each test gets a database of its own, an operator of its own
//! that serves only the objects of this test (`--database`), and object names of its own.
//!
//! `cargo test --test suite delete` runs the tests whose name contains `delete`.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking; the message says what was expected")]

mod activation;
mod admission;
mod batched;
mod benchmarks;
mod blocked;
mod budget;
mod check;
mod claims;
mod crash;
mod crd;
mod database_errors;
mod databases;
mod delete;
mod drain;
mod errors;
mod expiration;
mod failure_shapes;
mod foreseen;
mod gitops;
mod guard_rails;
mod handover;
mod image;
mod import;
mod kubectl;
mod lagging_watch;
mod layering;
mod lifecycle;
mod monitoring;
mod needs;
mod nobodys_rows;
mod pace;
mod plan;
mod plan_init;
mod property;
mod protection;
mod rbac;
mod readme;
mod refused;
mod remedies;
mod replicas;
mod stuck_shapes;
#[path = "../benches/suite/mod.rs"]
mod suite;
mod support;
mod undo;
mod unknown_tables;
mod watch;
mod written;

use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use support::{Need, Test, Unmet, World, selected};

/// Tests wait much of the time, so more of them than there are cores can run at once: on two cores, these leave none of their time
/// unused. More would not end earlier, and each would have less time for what it waits for.
const THREADS: usize = 5;

/// A test that takes longer hangs, on a slow machine too: the longest took 14 minutes once. `make fuzz` may take as long as it likes.
const LIMIT: Duration = Duration::from_mins(20);

/// The tests of all modules, in the order in which they begin.
fn all_tests() -> Vec<Test> {
    [
        // First, because it waits for longer than any other.
        property::pages_crash::tests(),
        activation::tests(),
        admission::tests(),
        admission::expired::tests(),
        admission::warning::tests(),
        batched::tests(),
        benchmarks::tests(),
        blocked::tests(),
        budget::tests(),
        check::tests(),
        check::standby::tests(),
        claims::tests(),
        crash::tests(),
        crd::tests(),
        database_errors::tests(),
        databases::tests(),
        delete::tests(),
        errors::tests(),
        expiration::tests(),
        failure_shapes::tests(),
        protection::tests(),
        foreseen::tests(),
        gitops::tests(),
        gitops::argocd::tests(),
        gitops::flux::tests(),
        gitops::health::tests(),
        gitops::shipped::tests(),
        guard_rails::tests(),
        handover::tests(),
        image::tests(),
        import::tests(),
        kubectl::tests(),
        lagging_watch::tests(),
        layering::tests(),
        lifecycle::tests(),
        monitoring::tests(),
        needs::tests(),
        nobodys_rows::tests(),
        pace::tests(),
        plan::tests(),
        plan::decisions::tests(),
        plan::groups::tests(),
        plan_init::tests(),
        plan_init::update::tests(),
        property::tests(),
        property::cycles::tests(),
        property::equality::tests(),
        property::meanwhile::tests(),
        property::own_partitions::tests(),
        property::page_sizes::tests(),
        property::pages::tests(),
        property::pages_end::tests(),
        property::pages_meanwhile::tests(),
        property::partial_keys::tests(),
        property::people::tests(),
        property::people_again::tests(),
        property::proof::tests(),
        property::relations::tests(),
        property::single::tests(),
        property::tids::tests(),
        rbac::tests(),
        readme::tests(),
        readme::versions::tests(),
        refused::tests(),
        remedies::tests(),
        replicas::all(),
        drain::tests(),
        stuck_shapes::tests(),
        undo::tests(),
        unknown_tables::tests(),
        watch::tests(),
        written::tests(),
        written::elsewhere::tests(),
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Some(ended) = property::pages_crash::child() {
        return ended;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let tests = all_tests();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // Nothing is fetched and no server is started for what is not run.
    let unmet = runtime.block_on(Unmet::resolve(&tests, &arguments));
    let runs = |test: &Test| !arguments.ignored && selected(test, &arguments) && unmet.of(test).is_none();
    let takes_image = |test: &Test| runs(test) && test.needs.contains(&Need::Image);
    // No test runs beside the compiler: it would slow them down until they wait in vain, and they would slow it down.
    let image = tests.iter().any(takes_image).then(|| runtime.block_on(image::build()));
    let world = tests.iter().any(runs).then(|| {
        Arc::new(runtime.block_on(World::start(image)).unwrap_or_else(|e| panic!("the servers do not start: {e}")))
    });
    let took = Arc::new(Mutex::new(Vec::new()));
    let trial = |test: &Test| {
        let &Test { name, run, .. } = test;
        if let Some(why) = unmet.of(test) {
            return Trial::test(name, || Err(why.into())).with_ignored_flag(unmet.skips());
        }
        let (world, handle) = (world.clone(), runtime.handle().clone());
        let took = took.clone();
        Trial::test(name, move || {
            let _running = watch(name);
            let started = Instant::now();
            handle.block_on(run(world.expect("servers")));
            took.lock().expect("a lock").push((started.elapsed(), name));
            Ok(())
        })
    };
    let conclusion = libtest_mimic::run(&arguments, tests.iter().map(trial).collect());
    unmet.report(&tests, &arguments);
    report_slowest(&mut took.lock().expect("a lock"));
    // The servers end here, also when tests panicked.
    drop(world);
    conclusion.exit_code()
}

/// Says which tests take long, beside the others that ran at the same time.
fn report_slowest(took: &mut [(Duration, &str)]) {
    const SHOWN: usize = 20;
    if took.len() <= SHOWN {
        return;
    }
    took.sort_unstable_by(|a, b| b.cmp(a));
    println!("the slowest tests that passed:");
    for (took, name) in &took[..SHOWN] {
        println!("{:6.1} s  {name}", took.as_secs_f64());
    }
    println!();
}

/// Ends the whole run when what is returned lives for too long. The servers end with the process. This is a thread of its
/// own, since a test that hangs may have stopped every timer of the runtime.
fn watch(name: &'static str) -> Sender<()> {
    let (running, ended) = channel::<()>();
    if std::env::var_os("CASES").is_none() {
        std::thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} has not ended in {LIMIT:?}; the run ends here");
                std::process::exit(101);
            }
        });
    }
    running
}
