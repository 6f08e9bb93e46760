//! "It does not hurt the others": how fast a large organization is deleted, what its deletion waits for, and where that is
//! shown.

mod sight;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{Timestamp, ToSpan as _};
use organization_operator::api::status::DeletionProgress;
use serde_json::{Value, json};
use testbed::PostgresOptions;

use crate::check;
use crate::support::{Launch, Need, Operator, ROLE, Scene, Seen, Test, Variant, World, eventually};

/// All tests of this module.
pub fn tests() -> Vec<Test> {
    [rates::tests(), sight::tests(), standbys::tests()].concat()
}

/// Those that need no standby.
mod rates {
    use super::{
        a_standby_that_never_was_is_refused_at_the_start, bad_limits_are_refused_with_their_fields,
        outside_its_hours_a_large_organization_waits_and_a_small_one_does_not, the_rate_is_kept_and_shown,
    };

    crate::tests![
        the_rate_is_kept_and_shown,
        outside_its_hours_a_large_organization_waits_and_a_small_one_does_not,
        a_standby_that_never_was_is_refused_at_the_start,
        bad_limits_are_refused_with_their_fields,
    ];
}

mod standbys {
    use super::{
        Need, a_standby_that_is_late_stops_the_pages_until_it_has_caught_up,
        an_expected_standby_that_is_away_stops_the_pages_and_not_the_operator,
        without_the_privilege_to_see_the_standbys_nothing_is_guessed,
    };

    crate::tests![needs Need::PgBaseBackup;
        a_standby_that_is_late_stops_the_pages_until_it_has_caught_up,
        an_expected_standby_that_is_away_stops_the_pages_and_not_the_operator,
        without_the_privilege_to_see_the_standbys_nothing_is_guessed
    ];
}

const KEY: u32 = 1;

/// An operator that deletes organizations of 500 rows and more in pages.
async fn paced(scene: &Scene, batch: &Value) -> Launch {
    // Pages lock the rows to which their rows belong.
    scene.sql(&format!("GRANT UPDATE (id) ON users, flows, flow_executions TO {ROLE}")).await;
    let mut all = json!({"rows": 500});
    for (field, value) in batch.as_object().expect("fields") {
        all[field] = value.clone();
    }
    scene.operator().configure("cascade", json!({"batch": all})).configure("database.maxConnections", json!(8))
}

/// A large organization with its object.
async fn large(scene: &Scene, rows: u32) {
    // Two rows for each task of ten, and a few more.
    scene.seed_sized(&scene.key(KEY), 10, 10, rows / 200, 10).await;
    scene.apply(&scene.org("acme", &scene.key(KEY)).policy("Delete")).await;
    scene.ready("acme").await;
}

fn progress(seen: &Seen) -> Option<DeletionProgress> {
    seen.deletion()?.progress
}

/// Waits until the deletion waits for this.
async fn waits(scene: &Scene, for_what: &str) -> DeletionProgress {
    let says = |s: &Seen| progress(s).and_then(|p| p.waiting_for).is_some_and(|waits| waits.contains(for_what));
    let seen = scene.until("acme", for_what, says).await;
    // The condition and the column say it, too.
    assert!(seen.message("Deleting").contains(for_what), "{}", seen.yaml());
    let shown = progress(&seen).expect("pages");
    assert_eq!(seen.deletion().and_then(|d| d.summary), Some(format!("{}%", shown.percent)));
    shown
}

async fn metric(operator: &Operator, line: &str) {
    eventually(line, || async { operator.metrics().await.contains(line).then_some(()) }).await;
}

async fn the_rate_is_kept_and_shown(world: Arc<World>) {
    const LIMIT: u64 = 1000;
    let scene = Scene::new(world, Variant::Ordinary).await;
    let operator = paced(&scene, &json!({"maxRowsPerSecond": LIMIT})).await.start().await;
    large(&scene, 12_000).await;
    let rows = scene.total(&scene.key(KEY)).await;
    let began = Instant::now();
    scene.delete("acme").await;
    let seen = scene.until("acme", "rows that are gone", |s| progress(s).is_some_and(|p| p.rows_deleted > 0)).await;
    let first = progress(&seen).expect("pages");
    assert!(first.rows_estimated >= first.rows_deleted && (1..=99).contains(&first.percent), "{first:?}");
    let rate = first.rows_per_second.expect("a rate");
    assert!(rate > 100 && rate <= 1100, "{first:?}");
    let end = first.estimated_end_time.as_ref().expect("an end").0;
    let observed = first.observed_time.as_ref().expect("a time").0;
    assert!(end > observed && end < observed + 60.seconds(), "{first:?}");
    waits(&scene, "limited to 1000 rows per second (cascade.batch.maxRowsPerSecond)").await;
    metric(&operator, &format!("batch_waiting{{object=\"{}\",waiting_for=\"RowsPerSecond\"}} 1\n", scene.name("acme")))
        .await;
    let shown = scene.ok(&["get", "organization", &scene.name("acme")]).await;
    let percent = shown.lines().nth(1).expect("a line").split_whitespace().any(|cell| cell.ends_with('%'));
    assert!(shown.contains("DELETING") && percent, "{shown}");
    scene.gone("acme").await;
    let took = began.elapsed();
    let least = u64::try_from(rows).expect("rows") * 1000 / LIMIT;
    assert!(took >= Duration::from_millis(least * 9 / 10), "{rows} rows in {took:?}");
    assert_eq!(scene.total(&scene.key(KEY)).await, 0);
    // The status was written when the stage changed, and every five seconds while rows went.
    let writes = scene.operator_writes("acme").iter().filter(|w| w.ends_with("organizations/status")).count();
    let most = 8 + usize::try_from(took.as_secs() / 5).expect("a number");
    assert!(writes <= most, "{writes} writes of the status in {took:?}");
    let metrics = operator.metrics().await;
    assert!(!metrics.contains("organization_operator_batch_rows_deleted{"), "nothing is left of it: {metrics}");
    operator.stop().await;
}

async fn outside_its_hours_a_large_organization_waits_and_a_small_one_does_not(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let of_day = |time: Timestamp| time.to_string()[11..16].to_owned();
    // From two hours to three hours from now, on the clocks of a time zone that has no summer time.
    let (from, to) = (Timestamp::now() + 2.hours(), Timestamp::now() + 3.hours());
    let hours =
        json!({"hours": format!("{}-{}", of_day(from + 9.hours()), of_day(to + 9.hours())), "timeZone": "Asia/Tokyo"});
    let operator = paced(&scene, &hours).await.start().await;
    large(&scene, 2000).await;
    let rows = scene.total(&scene.key(KEY)).await;
    scene.delete("acme").await;
    let shown = waits(&scene, "(Asia/Tokyo) (cascade.batch.hours)").await;
    assert!(shown.waiting_for.as_ref().is_some_and(|w| w.contains(&of_day(from))), "{shown:?}");
    assert_eq!((shown.rows_deleted, shown.percent, shown.rows_per_second), (0, 0, None));
    metric(&operator, "waiting_for=\"Hours\"} 1\n").await;
    scene.seed(&scene.key(2)).await;
    scene.apply(&scene.org("small", &scene.key(2)).policy("Delete")).await;
    scene.ready("small").await;
    scene.delete("small").await;
    scene.gone("small").await;
    assert_eq!(scene.total(&scene.key(KEY)).await, rows, "no row of the large one is gone");
    operator.stop().await;
    let now = json!({"hours": format!("{}-{}", of_day(Timestamp::now() - 1.hour()), of_day(to))});
    let operator = paced(&scene, &now).await.start().await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&scene.key(KEY)).await, 0);
    operator.stop().await;
}

/// A server of its own with a standby, and what goes with it.
struct Pair {
    scene: Scene,
    standby: testbed::Postgres,
}

impl Pair {
    async fn new(world: &World) -> Self {
        let primary = Arc::new(world.with_postgres(PostgresOptions::default()).await);
        let standby = primary.postgres().standby().await.expect("a standby");
        let pair = Self { scene: Scene::new(primary, Variant::Ordinary).await, standby };
        pair.connected().await;
        pair
    }

    async fn connected(&self) {
        let sql =
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver' AND state = 'streaming'";
        eventually("the standby", || async { (self.scene.value::<i64>(sql).await == 1).then_some(()) }).await;
    }

    async fn on_the_standby(&self, sql: &str) {
        self.standby.run_sql("postgres", sql).await.expect("the standby answers");
    }

    /// Writes until the server has measured that the standby is more than a second late.
    async fn late(&self) {
        self.on_the_standby("SELECT pg_wal_replay_pause()").await;
        self.scene.sql("CREATE TABLE noise AS SELECT repeat('x', 500) FROM generate_series(1, 10000)").await;
        eventually("the standby to be late", || async {
            self.scene.sql("INSERT INTO noise VALUES ('more')").await;
            let sql = "SELECT coalesce(bool_or(replay_lag > interval '2 seconds'), false) FROM pg_stat_replication";
            self.scene.value::<bool>(sql).await.then_some(())
        })
        .await;
    }
}

async fn a_standby_that_is_late_stops_the_pages_until_it_has_caught_up(world: Arc<World>) {
    let pair = Pair::new(&world).await;
    let scene = &pair.scene;
    scene.sql(&format!("GRANT pg_monitor TO {ROLE}")).await;
    let limits = json!({"maxReplayLagSeconds": 1, "maxRowsPerSecond": 1000});
    let operator = paced(scene, &limits).await.start().await;
    large(scene, 12_000).await;
    scene.delete("acme").await;
    scene.until("acme", "rows that are gone", |s| progress(s).is_some_and(|p| p.rows_deleted > 0)).await;
    pair.late().await;
    let late = waits(scene, "`walreceiver` is more than 1 s behind (cascade.batch.maxReplayLagSeconds)").await;
    metric(&operator, "waiting_for=\"ReplayLag\"} 1\n").await;
    // While it waits no row goes: two more answers of the server change nothing.
    let left = scene.total(&scene.key(KEY)).await;
    assert!(left > 0, "{late:?}");
    let before = Timestamp::now();
    scene.until("acme", "another reconciliation", |_| Timestamp::now() > before + 5.seconds()).await;
    assert_eq!(scene.total(&scene.key(KEY)).await, left);
    pair.on_the_standby("SELECT pg_wal_replay_resume()").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&scene.key(KEY)).await, 0);
    operator.stop().await;
}

async fn an_expected_standby_that_is_away_stops_the_pages_and_not_the_operator(world: Arc<World>) {
    let pair = Pair::new(&world).await;
    let scene = &pair.scene;
    let expected = json!({"standbys": ["walreceiver"]});
    let operator = paced(scene, &expected).await.start().await;
    large(scene, 2000).await;
    pair.standby.stop().await.expect("it stops");
    eventually("the server to notice", || async {
        (scene.value::<i64>("SELECT count(*) FROM pg_stat_replication").await == 0).then_some(())
    })
    .await;
    let rows = scene.total(&scene.key(KEY)).await;
    scene.delete("acme").await;
    waits(scene, "`walreceiver` (cascade.batch.standbys) is not connected").await;
    metric(&operator, "waiting_for=\"StandbyMissing\"} 1\n").await;
    // An operator that starts meanwhile knows the name.
    operator.stop().await;
    let operator = paced(scene, &expected).await.start().await;
    waits(scene, "`walreceiver` (cascade.batch.standbys) is not connected").await;
    let config = json!({"cascade": {"batch": expected}});
    let answer = check::run(scene, &config, &["-o", "json"], &scene.url()).await;
    assert!(!answer.kinds().contains(&"UnknownStandby".to_owned()), "{}", answer.text);
    assert_eq!(scene.total(&scene.key(KEY)).await, rows);
    pair.standby.start_again().await.expect("it starts");
    scene.gone("acme").await;
    operator.stop().await;
}

async fn without_the_privilege_to_see_the_standbys_nothing_is_guessed(world: Arc<World>) {
    let pair = Pair::new(&world).await;
    let scene = &pair.scene;
    let limits = json!({"maxReplayLagSeconds": 60});
    let operator = paced(scene, &limits).await.start().await;
    large(scene, 2000).await;
    let config = json!({"cascade": {"batch": limits}});
    let check = async || check::run(scene, &config, &["-o", "json"], &scene.url()).await;
    let answer = check().await;
    let found = answer.of("MissingPrivilege");
    assert!(answer.code == Some(1) && found.len() == 1 && found[0].3.contains("GRANT pg_monitor"), "{}", answer.text);
    scene.delete("acme").await;
    waits(scene, "GRANT pg_monitor").await;
    metric(&operator, "waiting_for=\"MissingPrivilege\"} 1\n").await;
    scene.sql(&format!("GRANT pg_read_all_stats TO {ROLE}")).await;
    scene.gone("acme").await;
    assert_eq!(check().await.kinds(), Vec::<String>::new());
    operator.stop().await;
}

/// What an operator says that ends by itself.
async fn refused(scene: &Scene, config: &Value) -> String {
    let config = scene.file("refused.yaml", &serde_yaml::to_string(config).expect("YAML"));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_organization-operator"));
    command
        .args(["run", "--listen", "127.0.0.1:0", "--config", &config, "--database", &scene.class])
        .env("DATABASE_URL", scene.url())
        .env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_mins(1), command.output()).await;
    let output = output.expect("it ends").expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("text")
}

async fn a_standby_that_never_was_is_refused_at_the_start(world: Arc<World>) {
    let scene = check::migrated(world, Variant::Ordinary).await;
    let config = json!({"cascade": {"batch": {"standbys": ["no-such-standby"]}}});
    let said = refused(&scene, &config).await;
    for part in ["cascade.batch.standbys", "`no-such-standby`", "never had a standby of that name", "application_name"]
    {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    let answer = check::run(&scene, &config, &["-o", "json"], &scene.url()).await;
    let found = answer.of("UnknownStandby");
    assert!(answer.code == Some(1) && found.len() == 1 && found[0].0 == "Blocks", "{}", answer.text);
    // A slot of that name says that it is one.
    let slot = scene.name("slot").replace('-', "_");
    scene.sql(&format!("SELECT pg_create_physical_replication_slot('{slot}')")).await;
    let config = json!({"cascade": {"batch": {"standbys": [slot]}}});
    let answer = check::run(&scene, &config, &["-o", "json"], &scene.url()).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), Vec::new()), "{}", answer.text);
    scene.sql(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
}

async fn bad_limits_are_refused_with_their_fields(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    for (batch, parts) in [
        (json!(0), &["`cascade.batch.rows` must be at least 1"][..]),
        (
            json!({"rows": 0, "atOnce": 0, "maxRowsPerSecond": 0, "hours": "06:00-06:00", "standbys": ["a", "a"]}),
            &[
                "cascade.batch.rows",
                "batch.atOnce",
                "batch.maxRowsPerSecond",
                "cascade.batch.hours",
                "never come",
                "`a` twice",
            ],
        ),
        (json!({"hours": "22:00-06:00", "timeZone": "Mars/Olympus"}), &["cascade.batch.timeZone", "Mars/Olympus"]),
        (json!({"hour": "22:00-06:00"}), &["cascade.batch", "unknown field `hour`"]),
        (json!("sometimes"), &["cascade.batch", "`never`"]),
    ] {
        let said = refused(&scene, &json!({"cascade": {"batch": batch}})).await;
        for part in parts {
            assert!(said.contains(part), "{part} is missing: {said}");
        }
    }
}
