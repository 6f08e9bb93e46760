//! Every row of the error table, made for real: what blocks a deletion, what the operator shows, and that the deletion
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

/// Lists tests that take a server, which may need something: `on![(Via::Default, "postgresql 15"); a, b]`, and what they need
/// beside it: `on![needs Need::PgBaseBackup; (Via::Default, "default"); c]`.
macro_rules! on {
    (needs $($need:expr),+; $($rest:tt)*) => { on!(@ [$($need),+] $($rest)*) };
    (@ $needs:tt $(($via:expr, $where:literal)),*; $($name:path),* $(,)?) => {
        on!(@all $needs [$(($via, $where))*] [$($name)*])
    };
    (@all $needs:tt $servers:tt [$($name:path)*]) => { [$(on!(@one $needs $servers $name)),*].concat() };
    (@one $needs:tt [$(($via:expr, $where:literal))*] $name:path) => {{
        let tests: Vec<$crate::support::Test> = vec![$($crate::support::Test {
            name: concat!(module_path!(), "::", stringify!($name), "::", $where),
            run: |world| Box::pin($name(world, $via)),
            needs: [&$needs[..], $via.needs()].concat(),
        }),*];
        tests
    }};
    ($($rest:tt)*) => { on!(@ [] $($rest)*) };
}
pub(crate) use on;

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    [access::tests(), pooler::tests(), schema::tests(), server::tests(), sessions::tests()].concat()
}
