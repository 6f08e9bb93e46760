use crate::tests;

tests![];
