//! What the index needs in memory: of the whole process, and by part as the index itself counts.

use anyhow::Result;
use peerage_index::Index;

use crate::latency::grouped;
use crate::process;
use crate::report::{Facts, Section, approximate, mebibytes};

/// The memory of the process before anything was registered.
pub(crate) struct Before {
    resident: u64,
}

impl Before {
    /// Looks at it now.
    pub(crate) fn fill() -> Self {
        Self { resident: process::resident_bytes(&own()) }
    }

    /// What there is now.
    ///
    /// # Errors
    /// When the index gives no numbers.
    pub(crate) fn after(&self, index: &Index, title: &str) -> Result<Section> {
        let stats = index.stats()?;
        let resident = process::resident_bytes(&own());
        let grown = resident.saturating_sub(self.resident);
        let each = approximate(grown) / approximate(stats.files.max(1));
        let mut rows = vec![
            ("resident, whole process".to_owned(), mebibytes(resident)),
            ("of that before filling".to_owned(), mebibytes(self.resident)),
            ("highest so far".to_owned(), mebibytes(process::peak_bytes(&own()))),
            ("peers".to_owned(), grouped(stats.peers)),
            ("files".to_owned(), grouped(stats.files)),
            ("contents".to_owned(), grouped(stats.contents)),
            ("grown by, for each file".to_owned(), format!("{each:.1} bytes")),
        ];
        rows.extend(parts(&serde_json::to_value(stats.memory)?));
        let about =
            "The process with its tables of words and peers, and the index by part as it counts itself.";
        Ok(Section::Facts(Facts { title: title.to_owned(), about: about.to_owned(), rows }))
    }
}

/// Whatever parts there are, by the names the index gives them.
fn parts(memory: &serde_json::Value) -> Vec<(String, String)> {
    let Some(parts) = memory.as_object() else { return Vec::new() };
    let row = |(name, figure): (&String, &serde_json::Value)| {
        let figure = figure.as_u64()?;
        match name.strip_suffix("_bytes") {
            Some(part) => Some((format!("index: {part}"), mebibytes(figure))),
            None => Some((format!("index: {name}"), grouped(figure))),
        }
    };
    parts.iter().filter_map(row).collect()
}

fn own() -> [u32; 1] {
    [std::process::id()]
}
