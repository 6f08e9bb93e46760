//! How fast rows may go in pages, and when: pure, without a clock, a connection or a configuration file.
//!
//! Pages of a large tenant compete with everybody else who uses the database. After each page the [`Pacer`] says whether the
//! next one may begin, after which pause, or what it waits for.

pub mod hours;
pub mod load;
mod pacer;
mod page;
mod waiting;

pub use hours::{Hours, HoursError};
pub use load::{Load, Standby};
pub use pacer::{Pace, Pacer, Slice};
pub use page::{Moment, Next, PageDone, PageSize};
pub use waiting::{Wait, WaitingFor};
