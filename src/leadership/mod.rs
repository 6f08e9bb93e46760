//! Which replica leads: the one whose name stands in the Lease. It renews the Lease, and acts no longer than its last renewal
//! allows; the others wait for longer than that. This is the algorithm of client-go. The database decides what happens if two
//! replicas act all the same.

mod candidate;
mod election;
mod leader;
mod observed;
mod record;

pub use candidate::win;
pub use election::Election;
pub use leader::{Leader, LeadershipLost};
