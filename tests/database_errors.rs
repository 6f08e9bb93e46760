//! Every row of the error table, made for real: what stands in the way of a deletion, how it is told, and that the deletion
//! goes on by itself when it is gone. The same cases run on the server of the whole run (PostgreSQL 15 on Debian) and on
//! PostgreSQL 18; some of them through `PgBouncer` in transaction mode.

mod access;
mod case;
mod pooler;
mod schema;
mod server;
mod sessions;
mod stage;

use crate::support::Test;

/// Lists tests that take a server: `on![Via::Default, "postgresql 15"; a, b]`.
macro_rules! on {
    ($(($via:expr, $where:literal)),* ; $($name:path),* $(,)?) => { on!(@ [$(($via, $where))*] [$($name)*]) };
    (@ $servers:tt [$($name:path)*]) => { [$(on!(@one $servers $name)),*].concat() };
    (@one [$(($via:expr, $where:literal))*] $name:path) => {{
        let tests: Vec<$crate::support::Test> = vec![$((
            concat!(module_path!(), "::", stringify!($name), "::", $where),
            |world| Box::pin($name(world, $via)),
        )),*];
        tests
    }};
}
pub(crate) use on;

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    [access::tests(), pooler::tests(), schema::tests(), server::tests(), sessions::tests()].concat()
}
