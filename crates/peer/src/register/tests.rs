//! What a registrar is made of, and a peer that registers with a real index's answers.

use super::*;
use peerage_wire::SharePath;

#[test]
fn batches_are_cut_before_the_limit() {
    let long = vec!["x".repeat(250); 16].join("/");
    let changes: Vec<Change> = (0..5_000)
        .map(|n| Change::Remove { path: SharePath::parse(&format!("{n}/{long}")).unwrap() })
        .collect();
    let batches = lines_of(&changes);
    assert!(batches.len() > 1);
    assert!(batches.iter().all(|lines| lines.len() < limits::BATCH_BYTES_MAX));
    let lines = Vec::from(batches).concat();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), changes.len());
    assert!(lines_of(&[]).is_empty());
}

#[test]
fn jitter_only_shortens() {
    for _ in 0..100 {
        let wait = jittered(Duration::from_secs(4));
        assert!(wait >= Duration::from_secs(3) && wait <= Duration::from_secs(4), "{wait:?}");
    }
}
