//! PostgreSQL and the proxy in front of it. One server serves most of these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};
use testbed::proxy::{Fault, Moment, SqlProxy};
use testbed::{Postgres, PostgresOptions};

async fn own() -> Postgres {
    let options = PostgresOptions {
        own: true,
        ..PostgresOptions::default()
    };
    Postgres::start(options).await.unwrap()
}

async fn count(postgres: &Postgres, database: &str) -> i64 {
    let mut connection = postgres.connect(database).await.unwrap();
    sqlx::query("SELECT count(*) FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0)
}

async fn through(proxy: &SqlProxy, postgres: &Postgres) -> PgConnection {
    let url = postgres.url_through(proxy.port(), "writer", "pass word/@", "app");
    PgConnection::connect(&url).await.unwrap()
}

const SCHEMA: &str = "
    CREATE ROLE writer LOGIN PASSWORD 'pass word/@';
    CREATE TABLE t (id bigint PRIMARY KEY);
    GRANT SELECT, INSERT ON t TO writer;
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_numbered_and_struck_before_or_after() {
    let postgres = own().await;
    postgres.create_database("app").await.unwrap();
    postgres.run_sql("app", SCHEMA).await.unwrap();
    let proxy = SqlProxy::start(&postgres).await.unwrap();

    // Numbers: a transaction with one prepared statement twice, and a simple query.
    let mut connection = through(&proxy, &postgres).await;
    proxy.record();
    let mut transaction = connection.begin().await.unwrap();
    for id in 1..=2_i64 {
        sqlx::query("INSERT INTO t\n  VALUES ($1)")
            .bind(id)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
    let log: Vec<String> = proxy.log().iter().map(ToString::to_string).collect();
    let expected = [
        "#1 BEGIN",
        "#2 INSERT INTO t VALUES ($1)",
        "#3 INSERT INTO t VALUES ($1)",
        "#4 COMMIT",
        "#5 SELECT 1",
    ];
    assert_eq!(log, expected);
    assert_eq!((proxy.count(), proxy.fired()), (5, None));

    // Before: the server has not seen the statement when the hook runs, nor afterwards.
    let called = Arc::new(AtomicU64::new(0));
    let hook = {
        let called = Arc::clone(&called);
        move || {
            called.fetch_add(1, Ordering::SeqCst);
        }
    };
    proxy.arm(
        Fault {
            ordinal: 2,
            moment: Moment::Before,
        },
        hook.clone(),
    );
    connection
        .execute("INSERT INTO t VALUES (3)")
        .await
        .unwrap();
    connection
        .execute("INSERT INTO t VALUES (4)")
        .await
        .unwrap_err();
    assert_eq!(
        proxy
            .wait_fired(Duration::from_secs(5))
            .await
            .unwrap()
            .to_string(),
        "#2 INSERT INTO t VALUES (4)"
    );
    assert_eq!(
        (called.load(Ordering::SeqCst), count(&postgres, "app").await),
        (1, 3)
    );

    // After, simple and prepared: it is committed, but the client does not learn it.
    for (ordinal, rows) in [(1, 4), (2, 6)] {
        let mut connection = through(&proxy, &postgres).await;
        proxy.arm(
            Fault {
                ordinal,
                moment: Moment::After,
            },
            hook.clone(),
        );
        let mut outcomes = Vec::new();
        for id in 0..ordinal {
            let id = i64::try_from(id + 10 * ordinal).unwrap();
            outcomes.push(
                sqlx::query("INSERT INTO t VALUES ($1)")
                    .bind(id)
                    .execute(&mut connection)
                    .await
                    .is_ok(),
            );
        }
        assert_eq!(outcomes.pop(), Some(false));
        assert!(outcomes.into_iter().all(|succeeded| succeeded));
        assert_eq!(proxy.fired().unwrap().ordinal, ordinal);
        assert_eq!(count(&postgres, "app").await, rows);
    }

    // After COMMIT: the commit whose answer is lost.
    let mut connection = through(&proxy, &postgres).await;
    proxy.arm(
        Fault {
            ordinal: 3,
            moment: Moment::After,
        },
        hook.clone(),
    );
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO t VALUES (100)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap_err();
    assert_eq!(proxy.fired().unwrap().what, "COMMIT");
    assert_eq!(count(&postgres, "app").await, 7);

    // A statement that fails is answered too.
    let mut connection = through(&proxy, &postgres).await;
    proxy.arm(
        Fault {
            ordinal: 1,
            moment: Moment::After,
        },
        hook,
    );
    connection
        .execute("INSERT INTO t VALUES (100)")
        .await
        .unwrap_err();
    assert!(proxy.fired().is_some());
    assert_eq!(called.load(Ordering::SeqCst), 5);

    // What is filtered out passes without a number.
    let mut connection = through(&proxy, &postgres).await;
    proxy.count_only(|sql| sql.starts_with("INSERT"));
    proxy.record();
    connection.execute("SELECT 1; SELECT 2").await.unwrap();
    connection
        .execute("INSERT INTO t VALUES (101)")
        .await
        .unwrap();
    assert_eq!(proxy.count(), 1);
    proxy.disarm();
    connection
        .execute("INSERT INTO t VALUES (102)")
        .await
        .unwrap();
    assert_eq!(proxy.count(), 1);

    // A severed proxy ends connections and refuses new ones.
    proxy.sever().await;
    connection.execute("SELECT 1").await.unwrap_err();
    let refused = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.restore().await.unwrap();
    through(&proxy, &postgres)
        .await
        .execute("SELECT 1")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_back_with_its_data() {
    let postgres = own().await;
    let begin = Instant::now();
    postgres.create_database("app").await.unwrap();
    println!("create_database: {:?}", begin.elapsed());
    postgres.run_sql("app", SCHEMA).await.unwrap();
    postgres
        .run_sql("app", "INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let port = postgres.port();

    postgres.stop().await.unwrap();
    postgres.connect("app").await.unwrap_err();
    postgres.stop().await.unwrap_err();
    postgres.start_again().await.unwrap();
    postgres.start_again().await.unwrap_err();

    postgres.kill().await.unwrap();
    postgres.start_again().await.unwrap();
    assert_eq!((postgres.port(), count(&postgres, "app").await), (port, 1));

    postgres
        .create_database_from("app", "a \"copy\"")
        .await
        .unwrap();
    assert_eq!(count(&postgres, "a \"copy\"").await, 1);
    postgres.create_database("app").await.unwrap_err();
    postgres.drop_database("a \"copy\"").await.unwrap();
    postgres.drop_database("a \"copy\"").await.unwrap();
}

#[test]
fn a_foreign_server_keeps_the_rest_of_its_url() {
    let postgres =
        Postgres::of("postgres://root:secret@db.example:6000/postgres?sslmode=require").unwrap();
    assert_eq!(
        (postgres.host(), postgres.port(), postgres.is_own()),
        ("db.example".to_owned(), 6000, false)
    );
    assert_eq!(
        postgres.admin_url("app"),
        "postgres://root:secret@db.example:6000/app?sslmode=require"
    );
    assert_eq!(
        postgres.url("me", "p@ss", "app"),
        "postgres://me:p%40ss@db.example:6000/app?sslmode=require"
    );
    assert_eq!(
        postgres.url_through(7000, "me", "x", "app"),
        "postgres://me:x@127.0.0.1:7000/app?sslmode=require"
    );
    Postgres::of("mysql://db.example/").unwrap_err();
}
