use std::time::Instant;
use testbed::*;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure() {
    let pg = Postgres::start(PostgresOptions { own: true, ..Default::default() }).await.unwrap();
    for i in 0..6 { let b = Instant::now(); pg.connect("postgres").await.unwrap(); let c=b.elapsed(); 
      let b = Instant::now(); pg.create_database(&format!("d{i}")).await.unwrap(); println!("connect {c:?} create_database {:?}", b.elapsed()); }
}
