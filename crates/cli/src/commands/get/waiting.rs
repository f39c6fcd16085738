//! What waits in a home's queue: shown, and forgotten.

use peerage_peer::home::Home;
use peerage_peer::queue::Store;
use peerage_wire::shown;

use crate::failure::{Exit, Failure, Outcome};
use crate::print::{Column, Table, put_json, say};

/// Everything that waits, oldest first.
pub(super) fn list(home: &Home, json: bool) -> Outcome {
    let (entries, notes) =
        Store::of(home).list().map_err(|error| Failure::failed(format!("can't read the queue: {error}")))?;
    for note in notes {
        say(format_args!("note: {}", shown(&note)));
    }
    if json {
        return entries.iter().try_for_each(|entry| put_json(&entry.ask));
    }
    if entries.is_empty() {
        say("nothing waits");
        return Ok(());
    }
    let columns = [(Column::Flex, "WHAT"), (Column::Left, "FOLDER"), (Column::Spare, "INDEX")];
    let mut table = Table::new(&columns);
    for entry in &entries {
        let folder = entry.ask.output.to_string_lossy();
        table.row([&entry.ask.what, &*folder, &entry.ask.index].map(|cell| shown(cell).to_string()));
    }
    table.put()
}

/// Forgets what was named, or everything.
pub(super) fn forget(home: &Home, what: &[String]) -> Outcome {
    let forgotten = Store::of(home)
        .forget(what)
        .map_err(|error| Failure::failed(format!("can't change the queue: {error}")))?;
    if forgotten == 0 && !what.is_empty() {
        return Err(Failure::new(Exit::NotFound, "nothing waits under that name")
            .hint("`peerage get --queue` shows what does"));
    }
    say(format_args!("forgot {forgotten}; what was fetched of it stays where it is"));
    Ok(())
}
