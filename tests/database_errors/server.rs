//! The server itself: full, read-only, a standby, away, or not the one that it should be.

use std::io::ErrorKind;
use std::sync::Arc;

use organization_operator::api::Reason;
use rcgen::{CertificateParams, IsCa, KeyPair};
use serde_json::json;
use sqlx::Connection as _;
use testbed::{PgBouncer, PgBouncerOptions, PostgresOptions, quote};

use super::access::disconnect;
use super::stage::{Expect, Stage, Via, launch, scene};
use crate::database_errors::on;
use crate::errors::shows;
use crate::support::{Need, PASSWORD, ROLE, Scene, Test, Variant, World, eventually};

pub fn tests() -> Vec<Test> {
    let both = on![(Via::Default, "default"), (Via::Eighteen, "postgresql_18"); no_way_in, a_full_disk];
    let once = on![(Via::Default, "default"); nobody_answers, connections_have_a_bound];
    let pooler = on![needs Need::PgBouncer; (Via::Default, "default"); a_certificate_that_is_not_trusted];
    let standby = on![
        needs Need::PgBaseBackup;
        (Via::Default, "default");
        a_standby_that_is_promoted,
        a_primary_among_several_servers,
    ];
    [both, once, pooler, standby].concat()
}

/// SQL about a database, from outside of it.
async fn from_outside(stage: &Stage, sql: &str) {
    let sql = sql.replace("DATABASE", &format!("DATABASE {}", quote(&stage.scene.database)));
    stage.scene.world.postgres().run_sql("postgres", &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn no_way_in(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    // With one session, whatever is wrong with a session stays wrong until the operator makes another one.
    let launch = launch(&scene, via).await.configure("pollIntervalSeconds", json!(3600));
    let launch = launch.configure("concurrency", json!(1)).configure("database.maxConnections", json!(3));
    let launch = launch.configure("cascade", json!({"batch": "never"}));
    let mut stage = Stage::with(scene, launch).await;

    let doomed = stage.doomed(0).await;
    from_outside(&stage, "ALTER DATABASE CONNECTION LIMIT 0").await;
    disconnect(&stage).await;
    stage.delete(&doomed).await;
    let full = Expect {
        sql_state: Some("53300"),
        says: &["has no connection left"],
        remedy: &["FROM pg_stat_activity GROUP BY", "CONNECTION LIMIT"],
        ..Expect::new(Reason::DatabaseUnavailable)
    };
    stage.blocked(&doomed, &full).await;
    from_outside(&stage, "ALTER DATABASE CONNECTION LIMIT -1").await;
    stage.healed(&doomed).await;

    let doomed = stage.doomed(0).await;
    from_outside(&stage, "ALTER DATABASE SET default_transaction_read_only = on").await;
    disconnect(&stage).await;
    stage.delete(&doomed).await;
    let read_only = Expect {
        sql_state: Some("25006"),
        says: &["the database is read-only"],
        remedy: &["SHOW default_transaction_read_only;"],
        ..Expect::new(Reason::DatabaseUnavailable)
    };
    stage.blocked(&doomed, &read_only).await;
    // The sessions that the operator has by now stay read-only for good.
    from_outside(&stage, "ALTER DATABASE RESET default_transaction_read_only").await;
    stage.healed(&doomed).await;

    let doomed = stage.doomed(0).await;
    let (name, away) = (stage.scene.database.clone(), format!("{}_away", stage.scene.database));
    rename(&stage, &name, &away).await;
    stage.scene.database.clone_from(&away);
    stage.delete(&doomed).await;
    let missing = Expect {
        sql_state: Some("3D000"),
        says: &["the database named in the operator's database URL does not exist"],
        remedy: &["correct the database name"],
        ..Expect::new(Reason::AuthenticationFailed)
    };
    stage.blocked(&doomed, &missing).await;
    rename(&stage, &away, &name).await;
    stage.scene.database = name;
    stage.healed(&doomed).await;
    stage.close().await;
}

/// Nobody may be connected to a database that is renamed.
async fn rename(stage: &Stage, from: &str, to: &str) {
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'");
    let rename = format!("{end}; ALTER DATABASE {} RENAME TO {}", quote(from), quote(to));
    eventually("the database to be renamed", || async {
        stage.scene.world.postgres().run_sql("postgres", &rename).await.ok()
    })
    .await;
}

/// Puts a device that is always full in the place of an empty table's file: the kernel reports to whatever writes to it that
/// there is no space left. That needs no rights beyond those of the server's own user, and fills nothing.
async fn fill(scene: &Scene, table: &str) {
    // The server must not have a reason left to write the empty file to its disk.
    scene.sql("CHECKPOINT").await;
    let path = format!("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('{table}')");
    let path: String = scene.value(&path).await;
    let replaced = std::fs::metadata(&path)
        .and_then(|file| if file.len() == 0 { std::fs::remove_file(&path) } else { Err(ErrorKind::InvalidData.into()) })
        .and_then(|()| std::os::unix::fs::symlink("/dev/full", &path));
    replaced.unwrap_or_else(|e| panic!("{path} cannot be replaced: {e}; this test needs a server on this machine"));
}

async fn a_full_disk(world: Arc<World>, via: Via) {
    let mut stage = Stage::open(world, via, Variant::Ordinary).await;
    let doomed = stage.doomed(0).await;
    stage
        .scene
        .sql(
            "CREATE TABLE audit (email text);
             CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO audit VALUES (OLD.email); RETURN OLD; END $$;
             CREATE TRIGGER audit BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION audit()",
        )
        .await;
    fill(&stage.scene, "audit").await;
    stage.delete(&doomed).await;
    let expect = Expect {
        sql_state: Some("53100"),
        entity: Some("users"),
        table: Some("public.users"),
        says: &["the database server's disk is full", "in the function `audit()`"],
        remedy: &["free space"],
        ..Expect::new(Reason::DatabaseUnavailable)
    };
    stage.blocked(&doomed, &expect).await;
    // The table gets a new file.
    stage.scene.sql("TRUNCATE audit").await;
    stage.healed(&doomed).await;
    assert_eq!(stage.scene.value::<i64>("SELECT count(*) FROM audit").await, 3, "the trigger wrote what it had to");
    stage.close().await;
}

/// A certificate for 127.0.0.1 that nobody has signed, its key, and the certificate's file.
fn certificate(scene: &Scene) -> (String, String, String) {
    let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    parameters.is_ca = IsCa::ExplicitNoCa;
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate").pem();
    let path = scene.file("server.crt", &certificate);
    (certificate, key.serialize_pem(), path)
}

async fn a_certificate_that_is_not_trusted(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    let (pem, key, path) = certificate(&scene);
    let users = vec![(ROLE.to_owned(), PASSWORD.to_owned())];
    let options = PgBouncerOptions { users, tls: Some((pem, key)), ..PgBouncerOptions::default() };
    let front = PgBouncer::start(scene.world.postgres(), options).await.unwrap_or_else(|e| panic!("{e}"));
    let url = |host: &str, more: &str| {
        let (port, database) = (front.port(), &scene.database);
        format!("postgres://{ROLE}:{PASSWORD}@{host}:{port}/{database}?sslmode=verify-full{more}")
    };
    let root = format!("&sslrootcert={path}");
    let file = scene.file("url", &url("127.0.0.1", ""));
    let (wrong_host, right) = (url("localhost", &root), url("127.0.0.1", &root));
    let launch = launch(&scene, via).await.url_file(&file);
    let mut stage = Stage::unready(scene, launch).await;
    let doomed = stage.created(0).await;
    let said = |words: &'static str| {
        move |s: &crate::support::Seen| {
            s.reason("Ready") == "AuthenticationFailed" && s.message("Ready").contains(words)
        }
    };
    let seen = stage.scene.until(&doomed.name, "an unknown issuer", said("its issuer is not known")).await;
    shows(&seen, Reason::AuthenticationFailed);
    stage.delete(&doomed).await;
    let expect = Expect {
        says: &["the database server's TLS certificate is not trusted: its issuer is not known"],
        remedy: &["sslrootcert", "again by itself"],
        ..Expect::new(Reason::AuthenticationFailed)
    };
    stage.blocked(&doomed, &expect).await;
    std::fs::write(&file, wrong_host).expect("a file");
    stage.scene.until(&doomed.name, "a wrong host", said("it is for a host name other than")).await;
    std::fs::write(&file, right).expect("a file");
    stage.healed(&doomed).await;
    stage.close().await;
}

async fn a_standby_that_is_promoted(world: Arc<World>, via: Via) {
    let primary = Arc::new(world.with_postgres(PostgresOptions::default()).await);
    let scene = scene(primary.clone(), via, Variant::Ordinary).await;
    let launched = launch(&scene, via).await;
    let mut stage = Stage::with(scene, launched).await;
    let doomed = stage.doomed(0).await;
    let Scene { variant, database, class, .. } = stage.close().await;

    let standby = primary.postgres().standby().await.expect("a standby");
    primary.postgres().stop().await.expect("the primary is gone");
    let scene = Scene::of(Arc::new(primary.beside(standby)), variant, database, class);
    let launched = launch(&scene, via).await;
    let mut stage = Stage::unready(scene, launched).await;
    stage.delete(&doomed).await;
    let expect = Expect {
        says: &["the database server is a standby"],
        remedy: &["primary", "SELECT pg_promote();"],
        ..Expect::new(Reason::DatabaseMismatch)
    };
    stage.blocked(&doomed, &expect).await;
    let promoted: bool = stage.scene.value("SELECT pg_promote()").await;
    assert!(promoted);
    stage.healed(&doomed).await;
    stage.close().await;
}

/// What libpq and every set-up with a standby knows: `postgres://h1,h2/db?target_session_attrs=read-write`.
async fn a_primary_among_several_servers(world: Arc<World>, via: Via) {
    let primary = Arc::new(world.with_postgres(PostgresOptions::default()).await);
    let scene = scene(primary.clone(), via, Variant::Ordinary).await;
    let standby = primary.postgres().standby().await.expect("a standby");
    // One that takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let hosts = [silent.local_addr().expect("an address").port(), standby.port(), primary.postgres().port()]
        .map(|port| format!("127.0.0.1:{port}"))
        .join(",");
    let url = format!(
        "postgres://{ROLE}:{PASSWORD}@{hosts}/{}?target_session_attrs=read-write&sslmode=disable",
        scene.database
    );
    let launched = launch(&scene, via).await.url(&url);
    let mut stage = Stage::with(scene, launched).await;
    let gone = stage.doomed(0).await;
    stage.delete(&gone).await;
    stage.healed(&gone).await;

    let doomed = stage.doomed(0).await;
    // The standby has what the primary has.
    let caught_up =
        format!("SELECT count(*) FROM organization_operator.claims WHERE organization_key = '{}'", doomed.key);
    eventually("the standby to catch up", || async {
        let url = standby.admin_url(&stage.scene.database);
        let mut connection = sqlx::PgConnection::connect(&url).await.ok()?;
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(caught_up.as_str())).fetch_one(&mut connection).await.ok()?;
        (rows == 1).then_some(())
    })
    .await;
    primary.postgres().stop().await.expect("the primary is gone");
    stage.delete(&doomed).await;
    let expect = Expect {
        says: &[
            "the operator can use no server of the database URL",
            "did not answer within 2 s",
            "it is a standby",
            "refused",
        ],
        ..Expect::new(Reason::DatabaseUnavailable)
    };
    let Scene { variant, database, class, .. } = stage.scene;
    stage.scene = Scene::of(Arc::new(primary.beside(standby)), variant, database, class);
    stage.blocked(&doomed, &expect).await;
    let promoted: bool = stage.scene.value("SELECT pg_promote()").await;
    assert!(promoted);
    stage.healed(&doomed).await;
    stage.close().await;
}

async fn nobody_answers(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    // A port that is free: it was taken for this moment only.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = |host: &str| format!("postgres://{ROLE}:{PASSWORD}@{host}/{}?sslmode=disable", scene.database);
    let file = scene.file("url", &url(&free.to_string()));
    let unknown = url("no-such-host.invalid:6000");
    let unencoded = url("db").replace(PASSWORD, &format!("{PASSWORD}/"));
    let right = scene.url();
    let launch = launch(&scene, via).await.url_file(&file);
    let mut stage = Stage::unready(scene, launch).await;
    let doomed = stage.created(0).await;
    let said = |words: Vec<String>| {
        move |s: &crate::support::Seen| {
            s.reason("Ready") == "DatabaseUnavailable" && words.iter().all(|w| s.message("Ready").contains(w))
        }
    };
    let refused = vec![format!("connecting to {free}"), "Connection refused".to_owned()];
    stage.scene.until(&doomed.name, "refused", said(refused)).await;
    std::fs::write(&file, unknown).expect("a file");
    let words = vec!["connecting to no-such-host.invalid:6000".to_owned(), "lookup".to_owned()];
    stage.scene.until(&doomed.name, "an unknown host", said(words)).await;
    std::fs::write(&file, unencoded).expect("a file");
    let said = |s: &crate::support::Seen| {
        s.reason("Ready") == "AuthenticationFailed" && s.message("Ready").contains("must be encoded")
    };
    stage.scene.until(&doomed.name, "a character that ends the password", said).await;
    std::fs::write(&file, right).expect("a file");
    stage.delete(&doomed).await;
    stage.healed(&doomed).await;
    stage.close().await;
}

/// The most sockets that a process has open to a port, until `done` is dropped. A server goes on showing a session for a
/// moment after its client has closed it, so the client's side is counted.
async fn most_sockets(process: u32, port: u16, mut done: tokio::sync::oneshot::Receiver<()>) -> usize {
    let mut most = 0;
    while done.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
        most = most.max(sockets(process, port));
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    most
}

/// Sockets of a process that lead to a port of this machine (proc(5): `/proc/PID/fd`, `/proc/PID/net/tcp`).
fn sockets(process: u32, port: u16) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).expect("its sockets");
    let remote = format!(":{port:04X}");
    let inodes: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.get(2).is_some_and(|address| address.ends_with(&remote)))
        .filter_map(|columns| columns.get(9).map(|inode| format!("socket:[{inode}]")))
        .collect();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its files");
    open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        .count()
}

/// Also while every deletion waits for a lock, and somebody has to be asked who holds it.
async fn connections_have_a_bound(world: Arc<World>, via: Via) {
    const BOUND: usize = 6;
    let scene = scene(world, via, Variant::Ordinary).await;
    let launch = launch(&scene, via).await;
    let launch = launch.configure("database.maxConnections", json!(BOUND)).configure("concurrency", json!(BOUND - 3));
    let mut stage = Stage::with(scene, launch).await;
    let mut doomed = Vec::new();
    for _ in 0..BOUND - 3 {
        doomed.push(stage.doomed(0).await);
    }
    let mut holder = stage.scene.connect().await;
    let lock = "SET application_name = 'the-holder'; BEGIN; SELECT FROM organizations FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut holder).await.expect("a lock");
    let (waiting, done) = tokio::sync::oneshot::channel();
    let all_are_named = async {
        for tenant in &doomed {
            stage.delete(tenant).await;
        }
        for tenant in &doomed {
            let named = |s: &crate::support::Seen| s.message("DeletionBlocked").contains("the-holder");
            stage.scene.until(&tenant.name, "who holds the lock", named).await;
        }
        drop(waiting);
    };
    let port = stage.scene.world.postgres().port();
    let (most, ()) = tokio::join!(most_sockets(stage.operator.guard().pid(), port, done), all_are_named);
    assert!((BOUND - 2..=BOUND).contains(&most), "{most} connections at one time");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.expect("no lock");
    for tenant in &doomed {
        stage.scene.gone(&tenant.name).await;
    }
    stage.close().await;
}
