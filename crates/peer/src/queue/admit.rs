//! What a request brings into the queue: everything it names, and with `resume` everything that waits, before any of
//! it is begun.
//!
//! Invariant: what is admitted is on the disk and marked as being fetched; what is not is over, with its reason.

use std::sync::Arc;

use super::ask::{Ask, AskId, Request, WANTS_MAX, Wanted};
use super::board::Board;
use super::news::News;
use super::store::Entry;
use super::trouble::Trouble;
use super::{Active, Shared};

/// A want that may begin.
pub(super) struct Admitted {
    pub(super) want: usize,
    pub(super) entry: Entry,
    /// Whether the content that was meant before is meant.
    pub(super) again: bool,
    pub(super) id: AskId,
    pub(super) _active: Active,
}

/// Takes a request's wants in. What can't be is told at once.
pub(super) async fn admit(shared: &Arc<Shared>, request: Request, board: &Board) -> Vec<Admitted> {
    let wanted = all_wanted(shared, request, board).await;
    for Wanted { want, ask, .. } in &wanted {
        board.tell(News::Queued { want: *want, ask: ask.clone() }).await;
    }
    let (mut admitted, mut wants) = (Vec::new(), Vec::new());
    for Wanted { want, ask, again } in wanted {
        wants.push(want);
        match begin(shared, want, ask, again) {
            Ok(one) => admitted.push(one),
            Err(trouble) => board.tell(News::Over { want, trouble: Some(trouble) }).await,
        }
    }
    let entries: Vec<Entry> = admitted.iter().map(|one: &Admitted| one.entry.clone()).collect();
    let store = shared.store.clone();
    let kept = tokio::task::spawn_blocking(move || store.put(&entries)).await;
    match kept.unwrap_or_else(|error| Err(Trouble::failed(error))) {
        Ok(()) => admitted,
        Err(trouble) => {
            for one in &admitted {
                board.tell(News::Over { want: one.want, trouble: Some(trouble.clone()) }).await;
            }
            Vec::new()
        }
    }
}

/// What the request names, and what waits where that is wanted too: but nothing twice, and nothing that is under way.
async fn all_wanted(shared: &Arc<Shared>, request: Request, board: &Board) -> Vec<Wanted> {
    let mut wanted = request.wants;
    wanted.truncate(WANTS_MAX); // more was refused at the door
    if !request.resume {
        return wanted;
    }
    let store = shared.store.clone();
    let listed = tokio::task::spawn_blocking(move || {
        let listed = store.list();
        store.set_damaged_aside();
        listed
    });
    let (waiting, notes) = match listed.await {
        Ok(Ok(listed)) => listed,
        Ok(Err(error)) => (Vec::new(), vec![format!("can't read the queue: {error}")]),
        Err(error) => (Vec::new(), vec![format!("can't read the queue: {error}")]),
    };
    for text in notes {
        board.tell(News::Note { text }).await;
    }
    let first = wanted.iter().map(|wanted| wanted.want.saturating_add(1)).max().unwrap_or_default();
    let named: Vec<AskId> = wanted.iter().map(|wanted| wanted.ask.id()).collect();
    let is_free = |ask: &Ask| !named.contains(&ask.id()) && !super::lock(&shared.active).contains(&ask.id());
    let asks = waiting.into_iter().map(|entry| entry.ask).filter(is_free);
    let resumed: Vec<Wanted> =
        (first..).zip(asks).map(|(want, ask)| Wanted { want, ask, again: true }).collect();
    wanted.extend(resumed);
    wanted
}

fn begin(shared: &Arc<Shared>, want: usize, ask: Ask, again: bool) -> Result<Admitted, Trouble> {
    ask.check()?;
    let id = ask.id();
    let active = shared.activate(id).ok_or_else(|| {
        Trouble::failed(format!("`{}` is being fetched already", peerage_wire::shown(&ask.what)))
            .hint("wait for the other command, or stop it")
            .staying()
    })?;
    // What was found before is not forgotten by asking again.
    let entry = shared.store.get(id).unwrap_or_else(|| Entry::new(ask, want as u64));
    Ok(Admitted { want, entry, again, id, _active: active })
}
