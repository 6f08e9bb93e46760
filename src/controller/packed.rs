//! Text of objects in the cache, compressed. The objects of a cluster say much the same in other words: ids, numbers and times
//! differ, field names and sentences do not. So the first text of a usual length is the dictionary of all that follow.

use std::sync::OnceLock;

/// What a shorter text has in common with others is not much: a new object without a status, for example.
const DICTIONARY_FROM: usize = 1024;

/// The dictionary of this process.
static DICTIONARY: OnceLock<Box<[u8]>> = OnceLock::new();

/// A compressed text.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    bytes: Box<[u8]>,
    /// Of a text that came before the dictionary, or became it.
    alone: bool,
}

impl Packed {
    /// Compresses a text.
    pub(super) fn new(text: &[u8]) -> Self {
        let dictionary = DICTIONARY.get();
        let alone = dictionary.is_none();
        let bytes = lz4_flex::block::compress_prepend_size_with_dict(text, dictionary.map_or(&[], |d| d));
        if alone && text.len() >= DICTIONARY_FROM {
            // Another thread may have been faster; then its text it is.
            let _ = DICTIONARY.set(text.into());
        }
        Self { bytes: bytes.into_boxed_slice(), alone }
    }

    /// The text.
    ///
    /// # Errors
    /// Never for what [`Packed::new`] made.
    pub(super) fn text(&self) -> Result<Vec<u8>, String> {
        let dictionary = DICTIONARY.get().filter(|_| !self.alone).map_or(&[][..], |d| d);
        lz4_flex::block::decompress_size_prepended_with_dict(&self.bytes, dictionary).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_and_similar_ones_need_a_fraction() {
        let text = |number: usize| {
            (0..40).fold(String::new(), |text, line| format!("{text}condition {line} of object {}; ", number * 7919))
        };
        let all: Vec<(String, Packed)> = [String::new(), "short".to_owned()]
            .into_iter()
            .chain((0..50).map(text))
            .map(|t| (t.clone(), Packed::new(t.as_bytes())))
            .collect();
        for (text, packed) in &all {
            assert_eq!(packed.text().as_deref(), Ok(text.as_bytes()));
        }
        let (text, packed) = all.last().expect("one");
        assert!(packed.bytes.len() * 3 < text.len(), "{} of {}", packed.bytes.len(), text.len());
    }
}
