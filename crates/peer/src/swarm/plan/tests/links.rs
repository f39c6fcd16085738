//! Links of a limited rate, shared as TCP shares them: by max-min fairness among the flows that cross them.

use std::collections::BTreeMap;

/// A node's number.
pub(super) type Node = usize;

/// Gives each flow, from one node to another, its bytes a second, where each node may send and receive as much as
/// `bytes_per_sec`: the tightest link is shared out first, evenly, and so on with what is left.
pub(super) fn rates<F: Copy + Ord>(
    flows: &[(F, Node, Node)],
    nodes: usize,
    bytes_per_sec: f64,
) -> BTreeMap<F, f64> {
    let mut left = vec![bytes_per_sec; nodes * 2];
    let links = |(_, from, to): &(F, Node, Node)| [from * 2, to * 2 + 1];
    let mut open: Vec<(F, Node, Node)> = flows.to_vec();
    let mut rates = BTreeMap::new();
    while !open.is_empty() {
        let mut crossing = vec![0_u32; nodes * 2];
        open.iter().flat_map(links).for_each(|link| crossing[link] += 1);
        let share = |link: &usize| left[*link] / f64::from(crossing[*link]);
        let used = (0..nodes * 2).filter(|link| crossing[*link] > 0);
        let tightest = used.min_by(|one, two| share(one).total_cmp(&share(two))).unwrap();
        let rate = share(&tightest).max(0.0);
        let (done, rest): (Vec<_>, Vec<_>) = open.iter().partition(|flow| links(flow).contains(&tightest));
        for flow in &done {
            links(flow).into_iter().for_each(|link| left[link] -= rate);
            rates.insert(flow.0, rate);
        }
        open = rest;
    }
    rates
}

#[test]
fn the_tightest_link_is_shared_first_and_nothing_is_left_unused() {
    // Two flows leave node 0, and one of them shares the way into node 2 with two others.
    let rates = rates(&[('a', 0, 1), ('b', 0, 2), ('c', 3, 2), ('d', 4, 2)], 5, 12.0);
    assert_eq!(rates, BTreeMap::from([('a', 8.0), ('b', 4.0), ('c', 4.0), ('d', 4.0)]));
}
