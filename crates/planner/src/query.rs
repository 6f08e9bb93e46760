//! A statement that returns one number for each of its subjects.

use crate::statement::{Statement, Writer};

/// A statement that returns one number for each of its subjects, such as the rows of each table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<S> {
    statement: Statement,
    subjects: Vec<S>,
}

/// The database answered with a different number of values than the query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} values were returned for {expected}")]
pub struct Unpaired {
    /// How many there should be.
    pub expected: usize,
    /// How many there are.
    pub found: usize,
}

impl Unpaired {
    /// Checks that there are as many values as there should be.
    ///
    /// # Errors
    /// Fails when there are more or fewer.
    pub fn check(expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self { expected, found }) }
    }
}

impl<S> Query<S> {
    /// Asks for a number of each subject: the expression beside it.
    pub(super) fn new(writer: Writer, numbers: Vec<(S, String)>) -> Self {
        let (subjects, numbers): (Vec<S>, Vec<String>) = numbers.into_iter().unzip();
        let sql = format!("SELECT ARRAY[{}]::bigint[] AS rows", numbers.join(", "));
        Self { statement: writer.finish(sql), subjects }
    }

    /// Returns `None` if there is no subject.
    pub(super) fn if_any(self) -> Option<Self> {
        (!self.subjects.is_empty()).then_some(self)
    }

    /// Returns one row with an array of one number for each subject.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What the numbers are about, in their order.
    #[must_use]
    pub fn subjects(&self) -> &[S] {
        &self.subjects
    }

    /// Each subject with its number.
    ///
    /// # Errors
    /// Fails when there are not as many numbers as subjects.
    pub fn pair(&self, numbers: &[i64]) -> Result<Vec<(&S, i64)>, Unpaired> {
        Unpaired::check(self.subjects.len(), numbers.len())?;
        Ok(self.subjects.iter().zip(numbers.iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_of_numbers_is_an_error() {
        let numbers = vec![("a", "1".to_owned()), ("b", "2".to_owned())];
        let query = Query::new(Writer::default(), numbers);
        assert_eq!(query.statement().sql(), "SELECT ARRAY[1, 2]::bigint[] AS rows");
        assert_eq!(query.pair(&[3, 4]), Ok(vec![(&"a", 3), (&"b", 4)]));
        for numbers in [&[3][..], &[3, 4, 5]] {
            assert_eq!(query.pair(numbers), Err(Unpaired { expected: 2, found: numbers.len() }));
        }
        assert_eq!(Query::<&str>::new(Writer::default(), Vec::new()).if_any(), None);
    }
}
