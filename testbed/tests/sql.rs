//! PostgreSQL and the proxy in front of it. Every test starts a server of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};
use testbed::proxy::{Fault, Moment, SqlProxy};
use testbed::{Postgres, PostgresOptions};

async fn own() -> Postgres {
    let options = PostgresOptions { own: true, ..PostgresOptions::default() };
    Postgres::start(options).await.unwrap()
}

async fn count(postgres: &Postgres, database: &str) -> i64 {
    let mut connection = postgres.connect(database).await.unwrap();
    sqlx::query("SELECT count(*) FROM t").fetch_one(&mut connection).await.unwrap().get(0)
}

const SCHEMA: &str = "
    CREATE ROLE writer LOGIN PASSWORD 'pass word/@';
    CREATE TABLE t (id bigint PRIMARY KEY);
    GRANT SELECT, INSERT ON t TO writer;
";

/// A server with a table, and a proxy in front of it.
struct Bench {
    postgres: Postgres,
    proxy: SqlProxy,
    /// How often the hook was called.
    called: Arc<AtomicU64>,
}

impl Bench {
    async fn new() -> Self {
        let postgres = own().await;
        postgres.create_database("app").await.unwrap();
        postgres.run_sql("app", SCHEMA).await.unwrap();
        let proxy = SqlProxy::start(&postgres).await.unwrap();
        Self { postgres, proxy, called: Arc::default() }
    }

    async fn connect(&self) -> PgConnection {
        let url = self.postgres.url_through(self.proxy.port(), "writer", "pass word/@", "app");
        PgConnection::connect(&url).await.unwrap()
    }

    async fn rows(&self) -> i64 {
        count(&self.postgres, "app").await
    }

    fn arm(&self, ordinal: u64, moment: Moment) {
        let called = Arc::clone(&self.called);
        self.proxy.arm(Fault { ordinal, moment }, move || {
            called.fetch_add(1, Ordering::SeqCst);
        });
    }

    /// What was struck; fails unless the hook has been called once since the last time.
    async fn fired(&self) -> String {
        let fired = self.proxy.wait_fired(Duration::from_secs(5)).await;
        assert_eq!(self.called.swap(0, Ordering::SeqCst), 1);
        fired.unwrap().to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_numbered_and_struck() {
    let bench = Bench::new().await;
    simple_and_prepared_statements_are_numbered(&bench).await;
    before(&bench).await;
    after(&bench).await;
    after_commit(&bench).await;
    after_copy(&bench).await;
    after_an_error(&bench).await;
    what_is_filtered_out_has_no_number(&bench).await;
    a_severed_proxy_comes_back(&bench).await;
}

async fn simple_and_prepared_statements_are_numbered(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.proxy.record();
    let mut transaction = connection.begin().await.unwrap();
    for id in 1..=2_i64 {
        let insert = sqlx::query("INSERT INTO t\n  VALUES ($1)").bind(id);
        insert.execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
    let log: Vec<String> = bench.proxy.log().iter().map(ToString::to_string).collect();
    let expected =
        ["#1 BEGIN", "#2 INSERT INTO t VALUES ($1)", "#3 INSERT INTO t VALUES ($1)", "#4 COMMIT", "#5 SELECT 1"];
    assert_eq!(log, expected);
    assert_eq!((bench.proxy.count(), bench.proxy.fired()), (5, None));
}

/// The server never sees the statement.
async fn before(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.arm(2, Moment::Before);
    connection.execute("INSERT INTO t VALUES (3)").await.unwrap();
    connection.execute("INSERT INTO t VALUES (4)").await.unwrap_err();
    assert_eq!(bench.fired().await, "#2 INSERT INTO t VALUES (4)");
    assert_eq!(bench.rows().await, 3);
}

/// It is committed, but the client does not learn it.
async fn after(bench: &Bench) {
    for (ordinal, rows) in [(1, 4), (2, 6)] {
        let mut connection = bench.connect().await;
        bench.arm(ordinal, Moment::After);
        for number in 1..=ordinal {
            let id = i64::try_from(10 * ordinal + number).unwrap();
            let insert = sqlx::query("INSERT INTO t VALUES ($1)").bind(id);
            let outcome = insert.execute(&mut connection).await;
            assert_eq!(outcome.is_ok(), number < ordinal);
        }
        assert_eq!(bench.fired().await, format!("#{ordinal} INSERT INTO t VALUES ($1)"));
        assert_eq!(bench.rows().await, rows);
    }
}

/// The commit of which nobody knows whether it happened.
async fn after_commit(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.arm(3, Moment::After);
    let mut transaction = connection.begin().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (100)").await.unwrap();
    transaction.commit().await.unwrap_err();
    assert_eq!(bench.fired().await, "#3 COMMIT");
    assert_eq!(bench.rows().await, 7);
}

/// The client sends more after the statement, for which the server waits.
async fn after_copy(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.arm(1, Moment::After);
    let mut copy = connection.copy_in_raw("COPY t FROM STDIN").await.unwrap();
    copy.send(&b"200\n201\n"[..]).await.unwrap();
    copy.finish().await.unwrap_err();
    assert_eq!(bench.fired().await, "#1 COPY t FROM STDIN");
    assert_eq!(bench.rows().await, 9);
}

/// An error is an answer too.
async fn after_an_error(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.arm(1, Moment::After);
    connection.execute("INSERT INTO t VALUES (100)").await.unwrap_err();
    assert_eq!(bench.fired().await, "#1 INSERT INTO t VALUES (100)");
    assert_eq!(bench.rows().await, 9);
}

async fn what_is_filtered_out_has_no_number(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.proxy.count_only(|sql| sql.starts_with("INSERT"));
    bench.proxy.record();
    connection.execute("SELECT 1; SELECT 2").await.unwrap();
    connection.execute("INSERT INTO t VALUES (101)").await.unwrap();
    assert_eq!(bench.proxy.count(), 1);
    bench.proxy.disarm();
    connection.execute("INSERT INTO t VALUES (102)").await.unwrap();
    assert_eq!(bench.proxy.count(), 1);
}

async fn a_severed_proxy_comes_back(bench: &Bench) {
    let mut connection = bench.connect().await;
    bench.proxy.sever().await;
    connection.execute("SELECT 1").await.unwrap_err();
    let refused = tokio::net::TcpStream::connect(("127.0.0.1", bench.proxy.port())).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    bench.proxy.restore().await.unwrap();
    bench.connect().await.execute("SELECT 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_back_with_its_data() {
    let postgres = own().await;
    postgres.create_database("app").await.unwrap();
    postgres.run_sql("app", SCHEMA).await.unwrap();
    postgres.run_sql("app", "INSERT INTO t VALUES (1)").await.unwrap();
    let port = postgres.port();

    postgres.stop().await.unwrap();
    postgres.connect("app").await.unwrap_err();
    postgres.stop().await.unwrap_err();
    postgres.start_again().await.unwrap();
    postgres.start_again().await.unwrap_err();

    postgres.kill().await.unwrap();
    postgres.start_again().await.unwrap();
    assert_eq!((postgres.port(), count(&postgres, "app").await), (port, 1));

    postgres.create_database_from("app", "a \"copy\"").await.unwrap();
    assert_eq!(count(&postgres, "a \"copy\"").await, 1);
    postgres.create_database("app").await.unwrap_err();
    postgres.drop_database("a \"copy\"").await.unwrap();
    postgres.drop_database("a \"copy\"").await.unwrap();
}

#[test]
fn a_foreign_server_keeps_the_rest_of_its_url() {
    let postgres = Postgres::of("postgres://root:secret@db.example:6000/postgres?sslmode=require").unwrap();
    assert_eq!((postgres.host(), postgres.port(), postgres.is_own()), ("db.example".to_owned(), 6000, false));
    assert_eq!(postgres.admin_url("app"), "postgres://root:secret@db.example:6000/app?sslmode=require");
    assert_eq!(postgres.url("me", "p@ss", "app"), "postgres://me:p%40ss@db.example:6000/app?sslmode=require");
    assert_eq!(postgres.url_through(7000, "me", "x", "app"), "postgres://me:x@127.0.0.1:7000/app?sslmode=require");
    Postgres::of("mysql://db.example/").unwrap_err();
}
