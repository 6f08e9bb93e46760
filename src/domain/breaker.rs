//! The breaker: when more deletions begin at once than anybody means, as when a repository is emptied, no further one erases
//! until a person confirms it.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::commands::confirm_or_keep;
use super::failure::Failure;
use super::subject::Subject;
use super::words::quantity;
use crate::api::Reason;

/// Fewer deletions than one of so many objects are never too many.
const SHARE: u64 = 5;

/// How many deletions may begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many deletions may begin within the time below.
    pub deletions: u32,
    /// The time, in minutes.
    pub minutes: u32,
}

/// Deletions that began at once, and among how many objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Deletions.
    pub deletions: u64,
    /// All objects: live ones, terminating ones, and those that were erased at the same time.
    pub objects: u64,
}

/// The other deletions of the cluster. A deletion is in one of the two lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// When the deletions were requested that would erase and have not ended.
    pub terminating: Vec<Timestamp>,
    /// When the deletions were requested that have erased.
    pub erased: Vec<Timestamp>,
    /// How many objects there are, the one in question included.
    pub objects: u64,
}

impl Limit {
    /// How long the time is.
    #[must_use]
    pub fn time(self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.minutes))
    }

    /// Whether so many deletions are too many.
    #[must_use]
    pub fn exceeded_by(self, counted: Counted) -> bool {
        counted.deletions > u64::from(self.deletions) && counted.deletions.saturating_mul(SHARE) >= counted.objects
    }

    /// With fewer other deletions than this, however close together, there are not too many among so many objects.
    #[must_use]
    pub fn fewest_others(self, objects: u64) -> u64 {
        u64::from(self.deletions).max(objects.saturating_sub(1) / SHARE)
    }

    /// The deletions that began at once with one that was requested at `own`, if they are too many. All stretches of time count
    /// that contain `own`, so waiting does not make them fewer.
    #[must_use]
    pub fn tripped(self, own: Timestamp, others: &Others) -> Option<Counted> {
        let near = |time: &Timestamp| time.duration_since(own).abs() <= self.time();
        let terminating = others.terminating.iter().filter(|t| near(t)).map(|t| (*t, 0));
        let erased = others.erased.iter().filter(|t| near(t)).map(|t| (*t, 1));
        let mut begun: Vec<(Timestamp, u64)> = terminating.chain(erased).chain([(own, 0)]).collect();
        begun.sort_unstable();
        let mut worst: Option<Counted> = None;
        let (mut end, mut erased) = (0, 0);
        for (start, (first, gone)) in begun.iter().enumerate().take_while(|(_, (first, _))| *first <= own) {
            while let Some((_, gone)) = begun.get(end).filter(|(next, _)| next.duration_since(*first) <= self.time()) {
                (end, erased) = (end + 1, erased + gone);
            }
            let counted = Counted { deletions: number(end - start), objects: others.objects + erased };
            if self.exceeded_by(counted) && worst.is_none_or(|worst| counted.deletions > worst.deletions) {
                worst = Some(counted);
            }
            erased -= gone;
        }
        worst
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The breaker holds this deletion.
#[must_use]
pub fn breaker_tripped(subject: &Subject, limit: Limit, counted: Counted) -> Failure {
    let Counted { deletions, objects } = counted;
    let (within, most) = (quantity(limit.minutes, "minute"), quantity(limit.deletions, "deletion"));
    Failure::new(
        Reason::BreakerTripped,
        format!(
            "{deletions} deletions of {objects} objects began within {within}, this one among them, so the operator erases \
             none of them that is not confirmed (breaker: more than {most} within {within}, and at least a fifth of all \
             objects)"
        ),
    )
    .remedy(format!("{}; to confirm many at once: kubectl organization confirm NAME...", confirm_or_keep(&subject.name, &subject.uid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::subject::example;

    const LIMIT: Limit = Limit { deletions: 10, minutes: 10 };

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + second)
    }

    /// So many deletions, one every `step` seconds from `start`.
    fn every(step: i64, start: i64, count: usize) -> Vec<Timestamp> {
        (0..).map(|n| at(start + n * step)).take(count).collect()
    }

    #[test]
    fn too_many_at_once_and_a_fifth_of_all_objects() {
        let none = Vec::new;
        // Its own deletion is at 0 and counts.
        for (name, terminating, erased, objects, expected) in [
            ("alone", none(), none(), 1, None),
            ("as many as are allowed", every(0, 0, 9), none(), 10, None),
            ("one more", every(0, 0, 10), none(), 11, Some((11, 11))),
            ("an emptied repository", every(0, 0, 29), none(), 30, Some((30, 30))),
            ("exactly a fifth", every(0, 0, 10), none(), 55, Some((11, 55))),
            ("less than a fifth", every(0, 0, 10), none(), 56, None),
            ("one by one, all but this one erased", none(), every(-20, -20, 10), 30, Some((11, 40))),
            ("half of them erased", every(0, 0, 5), every(0, 0, 5), 20, Some((11, 25))),
            ("what was erased counts among all objects", none(), every(0, 0, 10), 45, Some((11, 55))),
            ("and so makes a smaller share", none(), every(0, 0, 10), 46, None),
            ("ten minutes before", every(0, -600, 10), none(), 11, Some((11, 11))),
            ("longer before", every(0, -601, 10), none(), 11, None),
            ("ten minutes after", every(0, 600, 10), none(), 11, Some((11, 11))),
            ("longer after", every(0, 601, 10), none(), 11, None),
            (
                "half before, half after, not within ten minutes",
                [every(0, -400, 5), every(0, 400, 5)].concat(),
                none(),
                11,
                None,
            ),
            (
                "half before, half after, within ten minutes",
                [every(0, -300, 5), every(0, 300, 5)].concat(),
                none(),
                11,
                Some((11, 11)),
            ),
            ("the worst of several", [every(0, -590, 12), every(0, 10, 14)].concat(), none(), 27, Some((27, 27))),
            ("a trickle that is slow enough", none(), every(-61, -61, 100), 5, None),
            ("a trickle that is not", none(), every(-59, -59, 100), 5, Some((11, 15))),
            ("before its own time, too many; with it, not", every(0, -700, 30), none(), 31, None),
        ] {
            let others = Others { terminating, erased, objects };
            let tripped = LIMIT.tripped(at(0), &others).map(|c| (c.deletions, c.objects));
            assert_eq!(tripped, expected, "{name}");
        }
    }

    /// The sliding count against the definition, on random deletions.
    #[test]
    fn the_count_is_that_of_the_worst_stretch_of_time() {
        let mut random = fastrand::Rng::with_seed(7);
        for case in 0..2000 {
            let limit = Limit { deletions: random.u32(1..6), minutes: random.u32(1..4) };
            let mut times = |most| {
                let count = random.usize(0..most);
                (0..count).map(|_| at(random.i64(-400..400))).collect::<Vec<_>>()
            };
            let others = Others { terminating: times(12), erased: times(12), objects: 0 };
            let objects = 1 + number(others.terminating.len()) + random.u64(0..60);
            let others = Others { objects, ..others };
            // Whole seconds: every stretch that contains 0 begins at one of these.
            let length = i64::from(limit.minutes) * 60;
            let expected = (-length..=0)
                .map(|start| {
                    let inside = |t: &&Timestamp| (at(start)..=at(start + length)).contains(t);
                    let erased = number(others.erased.iter().filter(inside).count());
                    let deletions = 1 + erased + number(others.terminating.iter().filter(inside).count());
                    Counted { deletions, objects: objects + erased }
                })
                .filter(|counted| limit.exceeded_by(*counted))
                .map(|counted| counted.deletions)
                .max();
            let found = limit.tripped(at(0), &others).map(|counted| counted.deletions);
            assert_eq!(found, expected, "case {case}: {limit:?} {others:?}");
            let count = number(others.terminating.len() + others.erased.len());
            assert!(found.is_none() || count >= limit.fewest_others(objects), "case {case}: {limit:?} {others:?}");
        }
    }

    #[test]
    fn it_says_how_many_and_how_to_go_on() {
        let failure = breaker_tripped(&example(), LIMIT, Counted { deletions: 30, objects: 40 });
        assert!(failure.what().starts_with("30 deletions of 40 objects began within 10 minutes"), "{}", failure.what());
        let remedy = failure.remedy.expect("a remedy");
        for part in
            ["acme --overwrite organization-operator.io/confirm-deletion=u;", "\"Retain\"", "organization confirm"]
        {
            assert!(remedy.contains(part), "{part} is missing: {remedy}");
        }
        let one = Limit { deletions: 1, minutes: 1 };
        let failure = breaker_tripped(&example(), one, Counted { deletions: 2, objects: 2 });
        assert!(failure.what().contains("more than 1 deletion within 1 minute,"), "{}", failure.what());
    }
}
