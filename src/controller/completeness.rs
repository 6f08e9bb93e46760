//! Up to when the cache of the watch is complete, by this process's own clock.
//!
//! A watch sends all changes of one resource in the order in which they were committed: a client may go on from the last
//! version that it was sent, and has missed nothing before it (API concepts, "Efficient detection of changes"). So once
//! the watch has sent a version, the cache has every object that was created before that version was committed. What is
//! needed is a version that was surely committed after a known moment:
//!
//! - An object was read from the API server, not from a cache, and the read began at that moment. Later the same object
//!   has another version. That version is newer than the one that was read, so it was committed after that moment. When
//!   the watch sends it, the cache is complete up to that moment.
//! - A list of all objects, with which each watch begins, began at that moment.
//!
//! Versions are only compared for equality, which every supported API server permits. A version is not trusted because it
//! answers a write: a write that changes nothing is answered with an old version.

use std::collections::VecDeque;
use std::time::Instant;

/// How many reads and versions are remembered: more than reconciliations run at the same time, usually. One that is
/// forgotten proves nothing, and the API server is asked.
const REMEMBERED: usize = 64;

/// Up to when the cache is complete.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    as_of: Option<Instant>,
    /// When the list began that is being read.
    listing: Option<Instant>,
    reads: VecDeque<Read>,
    /// Versions that were committed after a moment, and that the watch has not sent yet.
    expected: VecDeque<(String, Instant)>,
}

#[derive(Debug)]
struct Read {
    uid: String,
    version: String,
    began: Instant,
}

impl Completeness {
    /// Every object that was created before this moment is in the cache, unless it is gone.
    pub(super) const fn as_of(&self) -> Option<Instant> {
        self.as_of
    }

    /// The watch begins anew, with a list of all objects. What it would have sent is not expected any more.
    pub(super) fn listing(&mut self, now: Instant) {
        self.listing = Some(now);
        self.expected.clear();
    }

    /// The list has replaced the cache.
    pub(super) fn listed(&mut self) {
        let began = self.listing.take();
        self.complete(began);
    }

    /// An object was read from the API server. The read began at `began`.
    pub(super) fn read(&mut self, uid: &str, version: &str, began: Instant) {
        self.reads.retain(|read| read.uid != uid);
        push(&mut self.reads, Read { uid: uid.to_owned(), version: version.to_owned(), began });
    }

    /// The API server answered a write to an object with this version. `sent`: the watch has sent it already.
    pub(super) fn written(&mut self, uid: &str, version: &str, sent: bool) {
        let Some(read) = self.reads.iter().find(|read| read.uid == uid && read.version != version) else { return };
        let began = read.began;
        if sent {
            self.complete(Some(began));
        } else if self.listing.is_none() {
            push(&mut self.expected, (version.to_owned(), began));
        }
    }

    /// The watch has sent this version, and the cache has it.
    pub(super) fn sent(&mut self, version: &str) {
        if let Some(at) = self.expected.iter().position(|(expected, _)| expected == version) {
            let found = self.expected.remove(at);
            self.complete(found.map(|(_, began)| began));
        }
    }

    fn complete(&mut self, as_of: Option<Instant>) {
        self.as_of = self.as_of.max(as_of);
    }
}

fn push<T>(queue: &mut VecDeque<T>, last: T) {
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(last);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(base: Instant, seconds: u64) -> Instant {
        base + Duration::from_secs(seconds)
    }

    #[test]
    fn a_version_that_follows_a_read_completes_the_cache_up_to_the_read() {
        let base = Instant::now();
        let mut cache = Completeness::default();
        cache.read("a", "7", at(base, 1));
        cache.written("a", "9", false);
        assert_eq!(cache.as_of(), None, "the watch has not sent it yet");
        cache.sent("8");
        assert_eq!(cache.as_of(), None, "another version proves nothing");
        cache.sent("9");
        assert_eq!(cache.as_of(), Some(at(base, 1)));
    }

    #[test]
    fn the_watch_may_be_faster_than_the_answer() {
        let base = Instant::now();
        let mut cache = Completeness::default();
        cache.read("a", "7", at(base, 1));
        cache.sent("9");
        cache.written("a", "9", true);
        assert_eq!(cache.as_of(), Some(at(base, 1)));
    }

    #[test]
    fn a_write_that_changed_nothing_or_follows_no_read_proves_nothing() {
        let base = Instant::now();
        let mut cache = Completeness::default();
        cache.written("a", "7", true);
        cache.read("a", "7", at(base, 1));
        for sent in [true, false] {
            cache.written("a", "7", sent);
            cache.written("b", "8", sent);
        }
        cache.sent("7");
        cache.sent("8");
        assert_eq!(cache.as_of(), None);
    }

    #[test]
    fn an_older_proof_never_shortens_what_is_known() {
        let base = Instant::now();
        let mut cache = Completeness::default();
        for (uid, read) in [("new", 5), ("old", 1)] {
            cache.read(uid, "1", at(base, read));
            cache.written(uid, uid, true);
        }
        assert_eq!(cache.as_of(), Some(at(base, 5)));
    }

    #[test]
    fn a_list_is_complete_up_to_its_begin_and_ends_what_was_expected_of_the_watch_before() {
        let base = Instant::now();
        let mut cache = Completeness::default();
        cache.listing(at(base, 1));
        assert_eq!(cache.as_of(), None, "the cache has the old objects until the list is complete");
        cache.listed();
        assert_eq!(cache.as_of(), Some(at(base, 1)));
        cache.read("a", "7", at(base, 2));
        cache.written("a", "9", false);
        cache.listing(at(base, 3));
        // The cache does not have what the list has sent so far.
        cache.written("a", "9", false);
        cache.sent("9");
        assert_eq!(cache.as_of(), Some(at(base, 1)));
        cache.listed();
        assert_eq!(cache.as_of(), Some(at(base, 3)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let base = Instant::now();
        let mut cache = Completeness::default();
        for number in 0..1000 {
            let uid = number.to_string();
            cache.read(&uid, "1", at(base, number));
            cache.written(&uid, &uid, false);
        }
        assert_eq!((cache.reads.len(), cache.expected.len()), (REMEMBERED, REMEMBERED));
        cache.sent("1");
        assert_eq!(cache.as_of(), None, "forgotten");
        cache.sent("999");
        assert_eq!(cache.as_of(), Some(at(base, 999)));
    }
}
