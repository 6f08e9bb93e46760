//! The steps of a plan, and values that each of them has.

use std::fmt;
use std::ops::{Index, IndexMut};

/// A step of a plan, by its place among [`Plan::steps`](crate::plan::Plan::steps).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(usize);

impl StepId {
    /// The step at this place, counted from 0.
    #[must_use]
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, counted from 0.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One value for each step of a plan.
#[derive(Clone, Debug)]
pub(super) struct PerStep<T>(Vec<T>);

impl<T> PerStep<T> {
    /// The values in the order of the steps.
    pub(super) fn new(values: Vec<T>) -> Self {
        Self(values)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = StepId> {
        (0..self.0.len()).map(StepId)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StepId, &T)> {
        self.ids().zip(&self.0)
    }

    pub(super) fn values(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Another value for each step.
    pub(super) fn map<U>(&self, mut value: impl FnMut(StepId, &T) -> U) -> PerStep<U> {
        PerStep(self.iter().map(|(id, old)| value(id, old)).collect())
    }
}

impl<T> Index<StepId> for PerStep<T> {
    type Output = T;

    fn index(&self, step: StepId) -> &T {
        &self.0[step.0]
    }
}

impl<T> IndexMut<StepId> for PerStep<T> {
    fn index_mut(&mut self, step: StepId) -> &mut T {
        &mut self.0[step.0]
    }
}
