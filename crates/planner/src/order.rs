//! The real order of deletion: children before parents where a foreign key requires it, else as declared. What refers to
//! each other in a cycle goes at once.

/// A constraint on the order: the rows of `first` must be deleted before those of `then`, or in the same statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) first: usize,
    pub(crate) then: usize,
    /// A soft edge only saves the database work, and is ignored where it would close a cycle.
    pub(crate) hard: bool,
    /// The foreign key behind it, by its place in the catalogue. `None` if there is none.
    pub(crate) key: Option<usize>,
}

/// Stable topological order of `count` nodes: of those that may come next, the one declared first. Nodes that hard edges
/// join in a cycle are one element of the order, in which they stand as declared; its place among others is that of the
/// last of them. The last node comes last unless a hard edge forbids it.
pub(crate) fn order(count: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let mut waiting = sets(count, edges);
    let mut done = vec![false; count];
    let mut sorted = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let waits = |set: &[usize], soft_too: bool| {
            let outside = |e: &&Edge| set.contains(&e.then) && !set.contains(&e.first) && !done[e.first];
            edges.iter().filter(outside).any(|e| e.hard || soft_too)
        };
        let is_last = |set: &[usize]| set.last().is_some_and(|last| last + 1 == count);
        let next = (waiting.iter().position(|set| !is_last(set) && !waits(set, true)))
            .or_else(|| waiting.iter().position(|set| !waits(set, false)));
        // The sets form no cycle, so one of them always waits for none.
        let set = waiting.remove(next.unwrap_or_default());
        for &node in &set {
            done[node] = true;
        }
        sorted.push(set);
    }
    sorted
}

/// The nodes that hard edges join in a cycle, each as declared; every other node alone. In the order of their last node.
pub(crate) fn sets(count: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let reached: Vec<Vec<bool>> = (0..count).map(|node| reached_from(node, count, edges)).collect();
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for (node, reaches) in reached.iter().enumerate() {
        match sets.iter_mut().find(|set| reached[set[0]][node] && reaches[set[0]]) {
            Some(set) => set.push(node),
            None => sets.push(vec![node]),
        }
    }
    sets.sort_unstable_by_key(|set| set.last().copied());
    sets
}

/// Which nodes hard edges lead to from this one.
fn reached_from(start: usize, count: usize, edges: &[Edge]) -> Vec<bool> {
    let mut reached = vec![false; count];
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for edge in edges.iter().filter(|e| e.hard && e.first == node) {
            if !std::mem::replace(&mut reached[edge.then], true) {
                open.push(edge.then);
            }
        }
    }
    reached
}

/// The hard edges of one cycle, from one to the next. Returns `None` if there is no cycle.
pub(crate) fn cycle(count: usize, edges: &[Edge]) -> Option<Vec<&Edge>> {
    let set = sets(count, edges).into_iter().find(|set| set.len() > 1)?;
    let inside = |e: &&Edge| e.hard && e.first != e.then && set.contains(&e.first) && set.contains(&e.then);
    let mut at = *set.first()?;
    let mut path: Vec<&Edge> = Vec::new();
    // Walk backwards until a node repeats.
    loop {
        if let Some(start) = path.iter().position(|e| e.then == at) {
            let mut found = path.split_off(start);
            found.reverse();
            return Some(found);
        }
        let edge = edges.iter().filter(inside).find(|e| e.then == at)?;
        path.push(edge);
        at = edge.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(first: usize, then: usize) -> Edge {
        Edge { first, then, hard: true, key: Some(10 * first + then) }
    }

    fn soft(first: usize, then: usize) -> Edge {
        Edge { hard: false, ..hard(first, then) }
    }

    /// The order of nodes that are in no cycle.
    fn single(count: usize, edges: &[Edge]) -> Vec<usize> {
        let sets = order(count, edges);
        assert!(sets.iter().all(|set| set.len() == 1), "{sets:?}");
        sets.concat()
    }

    #[test]
    fn without_edges_the_declared_order_runs_as_written() {
        assert_eq!(single(3, &[]), [0, 1, 2]);
    }

    #[test]
    fn children_go_first_and_ties_follow_the_declaration() {
        // users, flows, executions, outputs, statuses with ordinary keys; flows refer to users.
        let edges = [hard(1, 0), hard(2, 1), hard(3, 2), hard(4, 2)];
        assert_eq!(single(6, &edges), [3, 4, 2, 1, 0, 5]);
    }

    #[test]
    fn a_soft_edge_gives_way_in_a_cycle() {
        assert_eq!(single(3, &[soft(1, 0)]), [1, 0, 2]);
        assert_eq!(single(3, &[hard(0, 1), soft(1, 0)]), [0, 1, 2]);
    }

    #[test]
    fn a_cycle_is_one_element() {
        assert_eq!(order(4, &[hard(1, 2), hard(2, 1)]), [vec![0], vec![1, 2], vec![3]]);
        // Two cycles that share a node are one.
        let both = [hard(0, 1), hard(1, 0), hard(1, 2), hard(2, 1)];
        assert_eq!(order(4, &both), [vec![0, 1, 2], vec![3]]);
        // A soft edge joins nothing.
        assert_eq!(single(3, &[soft(0, 1), soft(1, 0)]), [0, 1, 2]);
        // What hangs on it goes before it, what it refers to after it.
        let chain = [hard(1, 2), hard(2, 1), hard(3, 1), hard(2, 0)];
        assert_eq!(order(5, &chain), [vec![3], vec![1, 2], vec![0], vec![4]]);
    }

    #[test]
    fn the_last_node_comes_last_unless_a_hard_edge_asks_for_more() {
        assert_eq!(single(3, &[soft(0, 1), soft(1, 0)]), [0, 1, 2]);
        assert_eq!(single(3, &[soft(2, 1)]), [0, 1, 2]);
        assert_eq!(single(3, &[hard(2, 0)]), [1, 2, 0]);
        assert_eq!(order(4, &[hard(0, 3), hard(3, 0)]), [vec![1], vec![2], vec![0, 3]]);
    }

    #[test]
    fn a_cycle_is_named_from_one_to_the_next() {
        let keys = |edges: &[Edge]| cycle(4, edges).map(|c| c.iter().filter_map(|e| e.key).collect::<Vec<_>>());
        assert_eq!(keys(&[hard(0, 1), hard(1, 2), hard(2, 1)]), Some(vec![12, 21]));
        assert_eq!(keys(&[hard(0, 1), hard(1, 2), soft(2, 1)]), None);
        assert_eq!(keys(&[hard(0, 0)]), None);
    }

    #[test]
    fn a_table_that_refers_to_itself_is_no_cycle() {
        assert_eq!(single(1, &[hard(0, 0)]), [0]);
    }
}
