//! `GET /metrics`: the index and its door in numbers, for Prometheus and whoever reads its format.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use peerage_wire::api::{Memory, Stats};

use crate::app::App;
use crate::metrics::{Exposition, Type};
use crate::routes::status;

/// The format and its version, which Prometheus asks for.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The index in numbers for Prometheus.
///
/// Live peers, files, contents and bytes, memory by part and its ceiling, sessions, connections, and requests with their
/// durations by route. While the index is starting, or does not answer, only the door's own numbers are here.
#[utoipa::path(
    get, path = "/metrics", tag = "status",
    responses((status = 200, description = "the numbers", body = str, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let stats = status::within_time(&app).await.ok();
    let mut text = Exposition::default();
    process(&mut text);
    let ready = u8::from(stats.is_some());
    text.single(
        "peerage_ready",
        Type::Gauge,
        "Whether the index answers (1), or is starting or stuck (0).",
        ready,
    );
    if let Some(stats) = stats {
        holdings(&mut text, &stats);
        memory(&mut text, &stats.memory);
    }
    door(&mut text, &app);
    app.metrics.write(&mut text);
    ([(CONTENT_TYPE, FORMAT)], text.into_text()).into_response()
}

fn process(text: &mut Exposition) {
    let name = "peerage_build_info";
    text.family(name, Type::Gauge, "The version that runs.");
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    if let Some(bytes) = resident_bytes() {
        text.single("process_resident_memory_bytes", Type::Gauge, "Memory of this process.", bytes);
    }
}

/// Where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn holdings(text: &mut Exposition, stats: &Stats) {
    text.single("peerage_peers", Type::Gauge, "Peers that are here.", stats.peers);
    text.single("peerage_files", Type::Gauge, "Files that they share.", stats.files);
    text.single("peerage_contents", Type::Gauge, "Distinct contents of these files.", stats.contents);
    text.single("peerage_shared_bytes", Type::Gauge, "Bytes of these files.", stats.bytes);
}

fn memory(text: &mut Exposition, memory: &Memory) {
    let name = "peerage_memory_bytes";
    text.family(
        name,
        Type::Gauge,
        "Memory of the index by part, with what it remembers of peers that are not here.",
    );
    for (part, bytes) in [
        ("contents", memory.contents_bytes),
        ("names", memory.names_bytes),
        ("text", memory.text_bytes),
        ("sources", memory.sources_bytes),
        ("shares", memory.shares_bytes),
        ("peers", memory.peers_bytes),
    ] {
        text.sample(name, &[("part", part)], bytes);
    }
    if let Some(bytes) = memory.max_bytes {
        text.single("peerage_memory_max_bytes", Type::Gauge, "Above this registrations are refused.", bytes);
    }
    if let Some(files) = memory.room_files {
        text.single("peerage_room_files", Type::Gauge, "Files like the present ones that still fit.", files);
    }
}

fn door(text: &mut Exposition, app: &App) {
    let sessions = app.sessions().peers();
    text.single("peerage_sessions", Type::Gauge, "Peers with a session.", sessions);
    text.single("peerage_connections", Type::Gauge, "Open connections.", app.slots.taken());
    let refused = app.slots.refused();
    let help = "Connections refused because too many were open.";
    text.single("peerage_connections_refused_total", Type::Counter, help, refused);
}
