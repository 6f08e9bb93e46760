//! The real order of deletion: children before parents where a foreign key requires it, else as declared.

/// A constraint on the order: the rows of `first` must be deleted before those of `then`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) first: usize,
    pub(crate) then: usize,
    /// A soft edge only saves the database work, and is ignored where it would close a cycle.
    pub(crate) hard: bool,
    /// The foreign key behind it, by its place in the catalogue.
    pub(crate) key: usize,
}

/// Stable topological order of `count` nodes: of those that may come next, the one declared first.
///
/// # Errors
/// Returns the hard edges of one cycle.
pub(crate) fn order(count: usize, edges: &[Edge]) -> Result<Vec<usize>, Vec<Edge>> {
    let mut done = vec![false; count];
    let mut sorted = Vec::with_capacity(count);
    while sorted.len() < count {
        let waits = |i: usize, soft_too: bool| {
            edges.iter().any(|e| e.then == i && e.first != i && !done[e.first] && (e.hard || soft_too))
        };
        let next = (0..count)
            .find(|&i| !done[i] && !waits(i, true))
            .or_else(|| (0..count).find(|&i| !done[i] && !waits(i, false)));
        match next {
            Some(i) => {
                done[i] = true;
                sorted.push(i);
            }
            None => return Err(cycle(count, edges, &done)),
        }
    }
    Ok(sorted)
}

/// Follows hard edges backwards among the nodes that are left until a node repeats.
fn cycle(count: usize, edges: &[Edge], done: &[bool]) -> Vec<Edge> {
    let Some(mut at) = (0..count).find(|&i| !done[i]) else {
        return Vec::new();
    };
    let mut path: Vec<Edge> = Vec::new();
    loop {
        if let Some(start) = path.iter().position(|e| e.then == at) {
            let mut found = path.split_off(start);
            found.reverse();
            return found;
        }
        let Some(edge) = edges.iter().find(|e| e.hard && e.then == at && e.first != at && !done[e.first]) else {
            return path;
        };
        path.push(edge.clone());
        at = edge.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(first: usize, then: usize) -> Edge {
        Edge { first, then, hard: true, key: 10 * first + then }
    }

    fn soft(first: usize, then: usize) -> Edge {
        Edge { hard: false, ..hard(first, then) }
    }

    #[test]
    fn without_edges_the_declared_order_runs_as_written() {
        assert_eq!(order(3, &[]), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn children_go_first_and_ties_follow_the_declaration() {
        // users, flows, executions, outputs, statuses with ordinary keys; flows refer to users.
        let edges = [hard(1, 0), hard(2, 1), hard(3, 2), hard(4, 2)];
        assert_eq!(order(5, &edges), Ok(vec![3, 4, 2, 1, 0]));
    }

    #[test]
    fn a_soft_edge_gives_way_in_a_cycle() {
        assert_eq!(order(2, &[soft(1, 0)]), Ok(vec![1, 0]));
        assert_eq!(order(2, &[hard(0, 1), soft(1, 0)]), Ok(vec![0, 1]));
    }

    #[test]
    fn a_hard_cycle_is_named() {
        let found = order(3, &[hard(1, 2), hard(2, 1)]).expect_err("a cycle");
        let keys: Vec<usize> = found.iter().map(|e| e.key).collect();
        assert_eq!(keys, [12, 21], "from one to the next");
    }

    #[test]
    fn a_table_that_refers_to_itself_is_no_cycle() {
        assert_eq!(order(1, &[hard(0, 0)]), Ok(vec![0]));
    }
}
